/// Upstream's regular expression, one match after the other:
///
///     <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
///
/// It ignores case, which by then matters to two characters only, the text being in lower case:
/// ſ (U+017F) counts as an s, and U+0345, a combining mark whose case variants are letters, matches
/// nothing at all, so that it separates words and is dropped.
struct WordSplitter {
    enum Word: Equatable {
        case startOfText
        case endOfText
        /// Positions of the characters of the word.
        case text(Range<Int>)
    }

    private enum Kind {
        case letter, number, separator, other
    }

    private let text: Scalars
    private var position = 0

    init(_ text: Scalars) {
        self.text = text
    }

    mutating func next() -> Word? {
        while position < text.count {
            let start = position
            if let special = matchSpecial() { return special }
            if let length = matchContraction() {
                position += length
                return .text(start..<position)
            }
            let kind = Self.kind(of: text[position])
            position += 1
            switch kind {
            case .separator: continue
            case .number: break
            case .letter, .other:
                while position < text.count, Self.kind(of: text[position]) == kind { position += 1 }
            }
            return .text(start..<position)
        }
        return nil
    }

    /// The start and the end token written out. With ſ for s it is still one word, but not the
    /// token.
    private mutating func matchSpecial() -> Word? {
        guard text[position] == 0x3C else { return nil }  // <
        let start = position
        for (literal, word) in [
            ("<|startoftext|>", Word.startOfText), ("<|endoftext|>", Word.endOfText),
        ] where matches(literal) {
            position += literal.utf8.count
            let isExact = text[start..<position].elementsEqual(literal.unicodeScalars.map(\.value))
            return isExact ? word : .text(start..<position)
        }
        return nil
    }

    private func matchContraction() -> Int? {
        guard text[position] == 0x27 else { return nil }  // '
        return ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].first(where: matches)?.utf8.count
    }

    private func matches(_ literal: String) -> Bool {
        let end = position + literal.utf8.count
        guard end <= text.count else { return false }
        return zip(literal.utf8, text[position..<end]).allSatisfy { expected, value in
            UInt32(expected) == value || (expected == UInt8(ascii: "s") && value == 0x17F)
        }
    }

    private static func kind(of value: UInt32) -> Kind {
        if value < 0x80 {
            switch value {
            case 0x41...0x5A, 0x61...0x7A: return .letter
            case 0x30...0x39: return .number
            default: return CharacterRules.isWhiteSpace(value) ? .separator : .other
            }
        }
        let category = CharacterRules.scalar(value).properties.generalCategory
        if CharacterRules.isLetter(category) { return .letter }
        if CharacterRules.isNumber(category) { return .number }
        return CharacterRules.isWhiteSpace(value) || value == 0x345 ? .separator : .other
    }
}
