/// A Windows or OS/2 bitmap, read as Pillow reads it (`BmpImagePlugin.py`); there is no library for it.
///
/// Colour tables that hold black and white, or the grey ramp, make bilevel and grey images. 32 bits
/// have alpha only where masks say so. Lines stay in the file; a run-length-coded image takes a byte
/// a pixel.
final class BMPReader: LineReader {
    /// How a pixel is stored, from the low byte up.
    private enum Layout {
        case bits(Int)
        /// 16 bits: blue in the lowest 5, red in 5 from this bit up, and the highest value of green between.
        case packed(red: Int, greenLevels: Int)
        /// Bytes of a pixel, and where in it red, green, blue and perhaps alpha are.
        case bytes(Int, [Int])

        static let bgr15 = Layout.packed(red: 10, greenLevels: 31)
        static let bgr16 = Layout.packed(red: 11, greenLevels: 63)
    }

    private(set) var shape = ImageShape(width: 0, height: 0, mode: .rgb)
    private let bytes: UnsafeRawBufferPointer
    private var isTopDown = false
    private var bits = 0
    private var compression = 0
    private var layout = Layout.bits(8)
    private var dataOffset = 0

    private var lineBytes = 0
    private var stride = 0
    private var row = 0
    private var columns = 0..<0
    private var line = LineBuffer<UInt8>(0)

    /// - Parameter bytes: the whole file; must outlive the reader
    static func open(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        let reader = try BMPReader(bytes, limits)
        return reader.hasRuns ? WholeImageReader(reader.shape, decode: reader.readRuns) : reader
    }

    private var hasRuns: Bool { compression == 1 || compression == 2 }

    private init(_ bytes: UnsafeRawBufferPointer, _ limits: ImageLimits) throws(ImageError) {
        self.bytes = bytes
        try readHeader()
        let pixels = try limits.pixels(width: shape.width, height: shape.height)
        guard !hasRuns else {
            try limits.checkMemory(pixels)
            return
        }
        let lineBits =
            switch layout {
            case .bits(let bits): shape.width * bits
            case .packed: shape.width * 16
            case .bytes(let count, _): shape.width * count * 8
            }
        lineBytes = (lineBits + 7) / 8
        stride = (shape.width * bits + 31) >> 3 & ~3
        guard lineBytes <= stride else { throw .corrupt("its lines are shorter than its width") }
        // The last line's padding may be missing.
        guard dataOffset <= bytes.count,
            bytes.count - dataOffset >= stride * (shape.height - 1) + lineBytes
        else { throw .truncated }
        let capacity = shape.width * shape.mode.bytesPerPixel
        try limits.checkMemory(capacity)
        line = LineBuffer(capacity)
    }

    // MARK: Header

