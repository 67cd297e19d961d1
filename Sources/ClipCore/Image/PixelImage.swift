/// A decoded picture: 8-bit samples, interleaved, rows top to bottom without padding.
public struct PixelImage: Equatable, Sendable {
    /// What a pixel's samples are; named as Pillow names its modes.
    public enum Mode: String, Sendable {
        /// One sample, black 0 to white 255: Pillow's `L`.
        case grey = "L"
        /// Red, green, blue: Pillow's `RGB`.
        case rgb = "RGB"
        /// Cyan, magenta, yellow, black, no ink 0 to full ink 255: Pillow's `CMYK`.
        case cmyk = "CMYK"

        /// Samples in a pixel: 1, 3 or 4.
        public var channels: Int {
            switch self {
            case .grey: 1
            case .rgb: 3
            case .cmyk: 4
            }
        }
    }

    /// Pixels in a row, at least 1.
    public let width: Int
    /// Rows, at least 1.
    public let height: Int
    public let mode: Mode
    /// `[height, width, channels]`
    public let pixels: [UInt8]

    /// - Precondition: the sides are positive and `pixels` has `height * width * channels` samples.
    public init(width: Int, height: Int, mode: Mode, pixels: [UInt8]) {
        precondition(width > 0 && height > 0, "a picture has pixels")
        precondition(pixels.count == width * height * mode.channels, "samples fill the picture")
        self.width = width
        self.height = height
        self.mode = mode
        self.pixels = pixels
    }
}
