import CTIFF

/// The first picture of a TIFF, decoded by libtiff, in Pillow's modes (`OPEN_INFO` in
/// `TiffImagePlugin.py`): those of its kinds that occur. The orientation tag is applied, as Pillow
/// does for TIFF and for no other format. Lines of a picture in strips come one by one; one in tiles,
/// or not upright, takes 1 to 4 bytes a pixel.
final class TIFFReader: LineReader {
    /// How a sample is stored.
    private enum Samples {
        /// 1, 2, 4 or 8 bits of the first sample, times `scale`; inverted where black is the highest.
        case first(bits: Int, scale: UInt8, isInverted: Bool)
        /// The first so many of a pixel's bytes, or of its 16-bit samples the high bytes.
        case bytes(Int, isWide: Bool)
        /// Red, green, blue and alpha with colours premultiplied.
        case premultiplied
        /// 16 bits, signed, to 32; 16 bits; or 32 bits as they are.
        case signed16
        case wide(bytes: Int)
    }

    let shape: PictureShape
    private let handle: OpaquePointer
    private let header: ctiff_header
    private let samples: Samples
    private let stored: UnsafeMutablePointer<UInt8>
    private let line: UnsafeMutablePointer<UInt8>
    private var row = 0
    private var columns = 0..<0

    /// - Parameter bytes: the whole file; must outlive the reader
    static func open(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        let reader = try TIFFReader(bytes, limits: limits)
        let isUpright = !(2...8).contains(Int(reader.header.orientation))
        guard reader.header.is_tiled != 0 || !isUpright else { return reader }
        return try reader.whole(limits: limits)
    }

    private init(_ bytes: UnsafeRawBufferPointer, limits: ImageLimits) throws(ImageError) {
        guard !bytes.starts(with: [0x4D, 0x4D, 0, 43]) else {
            throw .unsupportedVariant(.tiff, "64-bit offsets in big-endian order")
        }
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let memory = min(max(limits.maximumMemory, 1 << 20), Int(Int32.max))
        var opened: OpaquePointer?
        let message = String(unsafeUninitializedCapacity: 160) { buffer in
            buffer.withMemoryRebound(to: CChar.self) { buffer in
                buffer[0] = 0
                opened = ctiff_open(start, bytes.count, memory, buffer.baseAddress, 160)
            }
            return buffer.firstIndex(of: 0) ?? 0
        }
        guard let handle = opened else {
            throw .corrupt(message.isEmpty ? "libtiff finds no picture in it" : message)
        }
        do throws(ImageError) {
            var header = ctiff_header()
            ctiff_read_header(handle, &header)
            let (width, height) = (Int(header.width), Int(header.height))
            _ = try limits.pixels(width: width, height: height)
            let mode: PixelImage.Mode
            (mode, samples) = try Self.kind(
                header, hasExtraSamples: Self.hasTag(338, in: bytes))
            shape = PictureShape(
                width: width, height: height, mode: mode,
                palette: mode == .palette
                    ? withUnsafeBytes(of: &header.palette) { [UInt8]($0) } : [])
            // What libtiff will write must be what the header says.
            let isTiled = header.is_tiled != 0
            let lineWidth = isTiled ? Int(header.tile_width) : width
            let lineBits = lineWidth * Int(header.samples) * Int(header.bits)
            guard lineWidth > 0, Int(header.line_bytes) == (lineBits + 7) / 8 else {
                throw .corrupt("its lines do not fit its width")
            }
            let (storedBytes, overflow) = Int(header.line_bytes).multipliedReportingOverflow(
                by: isTiled ? Int(header.tile_height) : 1)
            guard !overflow else { throw .tooMuchMemory(limit: limits.maximumMemory) }
            let lineBytes = lineWidth * mode.bytesPerPixel
            try limits.checkMemory(storedBytes)
            try limits.checkMemory(storedBytes + lineBytes)
            stored = .allocate(capacity: storedBytes)
            stored.initialize(repeating: 0, count: storedBytes)
            line = .allocate(capacity: lineBytes + linePadding)
            line.initialize(repeating: 0, count: lineBytes + linePadding)
            self.header = header
            self.handle = handle
        } catch {
            ctiff_close(handle)
            throw error
        }
    }

    deinit {
        ctiff_close(handle)
        stored.deallocate()
        line.deallocate()
    }

    // MARK: Strips

