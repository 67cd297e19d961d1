import CZlib

/// The blocks of metadata in an image file, as `Image.open` and `load` of Pillow find them. Damage ends the
/// search; nothing is an error.
struct MetadataBlocks {
    /// A TIFF structure, perhaps after `Exif\0\0`.
    var exif: [UInt8] = []
    var xmp: [UInt8] = []
    /// An ICC profile; empty when it is absent or a part of it is missing.
    var profile: [UInt8] = []

    /// Real profiles have some kilobytes, compressed texts too.
    private static let maximumBytes = 4 << 20
}

extension MetadataBlocks {
    init(_ file: UnsafeRawBufferPointer, _ format: ImageFormat) {
        switch format {
        case .jpeg: readJPEG(file)
        case .png: readPNG(file)
        case .webP: readWebP(file)
        case .tiff: profile = TIFFDirectory(file)?.bytes(34675).map(Array.init) ?? []
        case .jpegXL: readJPEGXL(file)
        case .gif, .bmp, .heic, .avif, .jpeg2000, .raw: break
        }
        if profile.count > Self.maximumBytes { profile = [] }
    }

    // MARK: JPEG

    /// Reads the segments before the first scan (ITU-T T.81, B.1.1).
    private mutating func readJPEG(_ file: UnsafeRawBufferPointer) {
        var parts: [Int: UnsafeRawBufferPointer] = [:]
        var partCount = 0
        var place = 2
        while place + 4 <= file.count {
            let marker = file[place + 1]
            switch (file[place], marker) {
            // Bytes between segments, fill bytes, and markers that stand alone.
            case (0..<0xFF, _), (_, 0xFF): place += 1
            case (_, 0), (_, 0xD0...0xD8): place += 2
            case (_, 0xD9), (_, 0xDA): place = file.count
            default:
                let length = file.bigEndian(2, at: place + 2)
                guard length >= 2, length <= file.count - place - 2 else {
                    place = file.count
                    break
                }
                let body = UnsafeRawBufferPointer(
                    rebasing: file[(place + 4)..<(place + 2 + length)])
                if marker == 0xE1, body.starts(with: "Exif\0\0".utf8) {
                    exif += exif.isEmpty ? Array(body) : Array(body.dropFirst(6))
                } else if marker == 0xE1, body.starts(with: Self.xmpName) {
                    xmp = Array(body.dropFirst(Self.xmpName.count))
                } else if marker == 0xE2, body.count > 14, body.starts(with: "ICC_PROFILE\0".utf8) {
                    // ICC.1:2022, B.4: number of the part, how many there are, then its bytes.
                    partCount = Int(body[13])
                    parts[Int(body[12])] = UnsafeRawBufferPointer(rebasing: body[14...])
                }
                place += 2 + length
            }
        }
        guard partCount > 0, (1...partCount).allSatisfy({ parts[$0] != nil }) else { return }
        profile = (1...partCount).flatMap { Array(parts[$0]!) }
    }

    private static let xmpName = Array("http://ns.adobe.com/xap/1.0/\0".utf8)

    // MARK: PNG

    /// Reads chunks to the end, or to an animation's second frame.
    private mutating func readPNG(_ file: UnsafeRawBufferPointer) {
        var sawData = false
        var rawProfile: [UInt8] = []
        var place = 8
        while file.count - place >= 12 {
            let length = file.bigEndian(4, at: place)
            guard length <= file.count - place - 12 else { break }
            let body = UnsafeRawBufferPointer(rebasing: file[(place + 8)..<(place + 8 + length)])
            switch String(decoding: file[(place + 4)..<(place + 8)], as: UTF8.self) {
            case "IDAT": sawData = true
            case "eXIf": exif = Array(body)
            case "iCCP":
                // A name, the method of compression (deflate is the only one), the profile.
                if let name = body.firstIndex(of: 0), profile.isEmpty {
                    profile = Self.inflated(body.dropFirst(name + 2))
                }
            case "tEXt", "zTXt", "iTXt":
                guard let (name, text) = Self.text(body, kind: file[place + 4]) else { break }
                if name == "XML:com.adobe.xmp" { xmp = text }
                if name == "Raw profile type exif" { rawProfile = text }
            case "fcTL" where sawData: place = file.count
            default: break
            }
            place += 12 + length
        }
        if exif.isEmpty { exif = Self.bytes(ofRawProfile: rawProfile) }
    }

