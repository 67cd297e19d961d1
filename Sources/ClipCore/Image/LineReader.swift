import Glibc

/// What an image file's header says.
package struct ImageShape: Equatable, Sendable {
    /// Pixels in a row, at least 1.
    package var width: Int
    /// Rows, at least 1.
    package var height: Int
    package var mode: PixelImage.Mode
    /// `[256, 3]`, red, green and blue, in mode ``PixelImage/Mode/palette``; else empty.
    package var palette: [UInt8] = []
}

/// An image being decoded, a line at a time: so a large image need not be in memory as a whole,
/// unless its format scatters its lines.
///
/// The calls come in the order of declaration, ``nextLine()`` once for each row that ``start`` names.
/// Readers are used by one thread at a time and share nothing.
package protocol LineReader: AnyObject {
    /// Of the lines.
    var shape: ImageShape { get }

    /// Of the image in the file, which may be larger.
    var wholeShape: ImageShape { get }

    /// Names the part of the image that is wanted. What lies outside is decoded only as far as the
    /// format needs it, and as far as an error in it makes Pillow refuse the image.
    func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError)

    /// - Returns: the wanted columns' pixels of the next wanted row. They live until the next call,
    ///   and 64 readable bytes follow them.
    func nextLine() throws(ImageError) -> UnsafePointer<UInt8>

    /// Reads what is after the wanted rows.
    func finish() throws(ImageError)
}

extension LineReader {
    package var wholeShape: ImageShape { shape }
}

/// Takes an image's lines.
package protocol LineConsumer: AnyObject {
    /// Which rows and which columns of them it wants.
    var sourceRows: Range<Int> { get }
    var sourceColumns: Range<Int> { get }

    /// The wanted columns' pixels of the next wanted row, with 64 readable bytes after them.
    func add(_ line: UnsafePointer<UInt8>)

    /// What became of the lines, after the last.
    func result() -> PixelImage
}

/// Bytes that the passes over a line may read beyond its end; what they hold does not matter.
package let linePadding = 64

/// Memory of lines, zero at first, with ``linePadding`` more readable bytes after it.
final class LineBuffer<Sample: FixedWidthInteger> {
    let start: UnsafeMutablePointer<Sample>

    init(_ count: Int) {
        start = .allocate(capacity: count + linePadding)
        start.initialize(repeating: 0, count: count + linePadding)
    }

    deinit { start.deallocate() }
}

/// A decoder of a C library; it is destroyed with its reader, also with one whose initialiser throws.
final class DecoderHandle {
    let pointer: OpaquePointer
    private let destroy: (OpaquePointer?) -> Void

    /// - Throws: ``ImageError/outOfMemory`` without a decoder
    init(
        _ pointer: OpaquePointer?, _ destroy: @escaping (OpaquePointer?) -> Void
    ) throws(ImageError) {
        guard let pointer else { throw .outOfMemory }
        self.pointer = pointer
        self.destroy = destroy
    }

    deinit { destroy(pointer) }
}

/// A reader of an image that its format, or its decoder, gives only as a whole. It is decoded when lines
/// are asked for.
package final class WholeImageReader: LineReader {
    package typealias Decode = (UnsafeMutableBufferPointer<UInt8>) throws(ImageError) -> Void

    package let shape: ImageShape
    private let decode: Decode
    private let rowBytes: Int
    private var pixels: UnsafeMutablePointer<UInt8>?
    private var next = UnsafePointer<UInt8>(bitPattern: 1)!

    /// - Parameter decode: writes `[height, width]` pixels into a buffer of exactly that size, which
    ///   holds zeros.
    package init(_ shape: ImageShape, decode: @escaping Decode) {
        self.shape = shape
        self.decode = decode
        rowBytes = shape.width * shape.mode.bytesPerPixel
    }

    deinit {
        free(pixels)
    }

    package func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError) {
        let size = rowBytes * shape.height
        // calloc's zeros cost nothing until they are written over.
        guard let memory = calloc(size + linePadding, 1) else { throw .outOfMemory }
        let start = memory.assumingMemoryBound(to: UInt8.self)
        pixels = start
        try decode(UnsafeMutableBufferPointer(start: start, count: size))
        next =
            UnsafePointer(start)
            + (rows.lowerBound * rowBytes + columns.lowerBound * shape.mode.bytesPerPixel)
    }

    package func nextLine() -> UnsafePointer<UInt8> {
        defer { next += rowBytes }
        return next
    }

    package func finish() {}
}

/// Gathers the whole image.
final class WholeImage: LineConsumer {
    let sourceRows: Range<Int>
    let sourceColumns: Range<Int>
    private let shape: ImageShape
    private let rowBytes: Int
    private var pixels: [UInt8] = []

    init(_ shape: ImageShape) {
        self.shape = shape
        sourceRows = 0..<shape.height
        sourceColumns = 0..<shape.width
        rowBytes = shape.width * shape.mode.bytesPerPixel
        pixels.reserveCapacity(rowBytes * shape.height)
    }

    func add(_ line: UnsafePointer<UInt8>) {
        pixels.append(contentsOf: UnsafeBufferPointer(start: line, count: rowBytes))
    }

    func result() -> PixelImage {
        PixelImage(
            width: shape.width, height: shape.height, mode: shape.mode, palette: shape.palette,
            pixels: pixels)
    }
}
