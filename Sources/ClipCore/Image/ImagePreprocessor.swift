import CKernels

/// How a model wants its images resized and normalised.
public struct ImagePreprocessing: Sendable, Equatable {
    public enum Resize: String, Sendable {
        /// The shorter side becomes the resolution; of the longer one the centre is kept.
        case shortestSide = "shortest"
        /// Both sides become the resolution; the aspect ratio changes.
        case squash
    }

    /// The filter of Pillow's `Image.resize`.
    public enum Interpolation: String, Sendable {
        case bicubic, bilinear
    }

    public var resize = Resize.shortestSide
    public var interpolation = Interpolation.bicubic
    /// Of red, green and blue, for samples from 0 to 1.
    public var mean: [Float] = [0.48145466, 0.4578275, 0.40821073]
    public var standardDeviation: [Float] = [0.26862954, 0.26130258, 0.27577711]

    /// As upstream's `clip._transform`.
    public static let openAI = ImagePreprocessing()

    /// The same text for the same preprocessing.
    var summary: String {
        let numbers = (mean + standardDeviation).map { String($0.bitPattern, radix: 16) }
        return "\(resize.rawValue),\(interpolation.rawValue),\(numbers.joined(separator: ","))"
    }
}

/// Turns an image of any size into the square that CLIP's image encoder takes, byte for byte as
/// upstream's `clip._transform(n_px)` does: `Resize(n_px, BICUBIC)`, `CenterCrop(n_px)`,
/// `convert("RGB")`, `ToTensor()`, `Normalize(mean, std)`, in this order. The resize therefore happens
/// in the image's own mode.
///
/// A value holds only constants; any number of threads may share it.
public struct ImagePreprocessor: Sendable {
    /// Side of the square in pixels: 224 for ViT-B/32, B/16 and L/14, 336 for L/14@336px.
    public let resolution: Int

    public let preprocessing: ImagePreprocessing

    /// - Precondition: `resolution` is between 1 and 4096.
    public init(resolution: Int, _ preprocessing: ImagePreprocessing = .openAI) {
        precondition((1...4096).contains(resolution), "resolution out of range")
        self.resolution = resolution
        self.preprocessing = preprocessing
    }

    /// What a model's image encoder takes.
    public init(_ configuration: ClipConfiguration) {
        self.init(resolution: configuration.imageResolution, configuration.preprocessing)
    }

    /// How many floats ``write(encoded:decoder:into:)`` writes: `3 * resolution * resolution`.
    public var valueCount: Int { 3 * resolution * resolution }

    /// Decoding of what the square needs, resize, centre crop and conversion.
    ///
    /// - Returns: `[resolution, resolution, 3]`, red, green and blue bytes, and the file's metadata
    /// - Throws: ``ImageError``
    public func rgb(
        encoded: UnsafeRawBufferPointer, decoder: ImageDecoder = ImageDecoder()
    ) throws(ImageError) -> (square: [UInt8], metadata: ImageMetadata) {
        let file = try decoder.read(encoded, leastSide: leastSide, into: consumer)
        return (file.image.convertedToRGB().pixels, file.metadata)
    }

    /// Whether a file's square is the same under another rule.
    ///
    /// - Throws: ``ImageError``
    public func isSame(
        encoded: UnsafeRawBufferPointer, decoder: ImageDecoder, under other: ImageDecoder.Rule
    ) throws(ImageError) -> Bool {
        try decoder.hasSamePixels(encoded, under: other, leastSide: leastSide)
    }

    /// What a fast rule leaves of an image's shorter side, at least: twice the resolution, and no less
    /// than a preview has, which is made of the same lines.
    private var leastSide: Int { max(2 * resolution, 320) }

