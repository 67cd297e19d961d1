/// A decoded image: samples interleaved, rows top to bottom without padding.
public struct PixelImage: Equatable, Sendable {
    /// What a pixel's samples are; named as Pillow names its modes.
    public enum Mode: String, CaseIterable, Sendable {
        /// One sample, black 0 or white 255: Pillow's `1`.
        case bilevel = "1"
        /// One sample, black 0 to white 255: Pillow's `L`.
        case grey = "L"
        /// Grey and alpha, transparent 0 to opaque 255, not premultiplied: Pillow's `LA`.
        case greyAlpha = "LA"
        /// One sample, a place in the palette: Pillow's `P`.
        case palette = "P"
        /// Red, green, blue: Pillow's `RGB`.
        case rgb = "RGB"
        /// Red, green, blue, alpha, not premultiplied: Pillow's `RGBA`.
        case rgba = "RGBA"
        /// Cyan, magenta, yellow, black, no ink 0 to full ink 255: Pillow's `CMYK`.
        case cmyk = "CMYK"
        /// One sample of 16 bits, low byte first: Pillow's `I;16`.
        case grey16 = "I;16"
        /// One signed sample of 32 bits, in the machine's order: Pillow's `I`.
        case int32 = "I"
        /// One fp32 sample, in the machine's order: Pillow's `F`.
        case float32 = "F"

        /// Samples in a pixel: 1 to 4.
        public var channels: Int {
            switch self {
            case .bilevel, .grey, .palette, .grey16, .int32, .float32: 1
            case .greyAlpha: 2
            case .rgb: 3
            case .rgba, .cmyk: 4
            }
        }

        /// 1 to 4.
        public var bytesPerPixel: Int {
            switch self {
            case .grey16: 2
            case .int32, .float32: 4
            default: channels
            }
        }

        /// Whether the last channel is alpha.
        public var hasAlpha: Bool { self == .greyAlpha || self == .rgba }
    }

    /// Pixels in a row, at least 1.
    public let width: Int
    /// Rows, at least 1.
    public let height: Int
    public let mode: Mode
    /// `[256, 3]`, red, green and blue, in mode ``Mode/palette``; else empty.
    public let palette: [UInt8]
    /// `[height, width, bytesPerPixel]`
    public let pixels: [UInt8]

    /// - Precondition: the sides are positive, `pixels` has `height * width * bytesPerPixel` bytes, and
    ///   a palette is there exactly in mode ``Mode/palette``.
    public init(width: Int, height: Int, mode: Mode, palette: [UInt8] = [], pixels: [UInt8]) {
        precondition(width > 0 && height > 0, "an image has pixels")
        precondition(
            pixels.count == width * height * mode.bytesPerPixel, "samples fill the image")
        precondition(palette.count == (mode == .palette ? 768 : 0), "256 colours, or none")
        self.width = width
        self.height = height
        self.mode = mode
        self.palette = palette
        self.pixels = pixels
    }

    package var shape: ImageShape {
        ImageShape(width: width, height: height, mode: mode, palette: palette)
    }
}
