import ClipCore

/// Makes copies of pictures that every browser shows.
public struct Thumbnailer: Sendable {
    /// For a grid: 480 pixels on the shorter side.
    public static let small = Thumbnailer(
        ThumbnailEncoder(shortSide: 480, longSide: 1_440, quality: 78))
    /// In place of a picture that browsers do not show: at most 2,048 pixels on the longer side.
    public static let large = Thumbnailer(
        ThumbnailEncoder(shortSide: 2_048, longSide: 2_048, quality: 85))
    /// Files up to this many bytes are shown as they are.
    public static let smallFile = 60_000

    private let decoder = ImageDecoder(limits: .query)
    private let encoder: ThumbnailEncoder

    private init(_ encoder: ThumbnailEncoder) { self.encoder = encoder }

    /// A copy of a picture file, turned upright and with the colours it had.
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
    /// For a grid, kept in the database (`picture_previews`): 17 kB of a photograph, so that 24 of them are less
    /// than half a megabyte.
    static let preview = ThumbnailEncoder(shortSide: 320, longSide: 960, quality: 55)

    /// Bytes that ``preview`` takes in the database, for an estimate: never more than the picture itself.
    static func expectedBytes(ofPreviewFrom size: Int64) -> Int { Int(min(max(size, 0), 18_000)) }
}
