// The standard library has Unicode's normal forms, with no other public way to them than
// Foundation, which is far larger than the rest of the tokenizer.
@_spi(_Unicode) import Swift

/// Unicode normalisation form C (UAX 15), as `unicodedata.normalize("NFC", text)`.
enum Normalization {
    /// The library sorts combining marks by insertion, which takes quadratic time; longer runs than this
    /// are sorted here first.
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

    /// The marks that decompose, and the characters that decompose into nothing but marks without
    /// being one themselves. Normalisation is stable, so there will be no others.
    private static let decomposingMarks: Set<UInt32> = [
        0x340, 0x341, 0x343, 0x344, 0xF73, 0xF75, 0xF81,
    ]

    private static func hasLongRun(_ text: Scalars) -> Bool {
        var length = 0
        for value in text {
            if combiningClass(value) != 0 || decomposingMarks.contains(value) {
                length += 1
                if length > longestRun { return true }
            } else {
                length = 0
            }
        }
        return false
    }

    /// An equivalent text with its marks decomposed and in canonical order (Unicode Standard,
    /// D109), in n log n steps. It leaves nothing to sort for the library but the few marks that
    /// the letters before them decompose into.
    private static func canonicallyOrdered(_ text: Scalars) -> Scalars {
        var result = text.flatMap { value in
            decomposingMarks.contains(value) ? string([value])._nfd.map(\.value) : [value]
        }
        let classes = result.map(combiningClass)
        var start = 0
        while start < result.count {
            let end = classes[start...].firstIndex(of: 0) ?? result.count
            // By class, then by position.
            let order = (start..<end).sorted { (classes[$0], $0) < (classes[$1], $1) }
            result.replaceSubrange(start..<end, with: order.map { result[$0] })
            start = end + 1
        }
        return result
    }
}
