import CKernels

/// A window of an image with samples of 8 bits, resampled as its lines come: Pillow's
/// `ImagingResampleHorizontal_8bpc` and `…Vertical_8bpc`.
final class BicubicWindow: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let window: ResampledWindow
    private let channels: Int
    private let horizontal: HorizontalPass?
    private let vertical: VerticalPass?
    /// Pillow does not touch alpha in an image that keeps its size.
    private let isPremultiplied: Bool
    private var row: Int
    /// Output lines that are complete.
    private var complete = 0

    /// Samples of a line between the passes.
    private let sumCount: Int
    /// `[capacity, sumCount]`
    private let sums: LineBuffer<Int32>
    /// Of the lines that are averaged, where they are.
    private let averageSums: LineBuffer<UInt16>
    private let average: LineBuffer<UInt8>
    /// A source line, premultiplied where needed.
    private let premultiplied: LineBuffer<UInt8>
    /// A line between the passes.
    private let middle: LineBuffer<UInt8>
    private let pixels: LineBuffer<UInt8>

    init(_ window: ResampledWindow) {
        self.window = window
        channels = window.shape.mode.channels
        let horizontalWeights = window.horizontal()
        vertical = window.vertical().map(VerticalPass.init)
        sourceColumns = horizontalWeights?.span ?? window.columns
        let lines = window.averagedLines
        sourceRows =
            vertical.map {
                let span = $0.weights.span
                return span.lowerBound * lines..<min(span.upperBound * lines, window.shape.height)
            } ?? window.rows
        row = sourceRows.lowerBound
        horizontal = horizontalWeights.map {
            HorizontalPass($0, channels: window.shape.mode.channels)
        }
        isPremultiplied = window.shape.mode.hasAlpha && (horizontal != nil || vertical != nil)

        let sourceBytes = sourceColumns.count * channels
        let lineBytes = window.columns.count * channels
        sumCount = window.isVerticalFirst ? sourceBytes : lineBytes
        sums = LineBuffer((vertical?.capacity ?? 0) * sumCount)
        averageSums = LineBuffer(lines > 1 ? sourceBytes : 0)
        average = LineBuffer(lines > 1 ? sourceBytes : 0)
        premultiplied = LineBuffer(isPremultiplied ? sourceBytes : 0)
        middle = LineBuffer(max(sourceBytes, lineBytes))
        pixels = LineBuffer(window.rows.count * lineBytes)
    }

    func add(_ line: UnsafePointer<UInt8>) {
        var line = line
        if isPremultiplied {
            cpx_premultiply(line, Int32(channels), sourceColumns.count, premultiplied.start)
            line = UnsafePointer(premultiplied.start)
        }
        let averaged = window.averagedLines
        if averaged > 1 {
            let count = sourceColumns.count * channels
            // The window starts with a whole group of lines.
            let index = row % averaged
            cpx_sum_line(line, count, index == 0 ? 1 : 0, averageSums.start)
            row += 1
            guard index == averaged - 1 || row == sourceRows.upperBound else { return }
            cpx_average_lines(averageSums.start, count, Int32(index + 1), average.start)
            line = UnsafePointer(average.start)
        }
        if vertical == nil {
            resampleRow(line, into: nextLine())
            complete += 1
        } else if window.isVerticalFirst {
            addVertically(line) { sums in
                cpx_finish_line(sums, sumCount, middle.start)
                resampleRow(middle.start, into: nextLine())
            }
        } else {
            if let horizontal {
                horizontal.resample(line, into: middle.start)
                line = UnsafePointer(middle.start)
            }
            addVertically(line) { sums in
                cpx_finish_line(sums, sumCount, nextLine())
            }
        }
    }

    func result() -> PixelImage {
        let count = window.rows.count * window.columns.count
        if isPremultiplied { cpx_unpremultiply(pixels.start, Int32(channels), count) }
        return window.image(
            [UInt8](UnsafeBufferPointer(start: pixels.start, count: count * channels)))
    }

    private func nextLine() -> UnsafeMutablePointer<UInt8> {
        pixels.start + complete * window.columns.count * channels
    }

    private func resampleRow(
        _ line: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<UInt8>
    ) {
        if let horizontal {
            horizontal.resample(line, into: output)
        } else {
            output.update(from: line, count: window.columns.count * channels)
        }
    }

    /// Adds a line to the sums that it counts for, and calls `finish` with each that is complete.
    private func addVertically(
        _ line: UnsafePointer<UInt8>, finish: (UnsafePointer<Int32>) -> Void
    ) {
        guard let vertical else { return }
        vertical.addLine { output, weight, isFirst, isLast in
            let sum = sums.start + output % vertical.capacity * sumCount
            cpx_add_line(
                line, sumCount, vertical.weights.weights[weight], isFirst ? 1 : 0, sum)
            if isLast {
                finish(sum)
                complete += 1
            }
        }
    }
}

/// The weights of a pass along the rows, as ``cpx_resample_line`` takes them.
private struct HorizontalPass {
    private let channels: Int
    private let starts: [Int32]
    private let steps: Int
    private let weights: [Int32]

    /// Lines will start at the first sample of the weights' span.
    init(_ bicubic: BicubicWeights, channels: Int) {
        self.channels = channels
        let tapsInStep = cpx_taps_in_step(Int32(channels))
        let taps = bicubic.sources.lazy.map(\.count).max() ?? 1
        let steps = (taps + tapsInStep - 1) / tapsInStep
        self.steps = steps

        let span = bicubic.span
        // So that whole steps end within the line, if it is long enough.
        let lastStart = max(0, span.count - steps * tapsInStep)
        var starts: [Int32] = []
        var weights = [Int32](repeating: 0, count: bicubic.sources.count * steps * 16)
        weights.withUnsafeMutableBufferPointer { weights in
            for (output, sources) in bicubic.sources.enumerated() {
                let first = sources.lowerBound - span.lowerBound
                let start = min(first, lastStart)
                starts.append(Int32(start * channels))
                let block = weights.baseAddress! + output * steps * 16
                for tap in 0..<sources.count {
                    cpx_place_weight(
                        block, Int32(channels), first - start + tap,
                        bicubic.weights[output * bicubic.stride + tap])
                }
            }
        }
        self.starts = starts
        self.weights = weights
    }

    func resample(_ line: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<UInt8>) {
        cpx_resample_line(line, Int32(channels), starts.count, starts, steps, weights, output)
    }
}
