// The standard library has Unicode's normal forms, with no other public way to them than
// Foundation, which is far larger than the rest of the tokenizer.
@_spi(_Unicode) import Swift

/// Unicode normalisation form C (UAX 15), as `unicodedata.normalize("NFC", text)`.
enum Normalization {
    /// The library sorts combining marks by insertion: of more in a row than this, the square of
    /// their number would be felt.
    private static let longestRun = 64

    static func nfc(_ text: Scalars) -> Scalars {
        // Below U+0300 every character is its own normal form and composes with none.
        guard text.contains(where: { $0 >= 0x300 }) else { return text }
        let source = hasLongRun(text) ? canonicallyOrdered(text) : text
        return string(source)._nfc.map(\.value)
    }

    private static func string(_ text: some Sequence<UInt32>) -> String {
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: text.lazy.map(CharacterRules.scalar))
        return String(scalars)
    }

    private static func combiningClass(_ value: UInt32) -> UInt8 {
        guard value >= 0x300 else { return 0 }
        return CharacterRules.scalar(value).properties.canonicalCombiningClass.rawValue
    }

    /// Whether there is a long run of combining marks, or of what decomposes into nothing else.
    private static func hasLongRun(_ text: Scalars) -> Bool {
        var length = 0
        for value in text {
            if combiningClass(value) != 0 || [0xF73, 0xF75, 0xF81].contains(value) {
                length += 1
                if length > longestRun { return true }
            } else {
                length = 0
            }
        }
        return false
    }

    /// An equivalent text, decomposed and with its marks in canonical order (Unicode Standard,
    /// D109), in n log n steps. Then the library finds nothing left to sort.
    private static func canonicallyOrdered(_ text: Scalars) -> Scalars {
        var result = text.flatMap { value in
            value < 0xC0 ? [value] : string([value])._nfd.map(\.value)
        }
        var start = 0
        while start < result.count {
            var marks: [(combiningClass: UInt8, index: Int, value: UInt32)] = []
            var end = start
            while end < result.count, case let order = combiningClass(result[end]), order != 0 {
                marks.append((order, end, result[end]))
                end += 1
            }
            marks.sort { ($0.combiningClass, $0.index) < ($1.combiningClass, $1.index) }
            for (offset, mark) in marks.enumerated() { result[start + offset] = mark.value }
            start = end + 1
        }
        return result
    }
}