    func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError) {
        self.columns = columns
        for _ in 0..<rows.lowerBound { try readLine() }
    }

    func nextLine() throws(ImageError) -> UnsafePointer<UInt8> {
        try readLine()
        unpack(UnsafeRawPointer(stored), columns, into: line)
        return UnsafePointer(line)
    }

    func finish() throws(ImageError) {
        while row < shape.height { try readLine() }
    }

    private func readLine() throws(ImageError) {
        guard ctiff_read_line(handle, UInt32(row), stored) != 0 else { throw failure }
        row += 1
    }

    private var failure: ImageError {
        let message = String(cString: ctiff_message(handle))
        return .corrupt(message.isEmpty ? "libtiff finds it damaged" : message)
    }

    // MARK: Tiles and orientation

    private func whole(limits: ImageLimits) throws(ImageError) -> any LineReader {
        let (width, height) = (shape.width, shape.height)
        let orientation = Int(header.orientation)
        let isTransposed = (5...8).contains(orientation)
        let pixelBytes = shape.mode.bytesPerPixel
        try limits.checkMemory(
            width * height * pixelBytes + Int(header.line_bytes) * Int(header.tile_height))
        var upright = shape
        if isTransposed { (upright.width, upright.height) = (height, width) }
        return try WholePictureReader(upright) { (canvas) throws(ImageError) in
            // Where the picture's pixel (x, y) goes.
            func put(_ source: UnsafePointer<UInt8>, _ x: Int, _ y: Int) {
                let (right, bottom) = (width - 1 - x, height - 1 - y)
                let place =
                    switch orientation {
                    case 2: y * width + right
                    case 3: bottom * width + right
                    case 4: bottom * width + x
                    case 5: x * height + y
                    case 6: x * height + bottom
                    case 7: right * height + bottom
                    case 8: right * height + y
                    default: y * width + x
                    }
                for i in 0..<pixelBytes { canvas[place * pixelBytes + i] = source[i] }
            }
            if header.is_tiled == 0 {
                try start(rows: 0..<height, columns: 0..<width)
                for y in 0..<height {
                    let line = try nextLine()
                    for x in 0..<width { put(line + x * pixelBytes, x, y) }
                }
                return
            }
            let (tileWidth, tileHeight) = (Int(header.tile_width), Int(header.tile_height))
            for top in stride(from: 0, to: height, by: tileHeight) {
                for left in stride(from: 0, to: width, by: tileWidth) {
                    guard ctiff_read_tile(handle, UInt32(left), UInt32(top), stored) != 0 else {
                        throw failure
                    }
                    let columns = 0..<min(tileWidth, width - left)
                    for y in 0..<min(tileHeight, height - top) {
                        unpack(
                            UnsafeRawPointer(stored + y * Int(header.line_bytes)), columns,
                            into: line)
                        for x in columns { put(line + x * pixelBytes, left + x, top + y) }
                    }
                }
            }
        }
    }

    // MARK: Samples

    private func unpack(
        _ source: UnsafeRawPointer, _ columns: Range<Int>, into output: UnsafeMutablePointer<UInt8>
    ) {
        let perPixel = Int(header.samples)
        switch samples {
        case .first(let bits, let scale, let isInverted):
            let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
            for (i, x) in columns.enumerated() {
                let at = x * perPixel * bits
                let byte = source.load(fromByteOffset: at >> 3, as: UInt8.self)
                let sample = (byte >> UInt8(8 - bits - at & 7) & mask) &* scale
                output[i] = isInverted ? ~sample : sample
            }
        case .bytes(let count, let isWide):
            for (i, x) in columns.enumerated() {
                for channel in 0..<count {
                    let at = x * perPixel + channel
                    // libtiff gives samples in the machine's order, low byte first.
                    output[i * count + channel] = source.load(
                        fromByteOffset: isWide ? at * 2 + 1 : at, as: UInt8.self)
                }
            }
        case .premultiplied:
            // Pillow's unpackRGBa.
            for (i, x) in columns.enumerated() {
                let pixel = (source + x * perPixel).assumingMemoryBound(to: UInt8.self)
                let alpha = Int(pixel[3])
                for channel in 0..<3 {
                    let sample = Int(pixel[channel])
                    output[i * 4 + channel] =
                        alpha == 0
                        ? 0 : alpha == 255 ? pixel[channel] : UInt8(min(sample * 255 / alpha, 255))
                }
                output[i * 4 + 3] = pixel[3]
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
        }
    }

    private static func kind(
        _ header: ctiff_header, hasExtraSamples: Bool
    ) throws(ImageError) -> (PixelImage.Mode, Samples) {
        func refused(_ variant: String) -> ImageError { .unsupportedVariant(.tiff, variant) }
        guard [1, 2, 3, 4, 5, 8, 32773, 32946].contains(header.compression) else {
            throw refused("compression \(header.compression)")
        }
        let bits = Int(header.bits)
        let perPixel = Int(header.samples)
        let extra = hasExtraSamples && header.extra_count > 0 ? Int(header.extra) : nil
        guard perPixel == 1 || header.planar == 1 else {
            throw refused("separate planes")
        }
        guard
            header.fill_order == 1 || bits <= 8 && extra == nil && (perPixel == 1 || perPixel == 3)
        else { throw refused("bits from the low end on") }
        guard header.extra_count <= 1 else { throw refused("\(perPixel) samples a pixel") }

        switch (header.photometric, header.sample_format, bits, perPixel) {
        case (0...1, 1, 1, 1):
            return (
                .bilevel,
                .first(bits: 1, scale: 255, isInverted: header.photometric == 0)
            )
        case (0...1, 1, 2, 1), (0...1, 1, 4, 1), (0...1, 1, 8, 1), (1, 2, 8, 1):
            let scale = UInt8(255 / ((1 << bits) - 1))
            return (
                .grey, .first(bits: bits, scale: scale, isInverted: header.photometric == 0)
            )
        case (1, 1, 8, 2) where extra == 0: return (.grey, .bytes(1, isWide: false))
        case (1, 1, 8, 2) where extra == 2: return (.greyAlpha, .bytes(2, isWide: false))
        case (0...1, _, 16, 1), (0...1, _, 32, 1):
            guard header.is_big_endian == 0 else {
                throw refused("grey of \(bits) bits in big-endian order")
            }
            switch (header.photometric, header.sample_format, bits) {
            case (_, 1, 16): return (.grey16, .wide(bytes: 2))
            case (1, 2, 16): return (.int32, .signed16)
            case (1, 1...2, 32): return (.int32, .wide(bytes: 4))
            case (_, 3, 32): return (.float32, .wide(bytes: 4))
            default: throw refused("this kind of grey")
            }
        case (2, 1, 8, 3), (2, 1, 16, 3):
            return (.rgb, .bytes(3, isWide: bits == 16))
        case (2, 1, 8, 4) where extra == 1: return (.rgba, .premultiplied)
        case (2, 1, 8, 4), (2, 1, 16, 4):
            switch extra {
            case nil, 2: return (.rgba, .bytes(4, isWide: bits == 16))
            case 0: return (.rgb, .bytes(3, isWide: bits == 16))
            default: throw refused("premultiplied samples of 16 bits")
            }
        case (3, 1, 1, 1), (3, 1, 2, 1), (3, 1, 4, 1), (3, 1, 8, 1), (3, 1, 8, 2):
            guard header.has_palette != 0 else { throw .corrupt("its colour table is missing") }
            guard perPixel == 1 || extra == 0 else { throw refused("a palette and alpha") }
            return (.palette, .first(bits: bits, scale: 1, isInverted: false))
        case (5, 1, 8, 4), (5, 1, 16, 4):
            return (.cmyk, .bytes(4, isWide: bits == 16))
        case (6, _, _, _): throw refused("YCbCr samples")
        case (8, _, _, _): throw refused("L*a*b* samples")
        default:
            throw refused(
                "\(perPixel) samples of \(bits) bits, photometric interpretation \(header.photometric)"
            )
        }
    }

    /// Whether the first directory has a tag: libtiff fills in what is missing.
    private static func hasTag(_ tag: UInt64, in bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 16 else { return false }
        let isBigEndian = bytes[0] == UInt8(ascii: "M")
        func number(_ size: Int, at offset: Int) -> UInt64? {
            guard offset >= 0, offset <= bytes.count - size else { return nil }
            return (0..<size).reduce(0) { sum, i in
                sum << 8 | UInt64(bytes[offset + (isBigEndian ? i : size - 1 - i)])
            }
        }
        let isBigTIFF = number(2, at: 2) == 43
        let directory = isBigTIFF ? number(8, at: 8) : number(4, at: 4)
        guard let directory, let start = Int(exactly: directory), start <= bytes.count,
            let count = number(isBigTIFF ? 8 : 2, at: start)
        else { return false }
        let (entries, entrySize) = isBigTIFF ? (start + 8, 20) : (start + 2, 12)
        for index in 0..<Int(min(count, 65_535)) {
            guard let found = number(2, at: entries + index * entrySize) else { return false }
            if found == tag { return true }
        }
        return false
    }
}