    /// Name and text of a chunk of texts (PNG, third edition, 11.3.3).
    private static func text(
        _ body: UnsafeRawBufferPointer, kind: UInt8
    ) -> (name: String, text: [UInt8])? {
        guard let end = body.firstIndex(of: 0) else { return nil }
        let name = String(decoding: body[..<end], as: UTF8.self)
        let rest = body[(end + 1)...]
        switch kind {
        case UInt8(ascii: "t"): return (name, Array(rest))
        case UInt8(ascii: "z"): return (name, inflated(rest.dropFirst()))
        default:
            // Flag and method of compression, language, translated name, text.
            let parts = rest.dropFirst(2).split(
                separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
            guard let flag = rest.first, parts.count == 3 else { return nil }
            return (name, flag == 0 ? Array(parts[2]) : inflated(parts[2]))
        }
    }

    /// What zlib data hold; nothing when they are damaged or hold more than ``maximumBytes``.
    private static func inflated(_ bytes: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        let source = UnsafeRawBufferPointer(rebasing: bytes)
        return [UInt8](unsafeUninitializedCapacity: maximumBytes) { buffer, count in
            var size = uLong(maximumBytes)
            let status = uncompress(
                buffer.baseAddress, &size, source.bindMemory(to: UInt8.self).baseAddress,
                uLong(source.count))
            count = status == Z_OK ? Int(size) : 0
        }
    }

    /// ImageMagick's way of writing EXIF into a text: three lines, then hexadecimal digits.
    private static func bytes(ofRawProfile text: [UInt8]) -> [UInt8] {
        let lines = text.split(separator: 10, maxSplits: 3, omittingEmptySubsequences: false)
        guard lines.count == 4 else { return [] }
        let digits = lines[3].compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map {
            UInt8(digits[$0] << 4 | digits[$0 + 1])
        }
    }

    // MARK: WebP

    /// Reads the chunks that the extended header announces (RFC 9649, 2.7).
    private mutating func readWebP(_ file: UnsafeRawBufferPointer) {
        var flags: UInt8 = 0
        var place = 12
        while file.count - place >= 8 {
            let length = file.littleEndian32(at: place + 4)
            guard length <= file.count - place - 8 else { return }
            let body = file[(place + 8)..<(place + 8 + length)]
            switch String(decoding: file[place..<(place + 4)], as: UTF8.self) {
            case "VP8X": flags = body.first ?? 0
            case "EXIF" where flags & 8 != 0 && exif.isEmpty: exif = Array(body)
            case "XMP " where flags & 4 != 0 && xmp.isEmpty: xmp = Array(body)
            case "ICCP" where flags & 32 != 0 && profile.isEmpty: profile = Array(body)
            default: break
            }
            place += 8 + length + length & 1
        }
    }

    // MARK: JPEG XL

    /// Reads the boxes of a container (ISO/IEC 18181-2); compressed ones are skipped.
    private mutating func readJPEGXL(_ file: UnsafeRawBufferPointer) {
        guard file.first == 0 else { return }
        var place = 0
        while file.count - place >= 16 {
            // 0: to the end of the file; 1: the length is in the next 8 bytes.
            let isLarge = file.bigEndian(4, at: place) == 1
            guard !isLarge || file[place + 8] == 0 else { return }
            let length = isLarge ? file.bigEndian(8, at: place + 8) : file.bigEndian(4, at: place)
            let header = isLarge ? 16 : 8
            let end = length == 0 ? file.count : place + length
            guard length == 0 || length >= header, end <= file.count else { return }
            let kind = file[(place + 4)..<(place + 8)]
            if kind.elementsEqual("Exif".utf8), end - place >= header + 4 {
                // The number of bytes before the TIFF structure comes first; some writers omit it.
                let body = file[(place + header)..<end]
                let isBare = ["II*\0", "MM\0*"].contains { body.starts(with: $0.utf8) }
                let skipped = isBare ? 0 : 4 + file.bigEndian(4, at: place + header)
                exif = Array(body.dropFirst(skipped))
                return
            }
            place = end
        }
    }
}
