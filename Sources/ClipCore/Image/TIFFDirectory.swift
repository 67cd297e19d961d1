/// One directory of a TIFF structure (TIFF 6.0, section 2; BigTIFF), which EXIF data use too.
///
/// Reads what lies within the bytes. Damage makes an entry absent; nothing is an error.
struct TIFFDirectory {
    private let bytes: UnsafeRawBufferPointer
    private let isBigEndian: Bool
    private var isBigTIFF = false
    private var entries = 0
    private var count = 0

    /// In the place of TIFF's 42, Panasonic writes `U\0` and Olympus `RO` or `RS`.
    private static let rawMarks: [UInt64] = [0x55, 0x4F52, 0x5352]

    /// The first directory.
    /// - Parameter isRaw: whether the marks of makers' raw files count too
    init?(_ bytes: UnsafeRawBufferPointer, isRaw: Bool = false) {
        guard bytes.count >= 8, bytes[0] == bytes[1], bytes[0] == 0x49 || bytes[0] == 0x4D
        else { return nil }
        self.bytes = bytes
        isBigEndian = bytes[0] == 0x4D
        isBigTIFF = number(2, at: 2) == 43
        // Pillow accepts a 42 in the other byte order too.
        let marks = [42, 42 << 8] + (isRaw ? Self.rawMarks : [])
        guard isBigTIFF || marks.contains(number(2, at: 2) ?? 0),
            let start = isBigTIFF ? number(8, at: 8) : number(4, at: 4), go(to: start)
        else { return nil }
    }

    /// Goes to the directory at an offset; false where none can be.
    private mutating func go(to offset: UInt64) -> Bool {
        guard let start = Int(exactly: offset), start <= bytes.count,
            let count = number(isBigTIFF ? 8 : 2, at: start)
        else { return false }
        self.count = Int(min(count, 65_535))
        entries = start + (isBigTIFF ? 8 : 2)
        return true
    }

    /// The directory that an entry points to.
    func directory(_ tag: UInt64) -> TIFFDirectory? {
        var directory = self
        guard let offset = integer(tag), directory.go(to: UInt64(offset)) else { return nil }
        return directory
    }

    func contains(_ tag: UInt64) -> Bool { entry(tag) != nil }

    /// Whether this is the first directory of a camera's raw file, such as NEF, ARW or DNG: it describes a
    /// preview, and the image is in a directory below it; or it has DNG's version.
    var isRaw: Bool {
        contains(50706) || integer(254) == 1 && contains(330) && contains(271)
    }

    /// The entry's first value, if it is stored as a whole number and is not negative. BYTE is none, as
    /// for Pillow, which therefore ignores an orientation of that type.
    func integer(_ tag: UInt64) -> Int? {
        guard let entry = entry(tag), ![1, 2, 7].contains(entry.type), entry.count >= 1,
            let size = Self.sizes[entry.type],
            let place = values(of: entry, size: size),
            let value = number(size, at: place)
        else { return nil }
        let isNegative = [6, 8, 9].contains(entry.type) && value >> UInt64(size * 8 - 1) == 1
        return isNegative ? nil : Int(exactly: value)
    }

    /// The bytes of an entry of type BYTE, ASCII or UNDEFINED.
    func bytes(_ tag: UInt64) -> UnsafeRawBufferPointer? {
        guard let entry = entry(tag), [1, 2, 7].contains(entry.type),
            let place = values(of: entry, size: 1), entry.count <= bytes.count - place
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[place..<place + entry.count])
    }

    private typealias Entry = (type: Int, count: Int, valueOffset: Int)

    /// Bytes of a value, by type.
    private static let sizes = [1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8]

    private func entry(_ tag: UInt64) -> Entry? {
        for index in 0..<count {
            let start = entries + index * (isBigTIFF ? 20 : 12)
            guard let found = number(2, at: start) else { return nil }
            guard found == tag else { continue }
            guard let type = number(2, at: start + 2),
                let values = number(isBigTIFF ? 8 : 4, at: start + 4)
            else { return nil }
            return (Int(type), Int(clamping: values), start + (isBigTIFF ? 12 : 8))
        }
        return nil
    }

    /// Where an entry's values are: in it, if they fit, or where it points to.
    private func values(of entry: Entry, size: Int) -> Int? {
        let inline = isBigTIFF ? 8 : 4
        if entry.count <= inline / size { return entry.valueOffset }
        return number(inline, at: entry.valueOffset).flatMap { Int(exactly: $0) }
            .flatMap { $0 <= bytes.count ? $0 : nil }
    }

    private func number(_ size: Int, at offset: Int) -> UInt64? {
        guard offset >= 0, offset <= bytes.count - size else { return nil }
        return (0..<size).reduce(0) { sum, i in
            sum << 8 | UInt64(bytes[offset + (isBigEndian ? i : size - 1 - i)])
        }
    }
}
