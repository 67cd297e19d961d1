import ClipCore

/// The rule of ``Resampler`` in the fewest words: the whole picture, a sample at a time. It is the
/// algorithmic reference that the production path is tested against, and is used nowhere else.
enum NaiveResampler {
    /// Half a unit of a sample makes the shift round.
    private static let half: Int32 = 1 << (BicubicWeights.fractionBits - 1)

    private static func byte(_ sum: Int32) -> UInt8 {
        UInt8(min(max(sum >> BicubicWeights.fractionBits, 0), 255))
    }

    static func resize(_ image: PixelImage, width: Int, height: Int) -> PixelImage {
        Resampler(width: width, height: height).isVerticalFirst(from: image.shape)
            ? resizeRows(of: resizeColumns(of: image, to: height), to: width)
            : resizeColumns(of: resizeRows(of: image, to: width), to: height)
    }

    private static func resizeRows(of image: PixelImage, to width: Int) -> PixelImage {
        guard width != image.width else { return image }
        let weights = BicubicWeights(
            inputSize: image.width, outputSize: width, window: 0..<width)
        return make(width, image.height, image.mode) { x, y, channel in
            var sum = half
            for (tap, source) in weights.sources[x].enumerated() {
                let sample = image.pixels[
                    (y * image.width + source) * image.mode.channels + channel]
                sum += Int32(sample) * weights.weights[x * weights.stride + tap]
            }
            return byte(sum)
        }
    }

    private static func resizeColumns(of image: PixelImage, to height: Int) -> PixelImage {
        guard height != image.height else { return image }
        let weights = BicubicWeights(
            inputSize: image.height, outputSize: height, window: 0..<height)
        return make(image.width, height, image.mode) { x, y, channel in
            var sum = half
            for (tap, source) in weights.sources[y].enumerated() {
                let sample = image.pixels[
                    (source * image.width + x) * image.mode.channels + channel]
                sum += Int32(sample) * weights.weights[y * weights.stride + tap]
            }
            return byte(sum)
        }
    }

    private static func make(
        _ width: Int, _ height: Int, _ mode: PixelImage.Mode,
        sample: (_ x: Int, _ y: Int, _ channel: Int) -> UInt8
    ) -> PixelImage {
        var pixels: [UInt8] = []
        pixels.reserveCapacity(width * height * mode.channels)
        for y in 0..<height {
            for x in 0..<width {
                for channel in 0..<mode.channels { pixels.append(sample(x, y, channel)) }
            }
        }
        return PixelImage(width: width, height: height, mode: mode, pixels: pixels)
    }
}
