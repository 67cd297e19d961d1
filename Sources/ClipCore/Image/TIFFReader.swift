import CImages
import Glibc

/// The first image of a TIFF, decoded by libtiff, in Pillow's modes (`OPEN_INFO` in
/// `TiffImagePlugin.py`). The orientation tag is applied, as Pillow does for TIFF and for no other
/// format. An image in strips takes a few lines, one in tiles a row of tiles; separate planes, YCbCr
/// other than JPEG's and images that are not upright take 1 to 4 bytes a pixel.
final class TIFFReader: LineReader {
    /// How a pixel is stored.
    private enum Samples {
        /// 1, 2, 4 or 8 bits of the first sample, times `scale`; inverted where black is the highest.
        case first(bits: Int, scale: UInt8, isInverted: Bool)
        /// The first bytes of a pixel, or the high bytes of its first 16-bit samples.
        case bytes(Int, isWide: Bool)
        /// Red, green, blue and alpha with colours premultiplied.
        case premultiplied(isWide: Bool)
        /// 12 bits, to 16.
        case twelve
        /// 16 bits, signed, to 32; 16 bits; or 32 bits as they are.
        case signed16
        case wide(bytes: Int)
        /// libtiff converts the whole image to RGBA; alpha is dropped.
        case converted
    }

    let shape: ImageShape
    private let handle: DecoderHandle
    private let header: ctiff_header
    private var samples: Samples
    /// Samples of a pixel in a stored line: 1 of separate planes.
    private let samplesInLine: Int
    private let isTiled: Bool
    /// A line, or a tile.
    private let stored: LineBuffer<UInt8>
    /// One line, or those of a row of tiles.
    private let lines: LineBuffer<UInt8>
    private let lineBytes: Int
    /// Of a pixel in `lines`.
    private var pixelBytes: Int
    private var plane: UInt16 = 0
    private var row = 0
    private var columns = 0..<0

    /// - Parameter bytes: the whole file; must outlive the reader
    static func open(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        let reader = try TIFFReader(bytes, limits: limits)
        var stored: any LineReader = reader
        if case .converted = reader.samples {
            stored = try reader.converted(limits)
        } else if reader.header.planar == 2, reader.shape.mode.channels > 1 {
            stored = try reader.separatePlanes(limits)
        }
        let orientation = ImageMetadata(exif: bytes).orientation
        return UprightReader.open(stored, orientation, limits: limits)
    }

    private init(_ bytes: UnsafeRawBufferPointer, limits: ImageLimits) throws(ImageError) {
        guard !bytes.starts(with: [0x4D, 0x4D, 0, 43]) else {
            throw .unsupportedVariant(.tiff, "64-bit offsets in big-endian order")
        }
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let memory = min(max(limits.maximumMemory, 1 << 20), Int(Int32.max))
        handle = try DecoderHandle(ctiff_open(start, bytes.count, memory), ctiff_close)
        var header = ctiff_header()
        guard ctiff_read_header(handle.pointer, &header) != 0 else {
            throw Self.failure(handle, "libtiff found no picture")
        }
        let (width, height) = (Int(header.width), Int(header.height))
        _ = try limits.pixels(width: width, height: height)
        let mode: PixelImage.Mode
        // libtiff fills in a missing tag.
        let hasExtraSamples = TIFFDirectory(bytes)?.contains(338) == true
        (mode, samples) = try Self.kind(header, hasExtraSamples: hasExtraSamples)
        shape = ImageShape(
            width: width, height: height, mode: mode,
            palette: mode == .palette
                ? withUnsafeBytes(of: &header.palette) { [UInt8]($0) } : [])
        isTiled = header.is_tiled != 0
        samplesInLine = header.planar == 2 ? 1 : Int(header.samples)
        let isConverted = if case .converted = samples { true } else { false }
        // What libtiff will write must be what the header says.
        let lineWidth = isTiled ? Int(header.tile_width) : width
        let lineBits = lineWidth * samplesInLine * Int(header.bits)
        let storedBytes = Int(header.line_bytes)
        guard isConverted || lineWidth > 0 && storedBytes == (lineBits + 7) / 8
        else { throw .corrupt("its lines do not fit its width") }
        pixelBytes = mode.bytesPerPixel
        lineBytes = width * mode.bytesPerPixel
        let linesAtOnce = isTiled ? Int(header.tile_height) : 1
        let (size, overflow) = (storedBytes + lineBytes).multipliedReportingOverflow(
            by: linesAtOnce)
        try limits.checkMemory(overflow ? .max : size)
        stored = LineBuffer(isConverted ? 0 : storedBytes * linesAtOnce)
        lines = LineBuffer(isConverted ? 0 : lineBytes * linesAtOnce)
        self.header = header
    }