    /// - Parameters:
    ///   - shape: of the lines, which may be scaled down
    ///   - whole: of the image in the file, whose size says what it is resized to
    private func consumer(
        _ shape: ImageShape, _ whole: ImageShape
    ) throws(ImageError) -> any LineConsumer {
        // Pillow would want hundreds of gigabytes for these.
        let sides = (min(whole.width, whole.height), max(whole.width, whole.height))
        guard sides.1 / sides.0 <= Self.maximumAspect else {
            throw .tooNarrow(width: whole.width, height: whole.height)
        }
        let size = resizedSize(width: whole.width, height: whole.height)
        return Resampler(
            width: size.width, height: size.height, interpolation: preprocessing.interpolation
        ).window(of: shape, columns: centered(in: size.width), rows: centered(in: size.height))
    }

    /// How many times as long as the other an image's side may be.
    private static let maximumAspect = 1_000_000

    package func normalize(_ rgb: [UInt8], into values: UnsafeMutableBufferPointer<Float>) {
        let plane = resolution * resolution
        rgb.withUnsafeBufferPointer { samples in
            for channel in 0..<3 {
                cpx_normalize(
                    samples.baseAddress! + channel, plane, preprocessing.mean[channel],
                    preprocessing.standardDeviation[channel], values.baseAddress! + channel * plane)
            }
        }
    }

    /// Decodes an image file once, writes it normalised and, if asked for, makes a thumbnail of it.
    ///
    /// - Parameters:
    ///   - encoded: the whole file
    ///   - values: receives `[3, resolution, resolution]`, planes of red, green and blue; left alone
    ///     when an error is thrown
    /// - Returns: the file's metadata, and a thumbnail where there is an encoder
    /// - Precondition: `values` holds ``valueCount`` floats.
    /// - Throws: ``ImageError``
    @discardableResult
    public func write(
        encoded: UnsafeRawBufferPointer, decoder: ImageDecoder = ImageDecoder(),
        into values: UnsafeMutableBufferPointer<Float>, thumbnail encoder: ThumbnailEncoder? = nil
    ) throws(ImageError) -> (metadata: ImageMetadata, thumbnail: Thumbnail?) {
        precondition(values.count == valueCount, "the buffer must hold the normalised image")
        var small: (any LineConsumer)?
        let file = try decoder.read(encoded, leastSide: leastSide) {
            (shape, whole) throws(ImageError) in
            let square = try consumer(shape, whole)
            small = encoder?.consumer(of: shape)
            guard let small else { return square }
            return TwoConsumers(square, small, pixelBytes: shape.mode.bytesPerPixel)
        }
        var thumbnail: Thumbnail?
        if let encoder, let small {
            thumbnail = try encoder.encode(small.result(), profile: file.profile)
        }
        normalize(file.image.convertedToRGB().pixels, into: values)
        return (file.metadata, thumbnail)
    }

    /// Decodes an image file and normalises it.
    ///
    /// - Returns: `[3, resolution, resolution]`, planes of red, green and blue
    /// - Throws: ``ImageError``
    public func values(
        encoded: [UInt8], decoder: ImageDecoder = ImageDecoder()
    ) throws(ImageError) -> [Float] {
        let square = try encoded.withUnsafeBufferPointer { (bytes) throws(ImageError) in
            try rgb(encoded: UnsafeRawBufferPointer(bytes), decoder: decoder).square
        }
        return [Float](unsafeUninitializedCapacity: valueCount) { buffer, count in
            normalize(square, into: UnsafeMutableBufferPointer(rebasing: buffer[..<valueCount]))
            count = valueCount
        }
    }

    /// torchvision's `_compute_resized_output_size`: the short side becomes the resolution, the long
    /// side follows, truncated. Both are at least the resolution, so that the crop never pads.
    package func resizedSize(width: Int, height: Int) -> (width: Int, height: Int) {
        if preprocessing.resize == .squash { return (resolution, resolution) }
        let (short, long) = (min(width, height), max(width, height))
        let resizedLong = Int(Double(resolution * long) / Double(short))
        return width <= height ? (resolution, resizedLong) : (resizedLong, resolution)
    }

    /// torchvision's `center_crop` along one axis: `int(round((size - crop) / 2.0))`, where Python
    /// rounds halves to even.
    package func centered(in size: Int) -> Range<Int> {
        let start = Int((Double(size - resolution) / 2).rounded(.toNearestOrEven))
        return start..<start + resolution
    }
}
