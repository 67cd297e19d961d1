/// The single-byte encodings that ftfy supposes mojibake was read in (`chardata.py`, in its order),
/// "sloppy" where bytes without a meaning stand for themselves and 0x1A for U+FFFD.
struct Encoding: Equatable {
    static let windows1252 = Encoding(index: 1)
    static let macRoman = Encoding(index: 8)
    /// Latin-1, sloppy Windows-1252, 1251, 1250, 1253, 1254 and 1257, ISO 8859-2, Mac Roman, CP437.
    static let all = (0...9).map(Encoding.init)

    private let index: Int

    private init(index: Int) {
        self.index = index
    }

    var isSloppy: Bool { (1...6).contains(index) }

    /// What a byte of 0x80 or more stands for.
    func scalar(of byte: UInt8) -> UInt32 {
        index == 0 ? UInt32(byte) : MojibakeTables.shared.character(byte, inEncoding: index - 1)
    }

    /// The bytes that would be read as this text, or nil if there are none.
    func encode(_ text: Scalars) -> [UInt8]? {
        if index == 0 {
            let bytes = text.compactMap { UInt8(exactly: $0) }
            return bytes.count == text.count ? bytes : nil
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        // 0 for characters that no byte above 0x7F stands for.
        var reverse = [UInt8](repeating: 0, count: 0x10000)
        for byte in UInt8(0x80)...0xFF { reverse[Int(scalar(of: byte))] = byte }
        if isSloppy { reverse[0xFFFD] = 0x1A }
        for value in text {
            if value < 0x80 {
                if value == 0x1A && isSloppy { return nil }
                bytes.append(UInt8(value))
            } else {
                guard value < 0x10000, reverse[Int(value)] != 0 else { return nil }
                bytes.append(reverse[Int(value)])
            }
        }
        return bytes
    }
}

/// ftfy's codec "utf-8-variants": UTF-8 without surrogates and in the shortest form, but with
/// CESU-8's pairs of surrogates and Java's C0 80 for U+0000.
enum UTF8Variants {
    /// The text that the bytes encode, or nil if they encode none.
    static func decode(_ bytes: [UInt8]) -> Scalars? {
        var result = Scalars()
        result.reserveCapacity(bytes.count)
        var position = 0
        while position < bytes.count {
            let byte = bytes[position]
            if byte < 0x80 {
                result.append(UInt32(byte))
                position += 1
            } else if byte == 0xC0 {
                // ftfy's expression ends in `$`, which also matches before a line break that ends
                // the text; such a line break is taken for the second byte.
                guard position + 1 < bytes.count,
                    bytes[position + 1] == 0x80 || isEnd(bytes, position + 1)
                else { return nil }
                result.append(0)
                position += 2
            } else if let value = surrogatePair(bytes, at: position) {
                result.append(value)
                position += 6
            } else if let (value, length) = multibyte(bytes, at: position) {
                result.append(value)
                position += length
            } else {
                return nil
            }
        }
        return result
    }

    /// ED A0…AF 80…BF ED B0…BF 80…BF. As above, the end of the pattern may be missing before the
    /// line break that ends the text, if that makes up six bytes.
    private static func surrogatePair(_ bytes: [UInt8], at start: Int) -> UInt32? {
        guard bytes[start] == 0xED, bytes.count - start >= 6 else { return nil }
        let expected: [ClosedRange<UInt8>] = [
            0xA0...0xAF, 0x80...0xBF, 0xED...0xED, 0xB0...0xBF, 0x80...0xBF,
        ]
        for (offset, range) in expected.enumerated() {
            if isEnd(bytes, start + 1 + offset) { break }
            guard range.contains(bytes[start + 1 + offset]) else { return nil }
        }
        let high = UInt32(bytes[start + 1] & 0x0F) << 16 | UInt32(bytes[start + 2] & 0x3F) << 10
        let low = UInt32(bytes[start + 4] & 0x0F) << 6 | UInt32(bytes[start + 5] & 0x3F)
        return 0x10000 + high + low
    }

    private static func isEnd(_ bytes: [UInt8], _ position: Int) -> Bool {
        position == bytes.count || (position == bytes.count - 1 && bytes[position] == 0x0A)
    }

    /// One character of two to four bytes.
    private static func multibyte(_ bytes: [UInt8], at start: Int) -> (UInt32, Int)? {
        var decoder = UTF8()
        var rest = bytes[start...].makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&rest) else { return nil }
        return (scalar.value, UTF8.width(scalar))
    }
}