    private func readHeader() throws(ImageError) {
        var cursor = ByteCursor(bytes)
        let file = try cursor.bytes(14)
        dataOffset = file.littleEndian32(at: 10)
        let headerSize = try cursor.bytes(4).littleEndian32(at: 0)
        guard [12, 40, 52, 56, 64, 108, 124].contains(headerSize) else {
            throw .unsupportedVariant(.bmp, "a header of \(headerSize) bytes")
        }
        let header = try cursor.bytes(headerSize - 4)
        var colors = 0
        var masks: [Int] = []
        let entryBytes = headerSize == 12 ? 3 : 4
        if headerSize == 12 {
            shape.width = header.littleEndian16(at: 0)
            shape.height = header.littleEndian16(at: 2)
            bits = header.littleEndian16(at: 6)
        } else {
            shape.width = header.littleEndian32(at: 0)
            shape.height = header.littleEndian32(at: 4)
            isTopDown = header[7] == 0xFF
            if isTopDown { shape.height = (1 << 32) - shape.height }
            bits = header.littleEndian16(at: 10)
            compression = header.littleEndian32(at: 12)
            colors = header.littleEndian32(at: 28)
            if compression == 3 {
                let isInside = header.count >= 48
                let source = isInside ? header[36...] : try cursor.bytes(12)[...]
                let fields = UnsafeRawBufferPointer(rebasing: source)
                masks = (0..<3).map { fields.littleEndian32(at: $0 * 4) }
                masks.append(fields.count >= 16 ? fields.littleEndian32(at: 12) : 0)
            }
        }
        guard [1, 4, 8, 16, 24, 32].contains(bits) else {
            throw .unsupportedVariant(.bmp, "\(bits) bits a pixel")
        }
        if colors == 0 { colors = 1 << bits }
        if dataOffset == 14 + headerSize, bits <= 8 { dataOffset += entryBytes * colors }

        switch compression {
        case 0:
            layout = bits < 16 ? .bits(bits) : bits == 16 ? .bgr15 : .bytes(bits / 8, [2, 1, 0])
        case 1, 2:
            guard bits <= 8 else {
                throw .unsupportedVariant(.bmp, "runs of \(bits) bits a pixel")
            }
        case 3: (layout, shape.mode) = try Self.layout(bits: bits, masks: masks)
        default: throw .unsupportedVariant(.bmp, "compression \(compression)")
        }
        if bits <= 8 {
            guard (1...256).contains(colors) else {
                throw .unsupportedVariant(.bmp, "\(colors) colours")
            }
            readPalette(cursor.bytes(atMost: entryBytes * colors), entryBytes, colors)
        }
        if dataOffset == 0 { dataOffset = cursor.offset }
    }

    /// The arrangements of masks that Pillow knows.
    private static func layout(
        bits: Int, masks: [Int]
    ) throws(ImageError) -> (Layout, PixelImage.Mode) {
        switch (bits, masks[0], masks[1], masks[2], masks[3]) {
        case (32, 0xFF0000, 0xFF00, 0xFF, 0): (.bytes(4, [2, 1, 0]), .rgb)
        case (32, 0xFF00_0000, 0xFF0000, 0xFF00, 0): (.bytes(4, [3, 2, 1]), .rgb)
        case (32, 0xFF00_0000, 0xFF00, 0xFF, 0): (.bytes(4, [3, 1, 0]), .rgb)
        case (32, 0xFF00_0000, 0xFF0000, 0xFF00, 0xFF): (.bytes(4, [3, 2, 1, 0]), .rgba)
        case (32, 0xFF, 0xFF00, 0xFF0000, 0xFF00_0000): (.bytes(4, [0, 1, 2, 3]), .rgba)
        case (32, 0xFF0000, 0xFF00, 0xFF, 0xFF00_0000), (32, 0, 0, 0, 0):
            (.bytes(4, [2, 1, 0, 3]), .rgba)
        case (32, 0xFF00_0000, 0xFF00, 0xFF, 0xFF0000): (.bytes(4, [3, 1, 0, 2]), .rgba)
        case (24, 0xFF0000, 0xFF00, 0xFF, _): (.bytes(3, [2, 1, 0]), .rgb)
        case (16, 0xF800, 0x7E0, 0x1F, _): (.bgr16, .rgb)
        case (16, 0x7C00, 0x3E0, 0x1F, _): (.bgr15, .rgb)
        default: throw .unsupportedVariant(.bmp, "these colour masks")
        }
    }

    /// - Parameter table: `[colors, entryBytes]`, or the part of it that the file has
    private func readPalette(_ table: UnsafeRawBufferPointer, _ entryBytes: Int, _ colors: Int) {
        let isGrey = (0..<colors).allSatisfy { index in
            let value = colors == 2 ? index * 255 : index
            let start = index * entryBytes
            return start + 3 <= table.count
                && table[start..<start + 3].allSatisfy { Int($0) == value }
        }
        if isGrey {
            shape.mode = colors <= 2 ? .bilevel : .grey
            // As Pillow has it, even where the file has 4 bits or 8 of them.
            if compression == 0 { layout = .bits(colors <= 2 ? 1 : 8) }
            return
        }
        shape.mode = .palette
        shape.palette = [UInt8](repeating: 0, count: 768)
        for index in 0..<table.count / entryBytes {
            for channel in 0..<3 {
                shape.palette[index * 3 + channel] = table[index * entryBytes + 2 - channel]
            }
        }
    }

