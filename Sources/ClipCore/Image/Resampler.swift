/// Resizes a picture as Pillow's `Image.resize(size, BICUBIC)` does (`ImagingResample`): along the
/// rows first, then along the columns, with 8-bit samples in between; an axis that keeps its length
/// is left alone.
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

    /// - Parameters:
    ///   - columns: the window's columns, within `0..<width`, not empty
    ///   - rows: the window's rows, within `0..<height`, not empty
    /// - Returns: the window, `[rows.count, columns.count]` pixels in the mode of the source
    package func resize(
        _ image: PixelImage, columns: Range<Int>, rows: Range<Int>
    ) -> PixelImage {
        let vertical =
            height == image.height
            ? nil : BicubicWeights(inputSize: image.height, outputSize: height, window: rows)
        let sourceRows = vertical.map(\.span) ?? rows

        let channels = image.mode.channels
        let strip: [UInt8]  // [sourceRows.count, columns.count, channels]
        if width == image.width {
            strip = Self.copy(image, columns: columns, rows: sourceRows)
        } else {
            let horizontal = BicubicWeights(
                inputSize: image.width, outputSize: width, window: columns)
            strip = Self.resampleRows(image, rows: sourceRows, with: horizontal)
        }
        let rowBytes = columns.count * channels
        let pixels =
            vertical.map {
                Self.resampleColumns(strip, rowBytes: rowBytes, top: sourceRows.lowerBound, with: $0)
            } ?? strip
        return PixelImage(
            width: columns.count, height: rows.count, mode: image.mode, pixels: pixels)
    }

    private static func copy(
        _ image: PixelImage, columns: Range<Int>, rows: Range<Int>
    ) -> [UInt8] {
        let channels = image.mode.channels
        var result: [UInt8] = []
        result.reserveCapacity(rows.count * columns.count * channels)
        for row in rows {
            let start = row * image.width
            let bytes =
                (start + columns.lowerBound) * channels..<(start + columns.upperBound) * channels
            result += image.pixels[bytes]
        }
        return result
    }

    /// Horizontal pass. - Returns: `[rows.count, weights.sources.count, channels]`
    private static func resampleRows(
        _ image: PixelImage, rows: Range<Int>, with weights: BicubicWeights
    ) -> [UInt8] {
        let channels = image.mode.channels
        let outputBytes = weights.sources.count * channels
        let inputBytes = image.width * channels
        return [UInt8](unsafeUninitializedCapacity: rows.count * outputBytes) { result, count in
            image.pixels.withUnsafeBufferPointer { pixels in
                for (index, row) in rows.enumerated() {
                    let input = UnsafeBufferPointer(
                        rebasing: pixels[row * inputBytes..<(row + 1) * inputBytes])
                    let output = UnsafeMutableBufferPointer(
                        rebasing: result[index * outputBytes..<(index + 1) * outputBytes])
                    switch image.mode {
                    case .grey: resampleGreyRow(input, into: output, with: weights)
                    case .rgb: resampleRGBRow(input, into: output, with: weights)
                    case .cmyk: resampleCMYKRow(input, into: output, with: weights)
                    }
                }
            }
            count = rows.count * outputBytes
        }
    }

    private static func resampleGreyRow(
        _ input: UnsafeBufferPointer<UInt8>, into output: UnsafeMutableBufferPointer<UInt8>,
        with weights: BicubicWeights
    ) {
        weights.weights.withUnsafeBufferPointer { table in
            for (x, sources) in weights.sources.enumerated() {
                var sum = BicubicWeights.half
                var weight = x * weights.stride
                for source in sources {
                    sum &+= Int32(input[source]) &* table[weight]
                    weight += 1
                }
                output[x] = BicubicWeights.sample(sum)
            }
        }
    }

    private static func resampleRGBRow(
        _ input: UnsafeBufferPointer<UInt8>, into output: UnsafeMutableBufferPointer<UInt8>,
        with weights: BicubicWeights
    ) {
        weights.weights.withUnsafeBufferPointer { table in
            for (x, sources) in weights.sources.enumerated() {
                var (red, green, blue) = (
                    BicubicWeights.half, BicubicWeights.half, BicubicWeights.half
                )
                var weight = x * weights.stride
                var sample = sources.lowerBound * 3
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
        _ input: UnsafeBufferPointer<UInt8>, into output: UnsafeMutableBufferPointer<UInt8>,
        with weights: BicubicWeights
    ) {
        weights.weights.withUnsafeBufferPointer { table in
            for (x, sources) in weights.sources.enumerated() {
                var sums = SIMD4<Int32>(repeating: BicubicWeights.half)
                var weight = x * weights.stride
                var sample = sources.lowerBound * 4
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

    /// Vertical pass. `strip` is `[rows, rowBytes]`, its first row being source row `top`.
    /// - Returns: `[weights.sources.count, rowBytes]`
    private static func resampleColumns(
        _ strip: [UInt8], rowBytes: Int, top: Int, with weights: BicubicWeights
    ) -> [UInt8] {
        let outputBytes = weights.sources.count * rowBytes
        var sums = [Int32](repeating: 0, count: rowBytes)
        return [UInt8](unsafeUninitializedCapacity: outputBytes) { result, count in
            strip.withUnsafeBufferPointer { strip in
                sums.withUnsafeMutableBufferPointer { sums in
                    for (y, sources) in weights.sources.enumerated() {
                        sums.update(repeating: BicubicWeights.half)
                        for (tap, source) in sources.enumerated() {
                            let w = weights.weights[y * weights.stride + tap]
                            let start = (source - top) * rowBytes
                            let row = UnsafeBufferPointer(
                                rebasing: strip[start..<start + rowBytes])
                            for i in 0..<rowBytes { sums[i] &+= Int32(row[i]) &* w }
                        }
                        let output = UnsafeMutableBufferPointer(
                            rebasing: result[y * rowBytes..<(y + 1) * rowBytes])
                        for i in 0..<rowBytes { output[i] = BicubicWeights.sample(sums[i]) }
                    }
                }
            }
            count = outputBytes
        }
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
