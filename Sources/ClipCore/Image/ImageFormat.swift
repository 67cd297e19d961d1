/// An image file's format, recognised by its first bytes, never by its name.
///
/// Signatures: JPEG is ITU-T T.81 B.1.1 (SOI, then the next marker); PNG is RFC 2083 section 3.1;
/// WebP is RFC 9649 section 2.4; GIF is GIF89a section 17; BMP is the BITMAPFILEHEADER followed by
/// one of the known header sizes; TIFF is TIFF 6.0 section 2, and BigTIFF. HEIC and AVIF are
/// recognised by the brands of ISO/IEC 23008-12 and the AV1 Image File Format; JPEG XL and JPEG 2000 are a codestream or a
/// container (ISO/IEC 18181-2, 15444-1). Cameras' raw files have signatures of their makers; those that are
/// TIFF files are recognised by ``ImageDecoder``.
public enum ImageFormat: String, CaseIterable, Sendable {
    case jpeg = "JPEG"
    case png = "PNG"
    case webP = "WebP"
    case gif = "GIF"
    case bmp = "BMP"
    case tiff = "TIFF"
    case heic = "HEIC"
    case avif = "AVIF"
    case jpegXL = "JPEG XL"
    case jpeg2000 = "JPEG 2000"
    case raw = "RAW"

    /// The media type (IANA's registry).
    public var mediaType: String {
        switch self {
        case .jpeg, .png, .webP, .gif, .bmp, .tiff, .heic, .avif: "image/\(rawValue.lowercased())"
        case .jpegXL: "image/jxl"
        case .jpeg2000: "image/jp2"
        case .raw: "application/octet-stream"
        }
    }

    /// Whether browsers show files of this format.
    public var isShownByBrowsers: Bool {
        [.jpeg, .png, .webP, .gif, .bmp, .avif].contains(self)
    }

    /// This many bytes from the start of a file are enough to tell its format.
    public static let prefixLength = 32

    /// The format of a file that starts with these bytes, or nil when this build reads no such file.
    ///
    /// - Parameter prefix: the file's first ``prefixLength`` bytes, or all of a shorter file. More
    ///   bytes do no harm.
    public init?(prefix: some Sequence<UInt8>) {
        let start = Array(prefix.prefix(Self.prefixLength))
        guard let format = Self.allCases.first(where: { $0.isSignature(start) }), format.isBuiltIn
        else { return nil }
        self = format
    }

    /// The name of the image format that starts with these bytes and that this build does not read, or nil.
    public static func unsupportedName(prefix: some Sequence<UInt8>) -> String? {
        let start = Array(prefix.prefix(prefixLength))
        if let format = allCases.first(where: { $0.isSignature(start) }) {
            return format.isBuiltIn ? nil : format.rawValue
        }
        let signatures: [(String, [UInt8])] = [
            ("PSD", Array("8BPS".utf8)),
            ("JPEG XR", [0x49, 0x49, 0xBC, 1]),
            ("X3F", Array("FOVb".utf8)),
            ("OpenEXR", [0x76, 0x2F, 0x31, 1]),
            ("QOI", Array("qoif".utf8)),
            ("XCF", Array("gimp xcf".utf8)),
        ]
        return signatures.first { start.starts(with: $0.1) }?.0
    }

    private func isSignature(_ start: [UInt8]) -> Bool {
        func has(_ text: String, at offset: Int = 0) -> Bool {
            start.dropFirst(offset).starts(with: text.utf8)
        }
        switch self {
        case .jpeg:
            return start.starts(with: [0xFF, 0xD8, 0xFF])
        case .png:
            return start.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        case .webP:
            return has("RIFF") && has("WEBP", at: 8)
        case .gif:
            return has("GIF87a") || has("GIF89a")
        case .bmp:
            // "BM" alone starts many a text; the size of the second header settles it.
            let headerSize = start.dropFirst(14).prefix(4)
            return has("BM")
                && [12, 16, 40, 52, 56, 64, 108, 124].contains { size in
                    headerSize.elementsEqual([size, 0, 0, 0])
                }
        case .tiff:
            return ["II*\0", "MM\0*", "II+\0", "MM\0+"].contains { has($0) }
                && !Self.raw.isSignature(start)
        case .avif:
            return Self.hasBrand(start, ["avif", "avis"])
        case .heic:
            return !Self.avif.isSignature(start)
                && Self.hasBrand(
                    start, ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"])
        case .jpegXL:
            return start.starts(with: [0xFF, 0x0A])
                || start.starts(with: [0, 0, 0, 12] + "JXL \r\n".utf8 + [0x87, 0x0A])
        case .jpeg2000:
            return start.starts(with: [0xFF, 0x4F, 0xFF, 0x51])
                || start.starts(with: [0, 0, 0, 12] + "jP  \r\n".utf8 + [0x87, 0x0A])
        case .raw:
            // Canon's CR3 and CR2, Fujifilm's RAF, Olympus' ORF, Panasonic's RW2.
            return has("ftypcrx ", at: 4) || has("II*\0") && has("CR", at: 8)
                || ["FUJIFILMCCD-RAW", "IIRO", "IIRS", "MMOR", "IIU\0"].contains { has($0) }
        }
    }

    /// Whether one of the brands is the major one or among the compatible ones.
    private static func hasBrand(_ start: [UInt8], _ names: [String]) -> Bool {
        guard start.dropFirst(4).starts(with: "ftyp".utf8) else { return false }
        // The major brand, its version, then the compatible brands.
        return stride(from: 8, to: start.count - 3, by: 4).contains { place in
            place != 12 && names.contains { start[place...].starts(with: $0.utf8) }
        }
    }
}