    // MARK: Lines

    func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError) {
        self.columns = columns
        for _ in 0..<rows.lowerBound { try readLine() }
    }

    func nextLine() throws(ImageError) -> UnsafePointer<UInt8> {
        try readLine()
        guard isTiled else {
            unpack(UnsafeRawPointer(stored.start), columns, into: lines.start)
            return UnsafePointer(lines.start)
        }
        let line = lines.start + (row - 1) % Int(header.tile_height) * lineBytes
        return UnsafePointer(line) + columns.lowerBound * pixelBytes
    }

    func finish() throws(ImageError) {
        while row < shape.height { try readLine() }
    }

    private func readLine() throws(ImageError) {
        if isTiled {
            if row % Int(header.tile_height) == 0 { try readTiles() }
        } else {
            guard ctiff_read_line(handle.pointer, UInt32(row), plane, stored.start) != 0 else {
                throw Self.failure(handle)
            }
        }
        row += 1
    }

    /// The row of tiles that starts at `row`.
    private func readTiles() throws(ImageError) {
        let (tileWidth, tileHeight) = (Int(header.tile_width), Int(header.tile_height))
        for left in stride(from: 0, to: shape.width, by: tileWidth) {
            guard
                ctiff_read_tile(handle.pointer, UInt32(left), UInt32(row), plane, stored.start) != 0
            else { throw Self.failure(handle) }
            for y in 0..<min(tileHeight, shape.height - row) {
                unpack(
                    UnsafeRawPointer(stored.start + y * Int(header.line_bytes)),
                    0..<min(tileWidth, shape.width - left),
                    into: lines.start + y * lineBytes + left * pixelBytes)
            }
        }
    }

    private static func failure(
        _ handle: DecoderHandle, _ unexplained: String = "libtiff found damage"
    ) -> ImageError {
        let message = String(cString: ctiff_message(handle.pointer))
        return .corrupt(message.isEmpty ? unexplained : message)
    }

    // MARK: Whole images

    private func separatePlanes(_ limits: ImageLimits) throws(ImageError) -> any LineReader {
        guard case .bytes(let channels, let isWide) = samples else {
            throw .unsupportedVariant(.tiff, "separate planes of this kind")
        }
        let size = shape.width * shape.height
        try limits.checkMemory(size * channels + Int(header.line_bytes) * Int(header.tile_height))
        (samples, pixelBytes) = (.bytes(1, isWide: isWide), 1)
        return WholeImageReader(shape) { [self] canvas throws(ImageError) in
            columns = 0..<shape.width
            for channel in 0..<channels {
                (plane, row) = (UInt16(channel), 0)
                for y in 0..<shape.height {
                    let line = try nextLine()
                    for x in 0..<shape.width {
                        canvas[(y * shape.width + x) * channels + channel] = line[x]
                    }
                }
            }
        }
    }

    private func converted(_ limits: ImageLimits) throws(ImageError) -> any LineReader {
        let count = shape.width * shape.height
        try limits.checkMemory(count * 7)
        return WholeImageReader(shape) { [self] canvas throws(ImageError) in
            guard let memory = malloc(count * 4) else { throw .outOfMemory }
            defer { free(memory) }
            let pixels = memory.assumingMemoryBound(to: UInt8.self)
            guard ctiff_read_rgba(handle.pointer, pixels) != 0 else { throw Self.failure(handle) }
            for i in 0..<count {
                for channel in 0..<3 { canvas[i * 3 + channel] = pixels[i * 4 + channel] }
            }
        }
    }

    // MARK: Samples

    private func unpack(
        _ source: UnsafeRawPointer, _ columns: Range<Int>, into output: UnsafeMutablePointer<UInt8>
    ) {
        let perPixel = samplesInLine
        /// The high byte of a sample: libtiff gives samples in the machine's order, low byte first.
        func byte(_ index: Int, isWide: Bool = false) -> UInt8 {
            source.load(fromByteOffset: isWide ? index * 2 + 1 : index, as: UInt8.self)
        }
        switch samples {
        case .first(let bits, let scale, let isInverted):
            let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
            for (i, x) in columns.enumerated() {
                let at = x * perPixel * bits
                let sample = (byte(at >> 3) >> UInt8(8 - bits - at & 7) & mask) &* scale
                output[i] = isInverted ? ~sample : sample
            }
        case .bytes(let count, let isWide):
            for (i, x) in columns.enumerated() {
                for channel in 0..<count {
                    output[i * count + channel] = byte(x * perPixel + channel, isWide: isWide)
                }
            }
        case .premultiplied(let isWide):
            // Pillow's unpackRGBa and unpackRGBa16L.
            for (i, x) in columns.enumerated() {
                func sample(_ channel: Int) -> Int {
                    Int(byte(x * perPixel + channel, isWide: isWide))
                }
                let alpha = sample(3)
                for channel in 0..<3 {
                    output[i * 4 + channel] =
                        alpha == 0 ? 0 : UInt8(min(sample(channel) * 255 / alpha, 255))
                }
                output[i * 4 + 3] = UInt8(alpha)
            }
        case .twelve:
            for (i, x) in columns.enumerated() {
                let at = x / 2 * 3
                func word(_ index: Int) -> UInt16 { UInt16(byte(at + index)) }
                let sample =
                    x % 2 == 0 ? word(0) << 4 | word(1) >> 4 : (word(1) & 15) << 8 | word(2)
                UnsafeMutableRawPointer(output).storeBytes(
                    of: sample.littleEndian, toByteOffset: i * 2, as: UInt16.self)
            }
        case .signed16:
            for (i, x) in columns.enumerated() {
                let sample = source.loadUnaligned(fromByteOffset: x * 2, as: Int16.self)
                UnsafeMutableRawPointer(output).storeBytes(
                    of: Int32(sample), toByteOffset: i * 4, as: Int32.self)
            }
        case .wide(let bytes):
            UnsafeMutableRawPointer(output).copyMemory(
                from: source + columns.lowerBound * bytes, byteCount: columns.count * bytes)
        case .converted:
            break
        }
    }

    private static func kind(
        _ header: ctiff_header, hasExtraSamples: Bool
    ) throws(ImageError) -> (PixelImage.Mode, Samples) {
        func refused(_ variant: String) -> ImageError { .unsupportedVariant(.tiff, variant) }
        // None, CCITT (three kinds), LZW, JPEG (two), deflate (two), PackBits, LZMA and ZSTD.
        let compressions: [UInt16] = [1, 2, 3, 4, 5, 6, 7, 8, 32946, 32773, 34925, 50000]
        guard compressions.contains(header.compression) else {
            throw refused("compression \(header.compression)")
        }
        let isCompressed = header.compression != 1
        let isOldJPEG = header.compression == 6
        let isBigEndian = header.is_big_endian != 0
        let bits = Int(header.bits)
        var extra = [UInt16]()
        if hasExtraSamples {
            guard (1...3).contains(header.extra_count) else {
                throw refused("\(header.samples) samples a pixel")
            }
            extra = withUnsafeBytes(of: header.extra) {
                Array($0.assumingMemoryBound(to: UInt16.self).prefix(Int(header.extra_count)))
            }
        }
        var perPixel = Int(header.samples)
        let isSeparate = header.planar == 2 && perPixel > 1
        if isSeparate, extra.allSatisfy({ $0 == 0 }) {
            perPixel -= extra.count
            extra = []
        }
        guard
            header.fill_order == 1
                || extra.isEmpty && bits <= 8 && (perPixel == 1 || perPixel == 3)
                || !isBigEndian && header.photometric == 1 && bits == 16 && perPixel == 1
        else { throw refused("bits from the low end on") }

        let kind: (PixelImage.Mode, Samples)?
        let photometric = isOldJPEG ? 6 : header.photometric
        switch (photometric, header.sample_format, bits, perPixel) {
        case (0...1, 1, 1, 1):
            kind = (.bilevel, .first(bits: 1, scale: 255, isInverted: photometric == 0))
        case (0...1, 1, 2, 1), (0...1, 1, 4, 1), (0...1, 1, 8, 1), (1, 2, 8, 1):
            let scale = UInt8(255 / ((1 << bits) - 1))
            kind = (.grey, .first(bits: bits, scale: scale, isInverted: photometric == 0))
        case (1, 1, 8, 2) where extra == [0]: kind = (.grey, .bytes(1, isWide: false))
        case (1, 1, 8, 2) where extra == [2]: kind = (.greyAlpha, .bytes(2, isWide: false))
        case (1, 1, 12, 1) where !isBigEndian: kind = (.grey16, .twelve)
        case (0...1, 1, 16, 1) where !isBigEndian || photometric == 1:
            kind = (.grey16, .wide(bytes: 2))
        // Pillow takes compressed samples in big-endian order for other values than they are.
        case (0...1, _, 16, 1) where isBigEndian && isCompressed,
            (0...1, _, 32, 1) where isBigEndian && isCompressed:
            throw refused("compressed grey of \(bits) bits in big-endian order")
        case (1, 2, 16, 1): kind = (.int32, .signed16)
        case (1, 1, 32, 1) where !isBigEndian, (1, 2, 32, 1): kind = (.int32, .wide(bytes: 4))
        case (0...1, 3, 32, 1): kind = (.float32, .wide(bytes: 4))
        case (2, 1, 8, _), (2, 1, 16, _):
            let isWide = bits == 16
            let alpha = extra.first
            guard perPixel == 3 + extra.count || perPixel == 4 && extra.isEmpty,
                extra.dropFirst().allSatisfy({ $0 == 0 }), !isWide || perPixel <= 4
            else { throw refused("\(header.samples) samples a pixel") }
            kind =
                alpha == 0 || perPixel == 3
                ? (.rgb, .bytes(3, isWide: isWide))
                : (.rgba, alpha == 1 ? .premultiplied(isWide: isWide) : .bytes(4, isWide: isWide))
        case (3, 1, 1, 1), (3, 1, 2, 1), (3, 1, 4, 1), (3, 1, 8, 1), (3, 1, 8, 2):
            guard header.has_palette != 0 else { throw .corrupt("its colour table is missing") }
            guard perPixel == 1 || extra == [0] else { throw refused("a palette and alpha") }
            kind = (.palette, .first(bits: bits, scale: 1, isInverted: false))
        case (5, 1, 8, _) where perPixel == 4 + extra.count && extra.allSatisfy { $0 == 0 },
            (5, 1, 16, 4) where extra.isEmpty:
            kind = (.cmyk, .bytes(4, isWide: bits == 16))
        case (6, 1, 8, 3) where extra.isEmpty:
            guard isCompressed else { throw refused("uncompressed YCbCr samples") }
            // libjpeg converts to RGB.
            let isJPEG = header.compression == 7 && header.planar == 1
            kind = (.rgb, isJPEG ? .bytes(3, isWide: false) : .converted)
        case (6, _, _, _): throw refused("this kind of YCbCr samples")
        case (8, _, _, _): throw refused("L*a*b* samples")
        default: kind = nil
        }
        guard let kind else {
            throw refused(
                "\(perPixel) samples of \(bits) bits, photometric interpretation \(photometric)")
        }
        if isSeparate {
            // Pillow reads others in a way of its own, or not at all.
            let isRead =
                switch kind.1 {
                case .converted: true
                case .bytes: kind.0 != .greyAlpha && (bits == 8 || isCompressed)
                default: perPixel == 1 && isCompressed
                }
            guard isRead, perPixel == Int(header.samples) || isCompressed, extra.count <= 1 else {
                throw refused("separate planes of this kind")
            }
        }
        return kind
    }
}
