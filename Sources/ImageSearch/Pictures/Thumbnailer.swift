import ClipCore

/// Makes small copies of pictures for a grid.
public struct Thumbnailer: Sendable {
    /// Pixels of the shorter side.
    public static let side = 480
    /// The longer side is at most this many times the shorter; a grid shows a square of it.
    private static let maximumAspect = 3
    /// Files up to this many bytes are shown as they are.
    public static let smallFile = 60_000

    private let decoder = ImageDecoder(limits: .query)
    private let encoder = ThumbnailEncoder(
        shortSide: side, longSide: side * maximumAspect, quality: 78)

    public init() {}

    /// A small copy of a picture file, turned upright and with the colours it had.
    ///
    /// - Returns: a JPEG or WebP file; nil when the picture is best shown as it is: it is small already and
    ///   every browser shows it upright, or it cannot be decoded.
    public func thumbnail(of file: [UInt8]) -> [UInt8]? {
        file.withUnsafeBytes { bytes in
            guard let metadata = try? decoder.metadata(bytes) else { return nil }
            // Browsers turn JPEGs as EXIF says, but not all of them other formats.
            let format = PictureFormat(prefix: file)
            let isShown =
                format == .jpeg
                || metadata.orientation == 1 && format?.isShownByBrowsers == true
            guard file.count > Self.smallFile || !isShown,
                let small = try? encoder.thumbnail(of: bytes, decoder: decoder),
                small.bytes.count < file.count || !isShown
            else { return nil }
            return small.bytes
        }
    }
}

extension ThumbnailEncoder {
    /// For a grid, kept in the database (`picture_previews`): about 15 kB.
    static let preview = ThumbnailEncoder(shortSide: 320, longSide: 960, quality: 70)

    /// Bytes that ``preview`` takes in the database, for an estimate: never more than the picture itself.
    static func expectedBytes(ofPreviewFrom size: Int64) -> Int { Int(min(max(size, 0), 15_000)) }
}
