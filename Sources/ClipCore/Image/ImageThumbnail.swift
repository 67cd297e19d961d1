import CImages

/// A small copy of an image that every browser shows: upright, in the image's own colour profile and without
/// other metadata.
public struct Thumbnail: Equatable, Sendable {
    public let bytes: [UInt8]
    /// JPEG, or WebP for an image with transparent parts.
    public let format: ImageFormat
    /// Pixels.
    public let width: Int
    public let height: Int
}

/// Makes thumbnails of every format that is read.
public struct ThumbnailEncoder: Sendable {
    /// The largest sides in pixels. Images are never enlarged.
    public let shortSide: Int
    public let longSide: Int
    /// 1 to 100, of libjpeg and libwebp.
    public let quality: Int

    public init(shortSide: Int, longSide: Int, quality: Int) {
        precondition(shortSide > 0 && longSide > 0, "a thumbnail has pixels")
        self.shortSide = shortSide
        self.longSide = longSide
        self.quality = quality
    }

    /// - Parameter file: a whole file held in memory
    /// - Throws: ``ImageError``
    public func thumbnail(
        of file: UnsafeRawBufferPointer, decoder: ImageDecoder = ImageDecoder()
    ) throws(ImageError) -> Thumbnail {
        let file = try decoder.read(file) { lines, _ in consumer(of: lines) }
        return try encode(file.image, profile: file.profile)
    }

    /// What takes the lines of an image; its result is for ``encode(_:profile:)``.
    func consumer(of shape: ImageShape) -> any LineConsumer {
        let scale = min(
            1, Double(shortSide) / Double(min(shape.width, shape.height)),
            Double(longSide) / Double(max(shape.width, shape.height)))
        let width = max(1, Int((Double(shape.width) * scale).rounded()))
        let height = max(1, Int((Double(shape.height) * scale).rounded()))
        // Pillow takes the nearest pixel of palettes and two levels; a thumbnail is smooth.
        var smooth = shape
        if shape.mode == .palette { smooth.mode = .rgb }
        if shape.mode == .bilevel { smooth.mode = .grey }
        smooth.palette = []
        // Twice the lines that are wanted are left (Pillow's `reducing_gap` of a thumbnail).
        let averagedLines = min(max(shape.height / (2 * height), 1), 16)
        let window = Resampler(width: width, height: height, averagedLines: averagedLines)
            .window(of: smooth, columns: 0..<width, rows: 0..<height)
        return shape.mode == .palette ? PaletteLines(shape.palette, into: window) : window
    }

    /// - Parameters:
    ///   - image: what a consumer made
    ///   - profile: of the file
    /// - Throws: ``ImageError/outOfMemory``
    func encode(_ image: PixelImage, profile: [UInt8]) throws(ImageError) -> Thumbnail {
        let image = image.forDisplay
        let profile = image.matches(profile) ? profile : []
        let isWebP = image.mode.hasAlpha
        let file =
            isWebP
            ? webP(image, profile: profile)
            : JPEGEncoder(quality: quality).encode(image, profile: profile)
        guard let file else { throw .outOfMemory }
        return Thumbnail(
            bytes: file, format: isWebP ? .webP : .jpeg, width: image.width, height: image.height)
    }

