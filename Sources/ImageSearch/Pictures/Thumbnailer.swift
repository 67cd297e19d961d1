import ClipCore

/// Makes small copies of pictures for a grid.
public struct Thumbnailer: Sendable {
    /// Pixels of the shorter side.
    public static let side = 480
    /// The longer side is at most so many times the shorter; a grid shows a square of it.
    private static let maximumAspect = 3
    /// Files up to this many bytes are shown as they are.
    public static let smallFile = 60_000

    private let decoder = ImageDecoder(limits: .query)
    private let encoder = JPEGEncoder(quality: 78)

    public init() {}

    /// A small copy of a picture file, turned upright and with the colours it had.
    ///
    /// - Returns: a JPEG file; nil when the picture is best shown as it is: it is small already, or of a
    ///   format that is not decoded here.
    public func thumbnail(of file: [UInt8]) -> [UInt8]? {
        guard file.count > Self.smallFile, let decoded = try? decoder.decode(file),
            // JPEG has no transparency.
            !decoded.mode.hasAlpha
        else { return nil }
        let image: PixelImage
        switch decoded.mode {
        case .grey, .rgb, .cmyk: image = decoded
        case .grey16: image = decoded.highBytes
        // Palette indices cannot be averaged.
        default: image = decoded.convertedToRGB()
        }
        let short = min(image.width, image.height)
        let long = max(image.width, image.height)
        // Never enlarged. What is long is shrunk until its long side fits, which is then no longer
        // large enough for a sharp square, but whole.
        let scale = min(
            1, Double(Self.side) / Double(short),
            Double(Self.side * Self.maximumAspect) / Double(long))
        let width = max(1, Int((Double(image.width) * scale).rounded()))
        let height = max(1, Int((Double(image.height) * scale).rounded()))
        let small = Resampler(width: width, height: height)
            .resize(image, columns: 0..<width, rows: 0..<height)
        // A profile says what CMYK's inks look like, not what became of them in RGB.
        let profile =
            image.mode == .cmyk ? [] : file.withUnsafeBytes { ImageDecoder.profile(of: $0) }
        return encoder.encode(small, profile: profile, maximumBytes: file.count - 1)
    }
}
