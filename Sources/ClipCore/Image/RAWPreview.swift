import Glibc

/// The preview in a camera's raw file.
///
/// Makers lay their files out in different ways, but all keep previews as complete JPEG files inside. So
/// the bytes are searched for JPEGs, and the one with the most pixels is taken: what libraw selects too.
/// (libraw itself is not used, since version 0.20 of Debian 12 writes past its buffers when a file's numbers
/// contradict each other.) Lossless JPEGs hold the sensor's data, not a preview.
struct RAWPreview {
    /// From the JPEG's first byte to the end of the raw file.
    let jpeg: UnsafeRawBufferPointer
    /// What the raw file around it says.
    let metadata: ImageMetadata

    /// Pixels on the longer side; smaller ones are icons.
    private static let leastSide = 64
    /// Markers that are looked at in one file: real files have some hundreds.
    private static let maximumMarkers = 100_000

    /// - Throws: ``ImageError`` when there is no preview
    init(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        var best = (start: 0, pixels: 0)
        var (place, markers) = (0, 0)
        while let start = Self.find([0xFF, 0xD8, 0xFF], in: bytes, from: place) {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            if let (width, height) = Self.size(ofJPEG: rest, &markers),
                max(width, height) >= Self.leastSide, width * height > best.pixels
            {
                best = (start, width * height)
            }
            guard markers < Self.maximumMarkers else { break }
            place = start + 3
        }
        guard best.pixels > 0 else { throw .unsupportedVariant(.raw, "no preview") }
        jpeg = UnsafeRawBufferPointer(rebasing: bytes[best.start...])
        func box(_ name: String) -> UnsafeRawBufferPointer? {
            Self.find(Array(name.utf8), in: bytes, from: 0).map {
                UnsafeRawBufferPointer(rebasing: bytes[($0 + name.utf8.count)...])
            }
        }
        // Canon's CR3 has its EXIF in two boxes; others are TIFF structures, or leave it to the preview.
        let isBoxes = bytes[4...].starts(with: "ftyp".utf8)
        metadata =
            isBoxes
            ? ImageMetadata(main: box("CMT1") ?? bytes, details: box("CMT2"))
            : ImageMetadata(main: bytes, details: nil)
    }

    private static func find(
        _ pattern: [UInt8], in bytes: UnsafeRawBufferPointer, from place: Int
    ) -> Int? {
        guard let start = bytes.baseAddress else { return nil }
        var place = place
        while case let left = bytes.count - place - pattern.count + 1, left > 0,
            let found = memchr(start + place, Int32(pattern[0]), left)
        {
            place = UnsafeRawPointer(found) - start
            if bytes[place...].starts(with: pattern) { return place }
            place += 1
        }
        return nil
    }

    /// The size of a JPEG of one or three components of 8 bits whose segments lead to its data (ITU-T T.81,
    /// B.1); nil for anything else.
    private static func size(
        ofJPEG bytes: UnsafeRawBufferPointer, _ markers: inout Int
    ) -> (width: Int, height: Int)? {
        var size: (Int, Int)?
        var place = 2
        while markers < maximumMarkers, place + 12 <= bytes.count, bytes[place] == 0xFF {
            markers += 1
            let length = bytes.bigEndian(2, at: place + 2)
            switch bytes[place + 1] {
            case 0xFF:  // fills
                place += 1
                continue
            case 0xC0...0xC2:
                guard length >= 8, bytes[place + 4] == 8, [1, 3].contains(bytes[place + 9])
                else { return nil }
                size = (bytes.bigEndian(2, at: place + 7), bytes.bigEndian(2, at: place + 5))
            case 0xDA: return size
            case 0xC4, 0xDB...0xFE: break
            default: return nil
            }
            guard length >= 2 else { return nil }
            place += 2 + length
        }
        return nil
    }
}
