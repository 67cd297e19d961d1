import ClipCore

/// PNG without compression, for terminals that want a file: RFC 2083, its image data in stored
/// blocks (RFC 1951, 3.2.4).
enum PlainPNG {
    /// - Parameter image: in red, green and blue.
    static func encode(_ image: PixelImage) -> [UInt8] {
        var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        // 8 bits a sample, colour type 2 (RGB), the only compression and filter methods, one pass.
        append(
            "IHDR",
            bigEndian(UInt32(image.width)) + bigEndian(UInt32(image.height)) + [8, 2, 0, 0, 0],
            to: &file)
        append("IDAT", zlib(scanlines(of: image)), to: &file)
        append("IEND", [], to: &file)
        return file
    }

    /// Each row after its filter's number: 0, none.
    private static func scanlines(of image: PixelImage) -> [UInt8] {
        let row = image.width * 3
        var lines: [UInt8] = []
        lines.reserveCapacity(image.height * (row + 1))
        for y in 0..<image.height {
            lines.append(0)
            lines += image.pixels[y * row..<(y + 1) * row]
        }
        return lines
    }

    /// RFC 1950 around stored blocks.
    private static func zlib(_ bytes: [UInt8]) -> [UInt8] {
        var stream: [UInt8] = [0x78, 0x01]
        var start = 0
        while start < bytes.count {
            let count = min(bytes.count - start, 0xFFFF)
            let isLast: UInt8 = start + count == bytes.count ? 1 : 0
            let (low, high) = (UInt8(count & 0xFF), UInt8(count >> 8))
            stream += [isLast, low, high, ~low, ~high]
            stream += bytes[start..<start + count]
            start += count
        }
        var (a, b): (UInt32, UInt32) = (1, 0)
        for byte in bytes {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return stream + bigEndian(b << 16 | a)
    }

    private static func append(_ type: String, _ data: [UInt8], to file: inout [UInt8]) {
        let body = Array(type.utf8) + data
        file +=
            bigEndian(UInt32(data.count)) + body
            + bigEndian(body.withUnsafeBytes(ZipArchive.checksum))
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
}
