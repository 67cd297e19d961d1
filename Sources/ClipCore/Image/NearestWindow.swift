/// A window of an image resized to the nearest pixels: Pillow's `ImagingScaleAffine`, which adds up
/// the scale from the middle of the first pixel on, in fp64.
final class NearestWindow: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let window: ResampledWindow
    /// The source column, counted from the first wanted one, of each column; the source row of each
    /// row.
    private let sourceOfColumn: [Int]
    private let sourceOfRow: [Int]
    private var row: Int
    private var pixels: [UInt8] = []

    init(_ window: ResampledWindow) {
        self.window = window
        let columns = Self.sources(
            of: window.columns, inputSize: window.shape.width, outputSize: window.resampler.width)
        sourceOfRow = Self.sources(
            of: window.rows, inputSize: window.shape.height, outputSize: window.resampler.height)
        sourceColumns = columns[0]..<columns[columns.count - 1] + 1
        sourceRows = sourceOfRow[0]..<sourceOfRow[sourceOfRow.count - 1] + 1
        let left = sourceColumns.lowerBound
        sourceOfColumn = columns.map { $0 - left }
        row = sourceRows.lowerBound
        pixels.reserveCapacity(window.rows.count * window.columns.count)
    }

    func add(_ line: UnsafePointer<UInt8>) {
        while pixels.count < window.rows.count * window.columns.count,
            sourceOfRow[pixels.count / window.columns.count] == row
        {
            for source in sourceOfColumn { pixels.append(line[source]) }
        }
        row += 1
    }

    func result() -> PixelImage {
        window.image(pixels)
    }

    private static func sources(of range: Range<Int>, inputSize: Int, outputSize: Int) -> [Int] {
        let scale = Double(inputSize) / Double(outputSize)
        var position = scale * 0.5
        for _ in 0..<range.lowerBound { position += scale }
        return range.map { _ in
            defer { position += scale }
            return min(Int(position), inputSize - 1)
        }
    }
}