    /// A WebP with alpha, or nil without memory. A profile goes behind the extended header (RFC 9649, 2.7), which
    /// is added if it is missing.
    private func webP(_ image: PixelImage, profile: [UInt8]) -> [UInt8]? {
        var size = 0
        let memory = cwebp_encode(
            image.pixels, Int32(image.width), Int32(image.height), Float(quality), &size)
        guard let memory else { return nil }
        defer { cwebp_free(memory) }
        let file = Array(UnsafeBufferPointer(start: memory, count: size))
        guard !profile.isEmpty else { return file }
        func number(_ value: Int, _ size: Int) -> [UInt8] {
            (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        let (hasProfile, hasAlpha): (UInt8, UInt8) = (32, 16)
        var body = Array("WEBPVP8X".utf8) + number(10, 4) + [hasProfile | hasAlpha, 0, 0, 0]
        body += number(image.width - 1, 3) + number(image.height - 1, 3)
        body += Array("ICCP".utf8) + number(profile.count, 4) + profile
        if profile.count % 2 == 1 { body.append(0) }
        let isExtended = file[12..<16].elementsEqual("VP8X".utf8)
        body += file[(isExtended ? 30 : 12)...]
        return Array("RIFF".utf8) + number(body.count, 4) + body
    }
}

/// Looks up the colours of a palette image's lines.
private final class PaletteLines: LineConsumer {
    var sourceRows: Range<Int> { window.sourceRows }
    var sourceColumns: Range<Int> { window.sourceColumns }
    private let window: any LineConsumer
    private let palette: [UInt8]
    private var line: [UInt8]

    init(_ palette: [UInt8], into window: any LineConsumer) {
        self.palette = palette
        self.window = window
        line = [UInt8](repeating: 0, count: window.sourceColumns.count * 3 + linePadding)
    }

    func add(_ indices: UnsafePointer<UInt8>) {
        for x in 0..<sourceColumns.count {
            let color = Int(indices[x]) * 3
            for channel in 0..<3 { line[x * 3 + channel] = palette[color + channel] }
        }
        line.withUnsafeBufferPointer { window.add($0.baseAddress!) }
    }

    func result() -> PixelImage { window.result() }
}

/// Gives an image's lines to two consumers.
final class TwoConsumers: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let first: any LineConsumer
    private let second: any LineConsumer
    private let pixelBytes: Int
    private var row: Int

    init(_ first: any LineConsumer, _ second: any LineConsumer, pixelBytes: Int) {
        self.first = first
        self.second = second
        self.pixelBytes = pixelBytes
        func union(_ a: Range<Int>, _ b: Range<Int>) -> Range<Int> {
            min(a.lowerBound, b.lowerBound)..<max(a.upperBound, b.upperBound)
        }
        sourceRows = union(first.sourceRows, second.sourceRows)
        sourceColumns = union(first.sourceColumns, second.sourceColumns)
        row = sourceRows.lowerBound
    }

    func add(_ line: UnsafePointer<UInt8>) {
        for consumer in [first, second] where consumer.sourceRows.contains(row) {
            let skipped = consumer.sourceColumns.lowerBound - sourceColumns.lowerBound
            consumer.add(line + skipped * pixelBytes)
        }
        row += 1
    }

    /// Of the first.
    func result() -> PixelImage { first.result() }
}

extension PixelImage {
    /// The image in 8 bits, as grey, RGB or, where it is not opaque, RGBA. Samples wider than a byte are scaled:
    /// 16 bits of grey by their high byte, other numbers from the least to the greatest.
    /// ``convertedToRGB()`` clips them instead, as Pillow does.
    fileprivate var forDisplay: PixelImage {
        switch mode {
        case .grey, .rgb: return self
        case .bilevel, .palette, .cmyk: return convertedToRGB()
        case .grey16:
            let high = stride(from: 1, to: pixels.count, by: 2).map { pixels[$0] }
            return PixelImage(width: width, height: height, mode: .grey, pixels: high)
        case .int32, .float32:
            let values = pixels.withUnsafeBytes { bytes in
                (0..<width * height).map { i in
                    mode == .int32
                        ? Double(bytes.loadUnaligned(fromByteOffset: i * 4, as: Int32.self))
                        : Double(bytes.loadUnaligned(fromByteOffset: i * 4, as: Float.self))
                }
            }
            let finite = values.filter(\.isFinite)
            let (least, greatest) = (finite.min() ?? 0, finite.max() ?? 0)
            let scale = greatest > least ? 255 / (greatest - least) : 0
            let grey = values.map { $0.isFinite ? UInt8(($0 - least) * scale) : 0 }
            return PixelImage(width: width, height: height, mode: .grey, pixels: grey)
        case .greyAlpha, .rgba:
            let channels = mode.channels
            let isOpaque = stride(from: channels - 1, to: pixels.count, by: channels)
                .allSatisfy { pixels[$0] == 255 }
            if isOpaque { return convertedToRGB() }
            guard mode == .greyAlpha else { return self }
            let rgba = stride(from: 0, to: pixels.count, by: 2).flatMap {
                [pixels[$0], pixels[$0], pixels[$0], pixels[$0 + 1]]
            }
            return PixelImage(width: width, height: height, mode: .rgba, pixels: rgba)
        }
    }

    /// Whether a profile is about colours like those of this image (ICC.1:2022, 7.2.6).
    fileprivate func matches(_ profile: [UInt8]) -> Bool {
        profile.count > 128
            && profile[16..<20].elementsEqual((mode == .grey ? "GRAY" : "RGB ").utf8)
    }
}
