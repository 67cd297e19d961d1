/// A window of an image with samples of more than 8 bits, resampled as its lines come: Pillow's
/// `ImagingResampleHorizontal_16bpc`, `…_32bpc` and their vertical twins, in fp64 without fixed
/// point. Sums are taken in the order of the sources, because here it shows.
final class WideWindow: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let window: ResampledWindow
    private let horizontal: BicubicWeights?
    private let vertical: VerticalPass?
    private let sumCount: Int
    private var sums: [Double]
    private var samples: [Double] = []

    init(_ window: ResampledWindow) {
        self.window = window
        horizontal = window.horizontal()
        vertical = window.vertical().map(VerticalPass.init)
        sourceColumns = horizontal?.span ?? window.columns
        sourceRows = vertical?.weights.span ?? window.rows
        sumCount = window.isVerticalFirst ? sourceColumns.count : window.columns.count
        sums = [Double](repeating: 0, count: (vertical?.capacity ?? 0) * sumCount)
        samples.reserveCapacity(window.rows.count * window.columns.count)
    }

    func add(_ line: UnsafePointer<UInt8>) {
        let line = UnsafeRawPointer(line)
        let source: [Double] = (0..<sourceColumns.count).map { x in
            switch window.shape.mode {
            case .grey16: Double(line.loadUnaligned(fromByteOffset: 2 * x, as: UInt16.self))
            case .int32: Double(line.loadUnaligned(fromByteOffset: 4 * x, as: Int32.self))
            default: Double(line.loadUnaligned(fromByteOffset: 4 * x, as: Float.self))
            }
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
        func bytes(_ sample: some BitwiseCopyable) -> [UInt8] {
            withUnsafeBytes(of: sample) { [UInt8]($0) }
        }
        return window.image(
            samples.flatMap { sample in
                switch window.shape.mode {
                case .grey16: bytes(UInt16(sample))
                case .int32: bytes(Int32(sample))
                default: bytes(Float(sample))
                }
            })
    }

    /// A sum in the type of the image's samples. Of integers it is Pillow's `ROUND_UP`: half away from zero;
    /// what is beyond the type becomes its least value, as x86-64 converts it.
    private func rounded(_ sum: Double) -> Double {
        if window.shape.mode == .float32 { return Double(Float(sum)) }
        let integer =
            Int32(exactly: (sum >= 0 ? sum + 0.5 : sum - 0.5).rounded(.towardZero)) ?? .min
        return window.shape.mode == .grey16 ? Double(UInt16(clamping: integer)) : Double(integer)
    }

    private func resampledRow(_ line: [Double]) -> [Double] {
        guard let horizontal else { return line }
        return horizontal.sources.enumerated().map { output, sources in
            var sum = 0.0
            for (tap, source) in sources.enumerated() {
                sum +=
                    line[source - sourceColumns.lowerBound]
                    * horizontal.exact[output * horizontal.stride + tap]
            }
            return rounded(sum)
        }
    }

    /// - Returns: the output lines that this one completes
    private func addVertically(_ line: [Double]) -> [[Double]] {
        guard let vertical else { return [] }
        var completed: [[Double]] = []
        vertical.addLine { output, weight, isFirst, isLast in
            let start = output % vertical.capacity * sumCount
            let weight = vertical.weights.exact[weight]
            for i in 0..<sumCount {
                sums[start + i] = (isFirst ? 0 : sums[start + i]) + line[i] * weight
            }
            if isLast { completed.append(sums[start..<start + sumCount].map(rounded)) }
        }
        return completed
    }
}
