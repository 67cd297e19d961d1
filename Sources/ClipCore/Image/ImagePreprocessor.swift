/// Makes of a picture of any size the square that CLIP's image encoder takes, byte for byte as
/// upstream's `clip._transform(n_px)` does: `Resize(n_px, BICUBIC)`, `CenterCrop(n_px)`,
/// `convert("RGB")`, `ToTensor()`, `Normalize(mean, std)`, in this order. The resize therefore happens
/// in the picture's own mode.
///
/// A value holds only constants; any number of threads may share it.
public struct ImagePreprocessor: Sendable {
    /// Side of the square in pixels: 224 for ViT-B/32, B/16 and L/14, 336 for L/14@336px.
    public let resolution: Int

    /// `[3, 256]`: what a sample of each channel is normalised to.
    private let normalized: [Float]

    /// Upstream's per-channel mean and standard deviation of its training pictures, samples 0 to 1.
    static let mean: [Float] = [0.48145466, 0.4578275, 0.40821073]
    static let standardDeviation: [Float] = [0.26862954, 0.26130258, 0.27577711]

    /// - Precondition: `resolution` is between 1 and 4096.
    public init(resolution: Int) {
        precondition((1...4096).contains(resolution), "resolution out of range")
        self.resolution = resolution
        normalized = (0..<3).flatMap { channel in
            (0..<256).map { sample in
                (Float(sample) / 255 - Self.mean[channel]) / Self.standardDeviation[channel]
            }
        }
    }

    /// How many floats ``write(_:into:)`` writes: `3 * resolution * resolution`.
    public var valueCount: Int { 3 * resolution * resolution }

    /// Resize, centre crop and conversion.
    ///
    /// - Returns: `[resolution, resolution, 3]`, red, green and blue bytes
    public func rgb(_ image: PixelImage) -> [UInt8] {
        square(image).pixels
    }

    /// Resize, centre crop, conversion and normalisation.
    ///
    /// - Parameter values: receives `[3, resolution, resolution]`, planes of red, green and blue
    /// - Precondition: `values` holds ``valueCount`` floats.
    public func write(_ image: PixelImage, into values: UnsafeMutableBufferPointer<Float>) {
        precondition(values.count == valueCount, "the buffer must hold the normalised picture")
        let plane = resolution * resolution
        square(image).pixels.withUnsafeBufferPointer { samples in
            normalized.withUnsafeBufferPointer { normalized in
                for channel in 0..<3 {
                    for i in 0..<plane {
                        let sample = Int(samples[i * 3 + channel])
                        values[channel * plane + i] = normalized[channel * 256 + sample]
                    }
                }
            }
        }
    }

    /// Decodes a picture file and writes it normalised.
    ///
    /// - Parameters:
    ///   - encoded: the whole file
    ///   - values: receives `[3, resolution, resolution]`, planes of red, green and blue; left alone
    ///     when an error is thrown
    /// - Precondition: `values` holds ``valueCount`` floats.
    /// - Throws: ``ImageError``
    public func write(
        encoded: UnsafeRawBufferPointer, decoder: ImageDecoder = ImageDecoder(),
        into values: UnsafeMutableBufferPointer<Float>
    ) throws(ImageError) {
        write(try decoder.decode(encoded), into: values)
    }

    /// Decodes a picture file and normalises it.
    ///
    /// - Returns: `[3, resolution, resolution]`, planes of red, green and blue
    /// - Throws: ``ImageError``
    public func values(
        encoded: [UInt8], decoder: ImageDecoder = ImageDecoder()
    ) throws(ImageError) -> [Float] {
        let image = try decoder.decode(encoded)
        return [Float](unsafeUninitializedCapacity: valueCount) { buffer, count in
            write(image, into: UnsafeMutableBufferPointer(rebasing: buffer[..<valueCount]))
            count = valueCount
        }
    }

    private func square(_ image: PixelImage) -> PixelImage {
        let (width, height) = resizedSize(width: image.width, height: image.height)
        let window = Resampler(width: width, height: height).resize(
            image, columns: centered(in: width), rows: centered(in: height))
        return window.convertedToRGB()
    }

    /// torchvision's `_compute_resized_output_size`: the short side becomes the resolution, the long
    /// side follows, truncated. Both are at least the resolution, so that the crop never pads.
    package func resizedSize(width: Int, height: Int) -> (width: Int, height: Int) {
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
