/// Text on its way through the tokenizer: Unicode scalar values, as Python's `str` has them.
typealias Scalars = [UInt32]

extension Array {
    /// Replaces what `match` finds at a position: where it ends, and what stands in for it. From left to right;
    /// a replacement is not looked at again.
    func replacingMatches(_ match: (Int) -> (end: Int, value: [Element])?) -> [Element] {
        var result: [Element] = []
        result.reserveCapacity(count)
        var position = 0
        while position < count {
            if let (end, value) = match(position) {
                result += value
                position = end
            } else {
                result.append(self[position])
                position += 1
            }
        }
        return result
    }
}

/// What Python's `str`, its `re` and the `regex` module say of a character, said with the Unicode
/// data of Swift's standard library.
///
/// The data differ by version: Swift 6.3 has Unicode 17, Python 3.11's `str` has 14, `regex`
/// 2026.11 has 18. An exhaustive comparison found no difference in letter, number, white space,
/// "word", case or lower case, except characters that one side does not know yet, and two whose
/// properties were revised (U+0295 is not cased, U+1171E not case-ignorable in Swift), which can
/// only matter to a capital sigma beside them.
enum CharacterRules {
    static func scalar(_ value: UInt32) -> Unicode.Scalar {
        Unicode.Scalar(value) ?? "\u{FFFD}"
    }

    /// `\s` of the `regex` module: the property White_Space, which has not changed in years.
    static func isWhiteSpace(_ value: UInt32) -> Bool {
        if value < 0x80 { return (0x09...0x0D).contains(value) || value == 0x20 }
        return scalar(value).properties.isWhitespace
    }

    /// `str.isspace`, by which `str.strip` and `\s` of Python's own `re` go: the information
    /// separators are white space as well.
    static func isPythonSpace(_ value: UInt32) -> Bool {
        (0x1C...0x1F).contains(value) || isWhiteSpace(value)
    }

    /// `str.isalnum`: letters, and whatever has a numeric value, which is the same as numbers.
    static func isAlphanumeric(_ value: UInt32) -> Bool {
        let category = scalar(value).properties.generalCategory
        return isLetter(category) || isNumber(category)
    }

    /// `\d`: decimal digits of any script.
    static func isDecimalDigit(_ value: UInt32) -> Bool {
        if value < 0x80 { return (0x30...0x39).contains(value) }
        return scalar(value).properties.generalCategory == .decimalNumber
    }

    /// `\p{L}`.
    static func isLetter(_ category: Unicode.GeneralCategory) -> Bool {
        switch category {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            return true
        default:
            return false
        }
    }

    /// `\p{N}`.
    static func isNumber(_ category: Unicode.GeneralCategory) -> Bool {
        switch category {
        case .decimalNumber, .letterNumber, .otherNumber: return true
        default: return false
        }
    }

    /// `str.lower`: the full lower-case mapping, and Final_Sigma as the one rule with a context
    /// (Unicode Standard, section 3.13).
    static func lowercased(_ text: Scalars) -> Scalars {
        var result = Scalars()
        result.reserveCapacity(text.count)
        for (index, value) in text.enumerated() {
            if value < 0x80 {
                result.append((0x41...0x5A).contains(value) ? value + 0x20 : value)
            } else if value == 0x3A3 {
                result.append(isFinalSigma(text, index) ? 0x3C2 : 0x3C3)
            } else {
                let mapping = scalar(value).properties.lowercaseMapping.unicodeScalars
                result.append(contentsOf: mapping.lazy.map(\.value))
            }
        }
        return result
    }

    /// A cased letter stands before and none behind, case-ignorable characters left aside.
    private static func isFinalSigma(_ text: Scalars, _ index: Int) -> Bool {
        let isIgnorable = { scalar($0).properties.isCaseIgnorable }
        let before = text[..<index].last { !isIgnorable($0) }
        let after = text[(index + 1)...].first { !isIgnorable($0) }
        func isCased(_ value: UInt32?) -> Bool {
            value.map { scalar($0).properties.isCased } == true
        }
        return isCased(before) && !isCased(after)
    }
}
