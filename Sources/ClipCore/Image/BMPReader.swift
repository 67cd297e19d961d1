/// A Windows or OS/2 bitmap, read as Pillow reads it (`BmpImagePlugin.py`); there is no library for it.
///
/// Colour tables that hold black and white, or the grey ramp, make bilevel and grey images. 32 bits
/// have alpha only where masks say so. Lines stay in the file; a run-length-coded image takes a byte
/// a pixel.
struct BMPReader {
    /// How a pixel is stored, named as in Pillow: from the low byte up.
    private enum Layout {
        case bits(Int)
        case bgr15
        case bgr16
        /// Bytes of a pixel, and where in it red, green, blue and perhaps alpha are.
        case bytes(Int, [Int])
    }

    private let bytes: UnsafeRawBufferPointer
    private var width = 0
    private var height = 0
    private var isTopDown = false
    private var bits = 0
    private var compression = 0
    private var layout = Layout.bits(8)
    private var mode = PixelImage.Mode.rgb
    private var palette: [UInt8] = []
    private var dataOffset = 0

    static func open(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        var reader = BMPReader(bytes)
        return try reader.read(limits)
    }

    private init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    private mutating func read(_ limits: ImageLimits) throws(ImageError) -> any LineReader {
        try readHeader()
        let pixels = try limits.pixels(width: width, height: height)
        let shape = ImageShape(width: width, height: height, mode: mode, palette: palette)
        if compression == 1 || compression == 2 {
            try limits.checkMemory(pixels)
            let runs = self
            return WholeImageReader(shape) { canvas throws(ImageError) in
                try runs.readRuns(into: canvas)
            }
        }
        return try BMPLines(
            shape, unpack: unpacker(), lineBits: lineBits,
            stride: (width * bits + 31) >> 3 & ~3, offset: dataOffset, isTopDown: isTopDown,
            bytes: bytes, limits: limits)
    }

    // MARK: Header

    private mutating func readHeader() throws(ImageError) {
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
            (width, height) = (header.littleEndian16(at: 0), header.littleEndian16(at: 2))
            bits = header.littleEndian16(at: 6)
        } else {
            (width, height) = (header.littleEndian32(at: 0), header.littleEndian32(at: 4))
            isTopDown = header[7] == 0xFF
            if isTopDown { height = (1 << 32) - height }
            bits = header.littleEndian16(at: 10)
            compression = header.littleEndian32(at: 12)
            colors = header.littleEndian32(at: 28)
            if compression == 3 {
                if header.count >= 48 {
                    masks = (0..<3).map { header.littleEndian32(at: 36 + $0 * 4) }
                    masks.append(header.count >= 52 ? header.littleEndian32(at: 48) : 0)
                } else {
                    let after = try cursor.bytes(12)
                    masks = (0..<3).map { after.littleEndian32(at: $0 * 4) } + [0]
                }
            }
        }
        guard [1, 4, 8, 16, 24, 32].contains(bits) else {
            throw .unsupportedVariant(.bmp, "\(bits) bits a pixel")
        }
        if colors == 0 { colors = 1 << bits }
        if dataOffset == 14 + headerSize, bits <= 8 { dataOffset += entryBytes * colors }

