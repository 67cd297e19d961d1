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

    /// The orientation in an APP1 segment: `Exif\0\0`, then a TIFF header (TIFF 6.0, section 2) and its
    /// first directory.
    private static func orientation(inExif bytes: [UInt8]) -> Int? {
        guard bytes.starts(with: Array("Exif\0\0".utf8)) else { return nil }
        let tiff = Array(bytes.dropFirst(6))
        let isLittle: Bool
        switch tiff.prefix(4) {
        case [0x49, 0x49, 42, 0]: isLittle = true
        case [0x4D, 0x4D, 0, 42]: isLittle = false
        default: return nil
        }
        func number(_ place: Int, _ count: Int) -> Int? {
            guard place >= 0, place <= tiff.count - count else { return nil }
            let slice = tiff[place..<place + count]
            return (isLittle ? Array(slice.reversed()) : Array(slice)).reduce(0) {
                $0 << 8 | Int($1)
            }
        }
        guard let directory = number(4, 4), let count = number(directory, 2) else { return nil }
        for index in 0..<count {
            let entry = directory + 2 + index * 12
            guard let tag = number(entry, 2) else { return nil }
            guard tag == 0x0112 else { continue }
            // One SHORT, in the entry itself.
            guard number(entry + 2, 2) == 3, number(entry + 4, 4) == 1,
                let value = number(entry + 8, 2), (1...8).contains(value)
            else { return nil }
            return value
        }
        return nil
    }
}

extension PixelImage {
    /// The picture as EXIF's orientation (1 to 8) says that it is to be seen.
    public func oriented(_ orientation: Int) -> PixelImage {
        guard (2...8).contains(orientation) else { return self }
        let isTurned = orientation >= 5
        let (newWidth, newHeight) = isTurned ? (height, width) : (width, height)
        let channels = mode.channels
        let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { result, count in
            for y in 0..<newHeight {
                for x in 0..<newWidth {
                    // Where the pixel comes from: the eight ways of the tag.
                    let (sourceX, sourceY) =
                        switch orientation {
                        case 2: (width - 1 - x, y)
                        case 3: (width - 1 - x, height - 1 - y)
                        case 4: (x, height - 1 - y)
                        case 5: (y, x)
                        case 6: (y, height - 1 - x)
                        case 7: (width - 1 - y, height - 1 - x)
                        default: (width - 1 - y, x)
                        }
                    let source = (sourceY * width + sourceX) * channels
                    let target = (y * newWidth + x) * channels
                    for channel in 0..<channels {
                        result[target + channel] = pixels[source + channel]
                    }
                }
            }
            count = pixels.count
        }
        return PixelImage(width: newWidth, height: newHeight, mode: mode, pixels: turned)
    }
}
