/// A sample of more than 8 bits: Pillow resamples these in fp64, without fixed point.
protocol WideSample: BitwiseCopyable {
    init(resampled value: Double)
    var asDouble: Double { get }
}

/// A window of an image with wide samples, resampled as its lines come: Pillow's
/// `ImagingResampleHorizontal_16bpc`, `…_32bpc` and their vertical twins. Sums are taken in the order
/// of the sources, because here it shows.
final class WideWindow<Sample: WideSample>: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let window: ResampledWindow
    private let horizontal: BicubicWeights?
    private let verticalWeights: [Double]
    private var vertical: VerticalPass?
    private let sumCount: Int
    private var sums: [Double]
    private var samples: [Sample] = []

    init(_ window: ResampledWindow) {
        self.window = window
        horizontal = window.horizontal()
        let verticalWeights = window.vertical()
        vertical = verticalWeights.map { VerticalPass($0) }
        self.verticalWeights = verticalWeights?.exact ?? []
        sourceColumns = horizontal?.span ?? window.columns
        sourceRows = verticalWeights?.span ?? window.rows
        sumCount = window.isVerticalFirst ? sourceColumns.count : window.columns.count
        sums = [Double](repeating: 0, count: (vertical?.capacity ?? 0) * sumCount)
        samples.reserveCapacity(window.rows.count * window.columns.count)
    }

    func add(_ line: UnsafePointer<UInt8>) {
        let raw = UnsafeRawBufferPointer(
            start: line, count: sourceColumns.count * MemoryLayout<Sample>.size)
        let source = (0..<sourceColumns.count).map {
            raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Sample>.size, as: Sample.self)
        }
        if vertical == nil {
            samples += resampledRow(source)
        } else if window.isVerticalFirst {
            for line in addVertically(source) { samples += resampledRow(line) }
        } else {
            for line in addVertically(resampledRow(source)) { samples += line }
        }
    }

    func result() -> PixelImage {
        window.image(samples.withUnsafeBytes { [UInt8]($0) })
    }

    private func resampledRow(_ line: [Sample]) -> [Sample] {
        guard let horizontal else { return line }
        return horizontal.sources.enumerated().map { output, sources in
            var sum = 0.0
            for (tap, source) in sources.enumerated() {
                sum +=
                    line[source - sourceColumns.lowerBound].asDouble
                    * horizontal.exact[output * horizontal.stride + tap]
            }
            return Sample(resampled: sum)
        }
    }

    /// - Returns: the output lines that this one completes
    private func addVertically(_ line: [Sample]) -> [[Sample]] {
        var completed: [[Sample]] = []
        let capacity = vertical?.capacity ?? 1
        vertical?.addLine { step in
            let start = step.output % capacity * sumCount
            let weight = verticalWeights[step.weight]
            for i in 0..<sumCount {
                sums[start + i] = (step.isFirst ? 0 : sums[start + i]) + line[i].asDouble * weight
            }
            if step.isLast {
                completed.append(sums[start..<start + sumCount].map { Sample(resampled: $0) })
            }
        }
        return completed
    }
}

extension UInt16: WideSample {
    init(resampled value: Double) {
        self = UInt16(clamping: Int32(rounded: value))
    }

    var asDouble: Double { Double(self) }
}

extension Int32: WideSample {
    init(resampled value: Double) {
        self.init(rounded: value)
    }

    var asDouble: Double { Double(self) }

    /// Pillow's `ROUND_UP`: half away from zero. What is beyond the type becomes its least value, as
    /// x86-64 converts it.
    fileprivate init(rounded value: Double) {
        self = Int32(exactly: (value >= 0 ? value + 0.5 : value - 0.5).rounded(.towardZero)) ?? .min
    }
}

extension Float: WideSample {
    init(resampled value: Double) {
        self.init(value)
    }

    var asDouble: Double { Double(self) }
}
