/// Resizes a picture as Pillow's `Image.resize(size, BICUBIC)` does (`ImagingResample` of Pillow 13):
/// one pass along the rows and one along the columns, with 8-bit samples in between; an axis that
/// keeps its length is left alone. ``isVerticalFirst`` says which pass comes first.
///
/// Only a window of the resized picture is made. Every sample depends on its own weights and
/// sources alone, so the window is the same bytes as a crop of the whole would be, and a picture of
/// 10,000 × 3, whose whole would be 746,666 × 224, costs no more than any other.
///
/// ``NaiveResampler`` is the same rule written for reading.
package struct Resampler {
    /// The size that the whole picture would be resized to.
    package let width: Int
    package let height: Int

    package init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// Pillow 13 starts with the columns when the height loses more than twice the pixels that the
    /// width loses; it shows in the rounding. In CLIP's preprocessing those are the pictures more
    /// than about twice as high as wide. (Pillow up to 12.1 always starts with the rows; 12.2 and
    /// 12.3 do so save for pictures more than 100 times as high as wide.)
    package func isVerticalFirst(from image: PixelImage) -> Bool {
        let lost = (width: image.width - width, height: image.height - height)
        return lost.height > 0 && lost.height > 2 * lost.width
    }

    /// - Parameters:
    ///   - columns: the window's columns, within `0..<width`, not empty
    ///   - rows: the window's rows, within `0..<height`, not empty
    /// - Returns: the window, `[rows.count, columns.count]` pixels in the mode of the source
    package func resize(
        _ image: PixelImage, columns: Range<Int>, rows: Range<Int>
    ) -> PixelImage {
        let horizontal =
            width == image.width
            ? nil : BicubicWeights(inputSize: image.width, outputSize: width, window: columns)
        let vertical =
            height == image.height
            ? nil : BicubicWeights(inputSize: image.height, outputSize: height, window: rows)
        // What of the picture the window depends on.
        let sourceColumns = horizontal.map(\.span) ?? columns
        let sourceRows = vertical.map(\.span) ?? rows

        guard let horizontal else {
            guard let vertical else { return Self.crop(image, columns: columns, rows: rows) }
            return Self.resampleColumns(of: image, top: 0, columns: columns, with: vertical)
        }
        guard let vertical else {
            return Self.resampleRows(of: image, left: 0, rows: rows, with: horizontal)
        }
        if isVerticalFirst(from: image) {
            let strip = Self.resampleColumns(
                of: image, top: 0, columns: sourceColumns, with: vertical)
            return Self.resampleRows(
                of: strip, left: sourceColumns.lowerBound, rows: 0..<rows.count, with: horizontal)
        }
        let strip = Self.resampleRows(of: image, left: 0, rows: sourceRows, with: horizontal)
        return Self.resampleColumns(
            of: strip, top: sourceRows.lowerBound, columns: 0..<columns.count, with: vertical)
    }

    private static func crop(
        _ image: PixelImage, columns: Range<Int>, rows: Range<Int>
    ) -> PixelImage {
        let channels = image.mode.channels
        var pixels: [UInt8] = []
        pixels.reserveCapacity(rows.count * columns.count * channels)
        for row in rows {
            let start = row * image.width
            let first = (start + columns.lowerBound) * channels
            pixels += image.pixels[first..<first + columns.count * channels]
        }
        return PixelImage(
            width: columns.count, height: rows.count, mode: image.mode, pixels: pixels)
    }

    /// Horizontal pass. `image` holds the rows' samples from column `left` on, and `rows` counts from
    /// its first.
    /// - Returns: `[rows.count, weights.sources.count]` pixels
    private static func resampleRows(
        of image: PixelImage, left: Int, rows: Range<Int>, with weights: BicubicWeights
    ) -> PixelImage {
        let channels = image.mode.channels
        let outputBytes = weights.sources.count * channels
        let inputBytes = image.width * channels
        let size = rows.count * outputBytes
        let pixels = [UInt8](unsafeUninitializedCapacity: size) { result, count in
            image.pixels.withUnsafeBufferPointer { pixels in
                for (index, row) in rows.enumerated() {
                    let input = UnsafeBufferPointer(
                        rebasing: pixels[row * inputBytes..<(row + 1) * inputBytes])
                    let output = UnsafeMutableBufferPointer(
                        rebasing: result[index * outputBytes..<(index + 1) * outputBytes])
                    switch image.mode {
                    case .grey: resampleGreyRow(input, left: left, into: output, with: weights)
                    case .rgb: resampleRGBRow(input, left: left, into: output, with: weights)
                    case .cmyk: resampleCMYKRow(input, left: left, into: output, with: weights)
                    }
                }
            }
            count = size
        }
        return PixelImage(
            width: weights.sources.count, height: rows.count, mode: image.mode, pixels: pixels)
    }

    private static func resampleGreyRow(
        _ input: UnsafeBufferPointer<UInt8>, left: Int,
        into output: UnsafeMutableBufferPointer<UInt8>, with weights: BicubicWeights
    ) {
        weights.weights.withUnsafeBufferPointer { table in
            for (x, sources) in weights.sources.enumerated() {
                var sum = BicubicWeights.half
                var weight = x * weights.stride
                for source in sources {
                    sum &+= Int32(input[source - left]) &* table[weight]
                    weight += 1
                }
                output[x] = BicubicWeights.sample(sum)
            }
        }
    }

    private static func resampleRGBRow(
        _ input: UnsafeBufferPointer<UInt8>, left: Int,
        into output: UnsafeMutableBufferPointer<UInt8>, with weights: BicubicWeights
    ) {
        weights.weights.withUnsafeBufferPointer { table in
            for (x, sources) in weights.sources.enumerated() {
                var (red, green, blue) = (
                    BicubicWeights.half, BicubicWeights.half, BicubicWeights.half
                )
                var weight = x * weights.stride
                var sample = (sources.lowerBound - left) * 3
                for _ in sources {
                    let w = table[weight]
                    red &+= Int32(input[sample]) &* w
                    green &+= Int32(input[sample + 1]) &* w
                    blue &+= Int32(input[sample + 2]) &* w
                    weight += 1
                    sample += 3
                }
                output[x * 3] = BicubicWeights.sample(red)
                output[x * 3 + 1] = BicubicWeights.sample(green)
                output[x * 3 + 2] = BicubicWeights.sample(blue)
            }
        }
    }

    private static func resampleCMYKRow(
        _ input: UnsafeBufferPointer<UInt8>, left: Int,
        into output: UnsafeMutableBufferPointer<UInt8>, with weights: BicubicWeights
    ) {
        weights.weights.withUnsafeBufferPointer { table in
            for (x, sources) in weights.sources.enumerated() {
                var sums = SIMD4<Int32>(repeating: BicubicWeights.half)
                var weight = x * weights.stride
                var sample = (sources.lowerBound - left) * 4
                for _ in sources {
                    let samples = SIMD4<UInt8>(
                        input[sample], input[sample + 1], input[sample + 2], input[sample + 3])
                    sums &+= SIMD4<Int32>(truncatingIfNeeded: samples) &* table[weight]
                    weight += 1
                    sample += 4
                }
                for channel in 0..<4 {
                    output[x * 4 + channel] = BicubicWeights.sample(sums[channel])
                }
            }
        }
    }

    /// Vertical pass. `image` holds the columns' samples from row `top` on, and `columns` counts from
    /// its first.
    /// - Returns: `[weights.sources.count, columns.count]` pixels
    private static func resampleColumns(
        of image: PixelImage, top: Int, columns: Range<Int>, with weights: BicubicWeights
    ) -> PixelImage {
        let channels = image.mode.channels
        let rowBytes = columns.count * channels
        let size = weights.sources.count * rowBytes
        var sums = [Int32](repeating: 0, count: rowBytes)
        let pixels = [UInt8](unsafeUninitializedCapacity: size) { result, count in
            image.pixels.withUnsafeBufferPointer { pixels in
                sums.withUnsafeMutableBufferPointer { sums in
                    for (y, sources) in weights.sources.enumerated() {
                        sums.update(repeating: BicubicWeights.half)
                        for (tap, source) in sources.enumerated() {
                            let w = weights.weights[y * weights.stride + tap]
                            let start =
                                ((source - top) * image.width + columns.lowerBound) * channels
                            let row = UnsafeBufferPointer(
                                rebasing: pixels[start..<start + rowBytes])
                            for i in 0..<rowBytes { sums[i] &+= Int32(row[i]) &* w }
                        }
                        let output = UnsafeMutableBufferPointer(
                            rebasing: result[y * rowBytes..<(y + 1) * rowBytes])
                        for i in 0..<rowBytes { output[i] = BicubicWeights.sample(sums[i]) }
                    }
                }
            }
            count = size
        }
        return PixelImage(
            width: columns.count, height: weights.sources.count, mode: image.mode, pixels: pixels)
    }
}

extension BicubicWeights {
    /// From the first to the last source sample that any output sample of the window needs.
    fileprivate var span: Range<Int> {
        let start = sources.lazy.map(\.lowerBound).min() ?? 0
        let end = sources.lazy.map(\.upperBound).max() ?? start
        return start..<end
    }
}
