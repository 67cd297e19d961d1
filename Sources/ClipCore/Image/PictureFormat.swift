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
}
