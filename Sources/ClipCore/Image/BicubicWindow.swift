import CKernels

/// A window of an image with samples of 8 bits, resampled as its lines come: Pillow's
/// `ImagingResampleHorizontal_8bpc` and `…Vertical_8bpc`.
final class BicubicWindow: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let window: ResampledWindow
    private let channels: Int
    private let horizontal: HorizontalPass?
    private let verticalWeights: [Int32]
    private var vertical: VerticalPass?
    /// Pillow does not touch alpha in an image that keeps its size.
    private let isPremultiplied: Bool

    /// Samples of a line between the passes.
    private let sumCount: Int
    /// `[capacity, sumCount]`
    private let sums: UnsafeMutablePointer<Int32>
    /// Of the lines that are averaged; only where they are.
    private let averageSums: UnsafeMutablePointer<UInt16>
    /// Source lines in `averageSums`.
    private var summedLines = 0
    private let average: UnsafeMutablePointer<UInt8>
    private var row: Int
    /// A source line, premultiplied; only where needed.
    private let premultiplied: UnsafeMutablePointer<UInt8>
    /// A line between the passes.
    private let middle: UnsafeMutablePointer<UInt8>
    private var pixels: UnsafeMutablePointer<UInt8>
    /// Output lines that are complete.
    private var complete = 0

    init(_ window: ResampledWindow) {
        self.window = window
        channels = window.shape.mode.channels
        let horizontalWeights = window.horizontal()
        let verticalWeights = window.vertical()
        sourceColumns = horizontalWeights?.span ?? window.columns
        let lines = window.averagedLines
        sourceRows =
            verticalWeights.map {
                $0.span.lowerBound * lines..<min($0.span.upperBound * lines, window.shape.height)
            } ?? window.rows
        row = sourceRows.lowerBound
        horizontal = horizontalWeights.map {
            HorizontalPass($0, channels: window.shape.mode.channels)
        }
        vertical = verticalWeights.map { VerticalPass($0) }
        self.verticalWeights = verticalWeights?.weights ?? []
        isPremultiplied =
            window.shape.mode.hasAlpha && (horizontal != nil || vertical != nil)

        let sourceBytes = sourceColumns.count * channels
        let lineBytes = window.columns.count * channels
        sumCount = window.isVerticalFirst ? sourceBytes : lineBytes
        sums = .allocate(capacity: max(1, (vertical?.capacity ?? 0) * sumCount))
        premultiplied = .allocate(capacity: isPremultiplied ? sourceBytes + linePadding : 1)
        let averageBytes = lines > 1 ? sourceBytes + linePadding : 1
        averageSums = .allocate(capacity: averageBytes)
        average = .allocate(capacity: averageBytes)
        average.initialize(repeating: 0, count: averageBytes)
        let middleBytes = max(sourceBytes, lineBytes) + linePadding
        middle = .allocate(capacity: middleBytes)
        pixels = .allocate(capacity: window.rows.count * lineBytes)
        if isPremultiplied {
            premultiplied.initialize(repeating: 0, count: sourceBytes + linePadding)
        }
        middle.initialize(repeating: 0, count: middleBytes)
        pixels.initialize(repeating: 0, count: window.rows.count * lineBytes)
    }

    deinit {
        sums.deallocate()
        averageSums.deallocate()
        average.deallocate()
        premultiplied.deallocate()
        middle.deallocate()
        pixels.deallocate()
    }

    func add(_ line: UnsafePointer<UInt8>) {
        var line = line
        if isPremultiplied {
            cpx_premultiply(line, Int32(channels), sourceColumns.count, premultiplied)
            line = UnsafePointer(premultiplied)
        }
        if window.averagedLines > 1 {
            let count = sourceColumns.count * channels
            cpx_sum_line(line, count, summedLines == 0 ? 1 : 0, averageSums)
            row += 1
            summedLines += 1
            guard summedLines == window.averagedLines || row == sourceRows.upperBound else {
                return
            }
            cpx_average_lines(averageSums, count, Int32(summedLines), average)
            summedLines = 0
            line = UnsafePointer(average)
        }
        if vertical == nil {
            resampleRow(line, into: nextLine())
            complete += 1
        } else if window.isVerticalFirst {
            addVertically(line) { sums in
                cpx_finish_line(sums, sumCount, middle)
                resampleRow(middle, into: nextLine())
            }
        } else {
            if let horizontal {
                horizontal.resample(line, into: middle)
                line = UnsafePointer(middle)
            }
            addVertically(line) { sums in
                cpx_finish_line(sums, sumCount, nextLine())
            }
        }
    }

    func result() -> PixelImage {
        let count = window.rows.count * window.columns.count
        if isPremultiplied { cpx_unpremultiply(pixels, Int32(channels), count) }
        return window.image(
            [UInt8](UnsafeBufferPointer(start: pixels, count: count * channels)))
    }

    private func nextLine() -> UnsafeMutablePointer<UInt8> {
        pixels + complete * window.columns.count * channels
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
        let capacity = vertical?.capacity ?? 1
        vertical?.addLine { step in
            let sum = sums + step.output % capacity * sumCount
            cpx_add_line(
                line, sumCount, verticalWeights[step.weight], step.isFirst ? 1 : 0, sum)
            if step.isLast {
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