    // MARK: Lines

    func start(rows: Range<Int>, columns: Range<Int>) {
        row = rows.lowerBound
        self.columns = columns
    }

    func nextLine() -> UnsafePointer<UInt8> {
        let start = dataOffset + place(row) * stride
        unpack(UnsafeRawBufferPointer(rebasing: bytes[start..<start + lineBytes]), line.start)
        row += 1
        return UnsafePointer(line.start)
    }

    func finish() {}

    /// The row in the other order; as a rule the file's is from the bottom up.
    private func place(_ row: Int) -> Int { isTopDown ? row : shape.height - 1 - row }

    /// Makes the wanted pixels of a line from the line as stored.
    private func unpack(_ stored: UnsafeRawBufferPointer, _ output: UnsafeMutablePointer<UInt8>) {
        switch layout {
        case .bits(let bits):
            let isBilevel = shape.mode == .bilevel
            let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
            for (i, x) in columns.enumerated() {
                let at = x * bits
                let sample = stored[at >> 3] >> UInt8(8 - bits - at & 7) & mask
                output[i] = isBilevel ? (sample == 0 ? 0 : 255) : sample
            }
        case .packed(let red, let greenLevels):
            for (i, x) in columns.enumerated() {
                let pixel = stored.littleEndian16(at: x * 2)
                output[i * 3] = UInt8((pixel >> red & 31) * 255 / 31)
                output[i * 3 + 1] = UInt8((pixel >> 5 & greenLevels) * 255 / greenLevels)
                output[i * 3 + 2] = UInt8((pixel & 31) * 255 / 31)
            }
        case .bytes(let count, let places):
            for (i, x) in columns.enumerated() {
                for (channel, place) in places.enumerated() {
                    output[i * places.count + channel] = stored[x * count + place]
                }
            }
        }
    }

    // MARK: Runs

    /// Run-length-coded images (`BmpRleDecoder`).
    private func readRuns(into canvas: UnsafeMutableBufferPointer<UInt8>) throws(ImageError) {
        let width = shape.width
        let isNibbles = compression == 2
        let isBilevel = shape.mode == .bilevel
        var cursor = ByteCursor(bytes, at: dataOffset)
        var count = 0
        var x = 0
        /// Samples in the order of the file.
        func append(_ sample: UInt8) {
            guard count < canvas.count else { return }
            canvas[place(count / width) * width + count % width] =
                isBilevel && sample != 0 ? 255 : sample
            count += 1
        }
        runs: while count < canvas.count {
            guard let pixels = cursor.byte(), let value = cursor.byte() else { break }
            if pixels > 0 {
                let run = min(Int(pixels), max(0, width - x))
                for i in 0..<run {
                    append(!isNibbles ? value : i % 2 == 0 ? value >> 4 : value & 15)
                }
                x += run
                continue
            }
            switch value {
            case 0:
                while count % width != 0 { append(0) }
                x = 0
            case 1:
                break runs
            case 2:
                let move = cursor.bytes(atMost: 2)
                guard move.count == 2 else { break runs }
                let skipped = Int(move[0]) + Int(move[1]) * width
                for _ in 0..<min(canvas.count - count, skipped) { append(0) }
                x = count % width
            default:
                let wanted = min(canvas.count - count, Int(value))
                let byteCount = isNibbles ? (wanted + 1) / 2 : wanted
                let samples = cursor.bytes(atMost: byteCount)
                for (i, sample) in samples.enumerated() {
                    append(isNibbles ? sample >> 4 : sample)
                    if isNibbles, i * 2 + 1 < wanted { append(sample & 15) }
                }
                guard samples.count == byteCount, count < canvas.count else { break runs }
                x += Int(value)
                if cursor.offset % 2 != 0 { _ = cursor.byte() }
            }
        }
        guard count == canvas.count else { throw .truncated }
    }
}
