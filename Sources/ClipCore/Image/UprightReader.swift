import CKernels
import Glibc

/// Turns what another reader gives as EXIF's orientation says (Exif 2.32, 4.6.4): the pixels of
/// `ImageOps.exif_transpose`. Only the wanted part is decoded; it is held as a whole.
final class UprightReader: LineReader {
    let shape: ImageShape
    let wholeShape: ImageShape
    private let stored: any LineReader
    private let orientation: Int
    private let limits: ImageLimits
    private var turned: WholeImageReader?

    /// - Parameter orientation: 1 to 8
    static func open(
        _ stored: any LineReader, _ orientation: Int, limits: ImageLimits
    ) -> any LineReader {
        orientation == 1 ? stored : UprightReader(stored, orientation, limits)
    }

    private init(_ stored: any LineReader, _ orientation: Int, _ limits: ImageLimits) {
        self.stored = stored
        self.orientation = orientation
        self.limits = limits
        var (shape, wholeShape) = (stored.shape, stored.wholeShape)
        if orientation >= 5 {
            swap(&shape.width, &shape.height)
            swap(&wholeShape.width, &wholeShape.height)
        }
        self.shape = shape
        self.wholeShape = wholeShape
    }

    func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError) {
        let (width, height) = (stored.shape.width, stored.shape.height)
        let isTurned = orientation >= 5
        // Columns and rows of the stored image are counted from the other side.
        let isMirrored = [2, 3, 7, 8].contains(orientation)
        let isFlipped = [3, 4, 6, 7].contains(orientation)
        var (storedRows, storedColumns) = isTurned ? (columns, rows) : (rows, columns)
        if isMirrored {
            storedColumns = width - storedColumns.upperBound..<width - storedColumns.lowerBound
        }
        if isFlipped {
            storedRows = height - storedRows.upperBound..<height - storedRows.lowerBound
        }
        var part = shape
        (part.width, part.height) = (columns.count, rows.count)
        let pixelBytes = part.mode.bytesPerPixel
        try limits.checkMemory(part.width * part.height * pixelBytes)
        let turned = WholeImageReader(part) { [stored] canvas throws(ImageError) in
            let (right, bottom) = (storedColumns.count - 1, storedRows.count - 1)
            // The place of the part's stored pixel (0, 0), and how it changes along a stored row and
            // from row to row.
            let (across, down) = isTurned ? (bottom + 1, 1) : (1, right + 1)
            let first = (isMirrored ? right * across : 0) + (isFlipped ? bottom * down : 0)
            let (step, rowStep) = (isMirrored ? -across : across, isFlipped ? -down : down)
            try stored.start(rows: storedRows, columns: storedColumns)
            for row in 0..<storedRows.count {
                cpx_scatter(
                    try stored.nextLine(), storedColumns.count, Int32(pixelBytes),
                    canvas.baseAddress! + (first + row * rowStep) * pixelBytes, step)
            }
            try stored.finish()
        }
        try turned.start(rows: 0..<part.height, columns: 0..<part.width)
        self.turned = turned
    }

    func nextLine() throws(ImageError) -> UnsafePointer<UInt8> {
        turned!.nextLine()
    }

    func finish() {}
}
