/// A picture file's format, told by its first bytes and never by its name.
///
/// Signatures: JPEG is ITU-T T.81 B.1.1 (SOI, then the next marker); PNG is RFC 2083 section 3.1;
/// WebP is RFC 9649 section 2.4; GIF is GIF89a section 17; BMP is the BITMAPFILEHEADER followed by
/// one of the known header sizes; TIFF is TIFF 6.0 section 2, and BigTIFF.
public enum PictureFormat: String, CaseIterable, Sendable {
    case jpeg = "JPEG"
    case png = "PNG"
    case webP = "WebP"
    case gif = "GIF"
    case bmp = "BMP"
    case tiff = "TIFF"

    /// So many bytes from the start of a file are enough to tell its format.
    public static let prefixLength = 32

    /// The media type that a browser is told (IANA's registry).
    public var mediaType: String {
        switch self {
        case .jpeg: "image/jpeg"
        case .png: "image/png"
        case .webP: "image/webp"
        case .gif: "image/gif"
        case .bmp: "image/bmp"
        case .tiff: "image/tiff"
        }
    }

    /// The format of a file that starts with these bytes, or nil when they start no known picture.
    ///
    /// - Parameter prefix: the file's first ``prefixLength`` bytes, or all of a shorter file. More
    ///   bytes do no harm.
    public init?(prefix: some Sequence<UInt8>) {
        let start = Array(prefix.prefix(Self.prefixLength))
        guard let format = Self.allCases.first(where: { $0.isSignature(start) }) else { return nil }
        self = format
    }

    private func isSignature(_ start: [UInt8]) -> Bool {
        switch self {
        case .jpeg:
            return start.starts(with: [0xFF, 0xD8, 0xFF])
        case .png:
            return start.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        case .webP:
            return start.starts(with: Array("RIFF".utf8))
                && start.dropFirst(8).starts(with: Array("WEBP".utf8))
        case .gif:
            return start.starts(with: Array("GIF87a".utf8))
                || start.starts(with: Array("GIF89a".utf8))
        case .bmp:
            // "BM" alone starts many a text; the size of the second header settles it.
            let headerSize = start.dropFirst(14).prefix(4)
            return start.starts(with: Array("BM".utf8))
                && [12, 16, 40, 52, 56, 64, 108, 124].contains { size in
                    headerSize.elementsEqual([size, 0, 0, 0])
                }
        case .tiff:
            let signatures: [[UInt8]] = [
                [0x49, 0x49, 42, 0], [0x4D, 0x4D, 0, 42], [0x49, 0x49, 43, 0], [0x4D, 0x4D, 0, 43],
            ]
            return signatures.contains { start.starts(with: $0) }
        }
    }

    /// The name of the picture format that starts with these bytes and that is not read here, or nil.
    ///
    /// Brands are those of ISO/IEC 23008-12 (HEIF), the AV1 Image File Format and Canon's CR3; the
    /// other signatures are those of the formats' own specifications.
    public static func unsupportedName(prefix: some Sequence<UInt8>) -> String? {
        let start = Array(prefix.prefix(prefixLength))
        func has(_ text: String, at offset: Int = 0) -> Bool {
            start.dropFirst(offset).starts(with: text.utf8)
        }
        if has("ftyp", at: 4) {
            // The major brand, the minor version, then the compatible brands.
            let brands = stride(from: 8, to: start.count - 3, by: 4).filter { $0 != 12 }
            func isAny(_ names: [String]) -> Bool {
                brands.contains { brand in names.contains { has($0, at: brand) } }
            }
            if has("crx ", at: 8) { return "CR3" }
            if isAny(["avif", "avis"]) { return "AVIF" }
            return isAny(["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"])
                ? "HEIC" : nil
        }
        let signatures: [(String, [UInt8])] = [
            ("PSD", Array("8BPS".utf8)),
            ("JPEG XL", [0xFF, 0x0A]),
            ("JPEG XL", [0, 0, 0, 12, 0x4A, 0x58, 0x4C, 0x20, 0x0D, 0x0A, 0x87, 0x0A]),
            ("JPEG 2000", [0, 0, 0, 12, 0x6A, 0x50, 0x20, 0x20, 0x0D, 0x0A, 0x87, 0x0A]),
            ("JPEG 2000", [0xFF, 0x4F, 0xFF, 0x51]),
            ("JPEG XR", [0x49, 0x49, 0xBC, 1]),
            ("RAF", Array("FUJIFILMCCD-RAW".utf8)),
            ("ORF", Array("IIRO".utf8)), ("ORF", Array("IIRS".utf8)), ("ORF", Array("MMOR".utf8)),
            ("RW2", [0x49, 0x49, 0x55, 0]),
            ("X3F", Array("FOVb".utf8)),
            ("OpenEXR", [0x76, 0x2F, 0x31, 1]),
            ("QOI", Array("qoif".utf8)),
            ("XCF", Array("gimp xcf".utf8)),
        ]
        return signatures.first { start.starts(with: $0.1) }?.0
    }
}
