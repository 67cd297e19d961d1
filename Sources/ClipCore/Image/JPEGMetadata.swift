/// What a JPEG file says about its pixels that decoding leaves out, and that a smaller copy must keep to
/// look the same: how to turn the picture, and what its colours mean.
///
/// Reads the segments before the first scan (ITU-T T.81, B.1.1). Damage ends the reading; nothing is an
/// error.
public struct JPEGMetadata: Equatable, Sendable {
    /// EXIF's tag 0x0112 (Exif 2.32, 4.6.4): 1 is upright, 2 to 8 are mirrored or turned.
    public private(set) var orientation = 1
    /// The ICC profile, put together from its APP2 segments (ICC.1:2022, B.4); empty without one, and
    /// when a part is missing.
    public private(set) var profile: [UInt8] = []

    /// Real profiles have some kilobytes.
    private static let maximumProfileBytes = 1 << 20

    /// - Parameter file: a JPEG file, or anything else, which has no metadata.
    public init(_ file: UnsafeRawBufferPointer) {
        guard file.count > 4, file[0] == 0xFF, file[1] == 0xD8 else { return }
        var parts: [Int: ArraySlice<UInt8>] = [:]
        var partCount = 0
        var place = 2
        while place + 4 <= file.count, file[place] == 0xFF {
            let marker = file[place + 1]
            // Fill bytes, and markers that stand alone.
            if marker == 0xFF {
                place += 1
                continue
            }
            if marker == 0xDA || marker == 0xD9 { break }
            let length = Int(file[place + 2]) << 8 | Int(file[place + 3])
            guard length >= 2, place + 2 + length <= file.count else { break }
            let body = file[(place + 4)..<(place + 2 + length)]
            if marker == 0xE1 {
                if let found = Self.orientation(inExif: Array(body)) { orientation = found }
            } else if marker == 0xE2, body.count > 14, body.starts(with: Self.profileName) {
                let bytes = Array(body)
                partCount = Int(bytes[13])
                parts[Int(bytes[12])] = bytes[14...]
            }
            place += 2 + length
        }
        guard partCount > 0, (1...partCount).allSatisfy({ parts[$0] != nil }) else { return }
        let whole = (1...partCount).flatMap { parts[$0] ?? [] }
        if whole.count <= Self.maximumProfileBytes { profile = whole }
    }

    private static let profileName = Array("ICC_PROFILE\0".utf8)

    /// The orientation in an APP1 segment: `Exif\0\0`, then EXIF data.
    private static func orientation(inExif bytes: [UInt8]) -> Int? {
        guard bytes.starts(with: Array("Exif\0\0".utf8)) else { return nil }
        return bytes.withUnsafeBytes {
            Orientation.inDirectory(of: UnsafeRawBufferPointer(rebasing: $0[6...]))
        }
    }
}
