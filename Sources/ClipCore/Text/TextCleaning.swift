/// What is done to a text before it is split into tokens.
package enum TextCleaning: Equatable, Sendable {
    case none
    /// `basic_clean`, `whitespace_clean` and `str.lower` of `clip/simple_tokenizer.py`.
    case openAI
    /// The `clean` of OpenCLIP's `HFTokenizer`.
    case openCLIP(OpenCLIP)
    /// `canonicalize_text` of transformers' `SiglipTokenizer`.
    case sigLIP
    /// The `Lowercase` of the tokenizers library, which transformers' `Siglip2Tokenizer` adds.
    case lowercase

    package enum OpenCLIP: String, CaseIterable, Sendable {
        case canonicalize, lower, whitespace
    }

    func clean(_ text: Scalars) -> Scalars {
        switch self {
        case .none: return text
        case .openAI:
            return CharacterRules.lowercased(
                Self.words(Self.basic(text), CharacterRules.isWhiteSpace))
        case .openCLIP(let kind):
            let basic = Self.basic(text)
            switch kind {
            case .canonicalize:
                let plain = basic.compactMap {
                    $0 == 0x5F ? 0x20 : Self.isPunctuation($0) ? nil : $0
                }
                return Self.words(CharacterRules.lowercased(plain)[...])
            case .lower: return CharacterRules.lowercased(Self.words(basic))
            case .whitespace: return Self.words(basic)
            }
        case .sigLIP:
            return Self.words(
                CharacterRules.lowercased(text).filter { !Self.isPunctuation($0) }[...])
        case .lowercase:
            // Character by character, so that no sigma is a final one.
            return text.flatMap { $0 == 0x3A3 ? [0x3C3] : CharacterRules.lowercased([$0]) }
        }
    }

    /// `basic_clean`: repaired, unescaped, stripped.
    private static func basic(_ text: Scalars) -> ArraySlice<UInt32> {
        let fixed = TextRepair.fixText(text)
        let plain = CharacterReferences.unescape(CharacterReferences.unescape(fixed))
        guard let first = plain.firstIndex(where: { !CharacterRules.isPythonSpace($0) }),
            let last = plain.lastIndex(where: { !CharacterRules.isPythonSpace($0) })
        else { return [] }
        return plain[first...last]
    }

    /// `" ".join(text.split())`, which is `re.sub(r"\s+", " ", text)` for a text that is stripped.
    private static func words(
        _ text: ArraySlice<UInt32>, _ isSpace: (UInt32) -> Bool = CharacterRules.isPythonSpace
    ) -> Scalars {
        Scalars(text.split(whereSeparator: isSpace).joined(separator: [0x20]))
    }

    /// Python's `string.punctuation`.
    private static func isPunctuation(_ value: UInt32) -> Bool {
        switch value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
        default: false
        }
    }

    static func utf8(_ text: ArraySlice<UInt32>) -> [UInt8] {
        text.flatMap { CharacterRules.scalar($0).utf8 }
    }
}
