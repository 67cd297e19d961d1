/// Resizes an image as Pillow's `Image.resize(size, BICUBIC)` does, in its own mode
/// (`Image.resize` and `ImagingResample` of Pillow 13):
///
/// - One pass along the rows and one along the columns, with samples of the image's own width in
///   between; an axis that keeps its length is left alone. ``isVerticalFirst`` says which pass comes
///   first.
/// - Palette and bilevel images take the nearest pixel instead.
/// - With alpha, colours are premultiplied before and divided after. An image that keeps its size is
///   left alone.
///
/// Only a window of the resized image is made. Every sample depends on its own weights and
/// sources alone, so the window is the same bytes as a crop of the whole would be, and an image of
/// 10,000 × 3, whose whole would be 746,666 × 224, costs no more than any other.
///
/// Tests compare it with the same rule written for reading.
package struct Resampler {
    /// The size that the whole image would be resized to.
    package let width: Int
    package let height: Int
    package let interpolation: ImagePreprocessing.Interpolation
    /// How many lines of samples of 8 bits are averaged into one first, 1 to 16. With more than 1 the result is
    /// only nearly Pillow's, in a fraction of the time.
    package let averagedLines: Int

    package init(
        width: Int, height: Int, interpolation: ImagePreprocessing.Interpolation = .bicubic,
        averagedLines: Int = 1
    ) {
        precondition((1...16).contains(averagedLines), "sums have 16 bits")
        self.width = width
        self.height = height
        self.interpolation = interpolation
        self.averagedLines = averagedLines
    }

    /// Pillow 13 starts with the columns when the height loses more than twice the pixels that the
    /// width loses; it shows in the rounding. In CLIP's preprocessing those are the images more
    /// than about twice as high as wide. (Pillow up to 12.1 always starts with the rows; 12.2 and
    /// 12.3 do so except for images more than 100 times as high as wide.)
    package func isVerticalFirst(from shape: ImageShape) -> Bool {
        let lost = (width: shape.width - width, height: shape.height - height)
        return lost.height > 0 && lost.height > 2 * lost.width
    }

    /// Makes the window of an image whose lines come one by one.
    ///
    /// - Parameters:
    ///   - columns: the window's columns, within `0..<width`, not empty
    ///   - rows: the window's rows, within `0..<height`, not empty
    package func window(
        of shape: ImageShape, columns: Range<Int>, rows: Range<Int>
    ) -> any LineConsumer {
        let window = ResampledWindow(resampler: self, shape: shape, columns: columns, rows: rows)
        return switch shape.mode {
        case .bilevel, .palette: NearestWindow(window)
        case .grey16, .int32, .float32: WideWindow(window)
        case .grey, .greyAlpha, .rgb, .rgba, .cmyk: BicubicWindow(window)
        }
    }

    /// - Parameters:
    ///   - columns: the window's columns, within `0..<width`, not empty
    ///   - rows: the window's rows, within `0..<height`, not empty
    /// - Returns: the window, `[rows.count, columns.count]` pixels in the mode of the source
    package func resize(
        _ image: PixelImage, columns: Range<Int>, rows: Range<Int>
    ) -> PixelImage {
        let window = window(of: image.shape, columns: columns, rows: rows)
        let pixelBytes = image.mode.bytesPerPixel
        let lineBytes = window.sourceColumns.count * pixelBytes
        let line = LineBuffer<UInt8>(lineBytes)
        image.pixels.withUnsafeBufferPointer { pixels in
            for row in window.sourceRows {
                let start = (row * image.width + window.sourceColumns.lowerBound) * pixelBytes
                line.start.update(from: pixels.baseAddress! + start, count: lineBytes)
                window.add(line.start)
            }
        }
        return window.result()
    }
}

/// A window of an image to be resized, and which pass makes what of it.
struct ResampledWindow {
    let resampler: Resampler
    let shape: ImageShape
    let columns: Range<Int>
    let rows: Range<Int>

    /// Always 1 where the height stays, and for samples wider than a byte.
    var averagedLines: Int {
        let isAveraged =
            shape.mode.channels == shape.mode.bytesPerPixel && resampler.height != shape.height
        return isAveraged ? resampler.averagedLines : 1
    }

    var isVerticalFirst: Bool { resampler.isVerticalFirst(from: shape) }

    /// The pass along the rows, or nil when the width stays.
    func horizontal() -> BicubicWeights? {
        resampler.width == shape.width
            ? nil
            : BicubicWeights(
                inputSize: shape.width, outputSize: resampler.width, window: columns,
                interpolation: resampler.interpolation)
    }

    /// The pass along the columns, or nil when the height stays.
    func vertical() -> BicubicWeights? {
        resampler.height == shape.height
            ? nil
            : BicubicWeights(
                inputSize: (shape.height + averagedLines - 1) / averagedLines,
                length: Double(shape.height) / Double(averagedLines), outputSize: resampler.height,
                window: rows, interpolation: resampler.interpolation)
    }

    func image(_ pixels: [UInt8]) -> PixelImage {
        PixelImage(
            width: columns.count, height: rows.count, mode: shape.mode, palette: shape.palette,
            pixels: pixels)
    }
}