        switch compression {
        case 0: layout = Self.plainLayout(bits)
        case 1, 2:
            guard bits <= 8 else {
                throw .unsupportedVariant(.bmp, "runs of \(bits) bits a pixel")
            }
            layout = .bits(8)
        case 3: (layout, mode) = try Self.layout(bits: bits, masks: masks)
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

    /// Bits of a colour table's index come with the colour table.
    private static func plainLayout(_ bits: Int) -> Layout {
        switch bits {
        case 16: .bgr15
        case 24: .bytes(3, [2, 1, 0])
        case 32: .bytes(4, [2, 1, 0])
        default: .bits(bits)
        }
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
    private mutating func readPalette(
        _ table: UnsafeRawBufferPointer, _ entryBytes: Int, _ colors: Int
    ) {
        let isGrey = (0..<colors).allSatisfy { index in
            let value = colors == 2 ? index * 255 : index
            let start = index * entryBytes
            return start + 3 <= table.count
                && table[start..<start + 3].allSatisfy { Int($0) == value }
        }
        if isGrey {
            mode = colors <= 2 ? .bilevel : .grey
            // As Pillow has it, even where the file has 4 bits or 8 of them.
            if compression == 0 { layout = .bits(colors <= 2 ? 1 : 8) }
            return
        }
        mode = .palette
        palette = [UInt8](repeating: 0, count: 768)
        for index in 0..<table.count / entryBytes {
            for channel in 0..<3 {
                palette[index * 3 + channel] = table[index * entryBytes + 2 - channel]
            }
        }
    }

    // MARK: Lines

    private var lineBits: Int {
        switch layout {
        case .bits(let bits): width * bits
        case .bgr15, .bgr16: width * 16
        case .bytes(let count, _): width * count * 8
        }
    }

    /// What makes a range of a line's pixels from the line as stored.
    private func unpacker() -> BMPLines.Unpacker {
        switch layout {
        case .bits(let bits):
            let isBilevel = mode == .bilevel
            let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
            return { line, columns, output in
                for (i, x) in columns.enumerated() {
                    let at = x * bits
                    let sample = line[at >> 3] >> UInt8(8 - bits - at & 7) & mask
                    output[i] = isBilevel ? (sample == 0 ? 0 : 255) : sample
                }
            }
        case .bgr15, .bgr16:
            var (green, red, greenLevels) = (5, 10, 31)
            if case .bgr16 = layout { (green, red, greenLevels) = (5, 11, 63) }
            return { line, columns, output in
                for (i, x) in columns.enumerated() {
                    let pixel = line.littleEndian16(at: x * 2)
                    output[i * 3] = UInt8((pixel >> red & 31) * 255 / 31)
                    output[i * 3 + 1] = UInt8((pixel >> green & greenLevels) * 255 / greenLevels)
                    output[i * 3 + 2] = UInt8((pixel & 31) * 255 / 31)
                }
            }
        case .bytes(let count, let places):
            return { line, columns, output in
                for (i, x) in columns.enumerated() {
                    for (channel, place) in places.enumerated() {
                        output[i * places.count + channel] = line[x * count + place]
                    }
                }
            }
        }
    }

    // MARK: Runs

    /// Run-length-coded images (`BmpRleDecoder`).
    private func readRuns(into canvas: UnsafeMutableBufferPointer<UInt8>) throws(ImageError) {
        let isNibbles = compression == 2
        var cursor = ByteCursor(bytes, at: dataOffset)
        var count = 0
        var x = 0
        /// Samples in the order of the file, which is from the bottom up as a rule.
        func append(_ sample: UInt8) {
            guard count < canvas.count else { return }
            let row = count / width
            let line = isTopDown ? row : height - 1 - row
            let value = mode == .bilevel && sample != 0 ? 255 : sample
            canvas[line * width + count % width] = value
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

/// The lines of a bitmap without compression.
private final class BMPLines: LineReader {
    typealias Unpacker = (UnsafeRawBufferPointer, Range<Int>, UnsafeMutablePointer<UInt8>) -> Void

    let shape: ImageShape
    private let unpack: Unpacker
    private let lineBytes: Int
    private let stride: Int
    private let offset: Int
    private let isTopDown: Bool
    private let bytes: UnsafeRawBufferPointer
    private var row = 0
    private var columns = 0..<0
    private let line: UnsafeMutablePointer<UInt8>

    init(
        _ shape: ImageShape, unpack: @escaping Unpacker, lineBits: Int, stride: Int,
        offset: Int, isTopDown: Bool, bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) {
        lineBytes = (lineBits + 7) / 8
        guard lineBytes <= stride else { throw .corrupt("its lines are shorter than its width") }
        // The last line's padding may be missing.
        guard offset <= bytes.count,
            bytes.count - offset >= stride * (shape.height - 1) + lineBytes
        else { throw .truncated }
        let capacity = shape.width * shape.mode.bytesPerPixel + linePadding
        try limits.checkMemory(capacity - linePadding)
        self.shape = shape
        self.unpack = unpack
        self.stride = stride
        self.offset = offset
        self.isTopDown = isTopDown
        self.bytes = bytes
        line = .allocate(capacity: capacity)
        line.initialize(repeating: 0, count: capacity)
    }

    deinit {
        line.deallocate()
    }

    func start(rows: Range<Int>, columns: Range<Int>) {
        row = rows.lowerBound
        self.columns = columns
    }

    func nextLine() -> UnsafePointer<UInt8> {
        let place = isTopDown ? row : shape.height - 1 - row
        let start = offset + place * stride
        unpack(
            UnsafeRawBufferPointer(rebasing: bytes[start..<start + lineBytes]), columns, line)
        row += 1
        return UnsafePointer(line)
    }

    func finish() {}
}
