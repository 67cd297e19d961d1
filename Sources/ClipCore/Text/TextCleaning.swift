/// What upstream does to a text before it is split into words: `basic_clean`, `whitespace_clean`
/// and `str.lower`, in `clip/simple_tokenizer.py`.
enum TextCleaning {
    static func clean(_ text: Scalars) -> Scalars {
        let fixed = TextRepair.fixText(text)
        let plain = CharacterReferences.unescape(CharacterReferences.unescape(fixed))
        return CharacterRules.lowercased(strip(collapseWhiteSpace(strip(plain[...]))))
    }

    /// `str.strip`.
    private static func strip(_ text: ArraySlice<UInt32>) -> ArraySlice<UInt32> {
        guard let first = text.firstIndex(where: { !CharacterRules.isPythonSpace($0) }),
            let last = text.lastIndex(where: { !CharacterRules.isPythonSpace($0) })
        else { return [] }
        return text[first...last]
    }

    private static func strip(_ text: Scalars) -> Scalars {
        Scalars(strip(text[...]))
    }

    /// `regex.sub(r"\s+", " ", text)`.
    private static func collapseWhiteSpace(_ text: ArraySlice<UInt32>) -> Scalars {
        var result = Scalars()
        result.reserveCapacity(text.count)
        var isInside = false
        for value in text {
            if CharacterRules.isWhiteSpace(value) {
                if !isInside { result.append(0x20) }
                isInside = true
            } else {
                result.append(value)
                isInside = false
            }
        }
        return result
    }

    static func utf8(_ text: ArraySlice<UInt32>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for value in text {
            if value < 0x80 {
                result.append(UInt8(value))
            } else {
                result.append(contentsOf: CharacterRules.scalar(value).utf8)
            }
        }
        return result
    }
}
