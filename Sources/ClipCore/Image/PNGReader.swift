import CImages

/// One PNG being decoded by libpng, with Pillow's choices (`PngImagePlugin.py`).
///
/// | stored | mode |
/// |---|---|
/// | grey of 1 bit | bilevel |
/// | grey of 2, 4, 8 bits | grey |
/// | grey of 16 bits | 16-bit grey |
/// | palette | palette, indices of 8 bits |
/// | grey and alpha, 8 bits | grey and alpha |
/// | grey and alpha, 16 bits | RGBA of the high bytes |
/// | RGB, RGBA | RGB, RGBA; of 16 bits the high byte |
///
/// Transparency in a `tRNS` chunk, gamma and colour profiles change no pixel. Of an animation the
/// default image counts. A line is in memory at a time; of an interlaced image all are.
final class PNGReader: LineReader {
    let shape: ImageShape
    private let handle: DecoderHandle
    /// 16 bits of grey and alpha become four samples a pixel.
    private let isWideGreyAlpha: Bool
    private var columns = 0..<0
    /// Rows after the wanted ones.
    private var remaining = 0
    private let line: LineBuffer<UInt8>

    /// - Parameter bytes: the whole file; must outlive this value
    init(_ bytes: UnsafeRawBufferPointer, limits: ImageLimits) throws(ImageError) {
        try Self.checkTail(bytes)
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        handle = try DecoderHandle(cpng_create(start, bytes.count), cpng_destroy)
        var header = cpng_header()
        try Self.check(cpng_read_header(handle.pointer, &header), handle)
        let (width, height) = (Int(header.width), Int(header.height))
        _ = try limits.pixels(width: width, height: height)
        let isWide = header.bit_depth == 16
        let mode: PixelImage.Mode =
            switch header.channels {
            case 1 where header.has_palette != 0: .palette
            case 1: isWide ? .grey16 : header.bit_depth == 1 ? .bilevel : .grey
            case 2: isWide ? .rgba : .greyAlpha
            case 3: .rgb
            default: .rgba
            }
        // libpng holds two lines as stored, this reader one or all.
        let stored = Int(header.channels) * (isWide ? 2 : 1)
        let lines = header.is_interlaced != 0 ? height : 1
        try limits.checkMemory(width * (2 * stored + lines * min(stored, 4)))
        shape = ImageShape(
            width: width, height: height, mode: mode,
            palette: mode == .palette
                ? withUnsafeBytes(of: &header.palette) { [UInt8]($0) } : [])
        isWideGreyAlpha = header.channels == 2 && isWide
        line = LineBuffer(isWideGreyAlpha ? width * 4 : 0)
    }

    func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError) {
        self.columns = columns
        remaining = shape.height - rows.upperBound
        try Self.check(cpng_start(handle.pointer), handle)
        for _ in 0..<rows.lowerBound { _ = try storedLine() }
    }

    func nextLine() throws(ImageError) -> UnsafePointer<UInt8> {
        let stored = try storedLine()
        guard isWideGreyAlpha else {
            return stored + columns.lowerBound * shape.mode.bytesPerPixel
        }
        for x in 0..<columns.count {
            let pixel = stored + (columns.lowerBound + x) * 2
            for channel in 0..<3 { line.start[x * 4 + channel] = pixel[0] }
            line.start[x * 4 + 3] = pixel[1]
        }
        return UnsafePointer(line.start)
    }

    func finish() throws(ImageError) {
        for _ in 0..<remaining { _ = try storedLine() }
    }

    private func storedLine() throws(ImageError) -> UnsafePointer<UInt8> {
        var line: UnsafePointer<UInt8>?
        try Self.check(cpng_read_line(handle.pointer, &line), handle)
        return line!
    }

    /// Pillow reads on to the end, or to an animation's next frame, and refuses an image with an
    /// incomplete chunk between its data and there; the end itself may be missing.
    private static func checkTail(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        var at = 8
        var sawData = false
        var frames = 0
        var isDefaultImageAFrame = false
        while bytes.count - at >= 8 {
            let length = bytes.bigEndian(4, at: at)
            let kind = bytes[at + 4..<at + 8]
            let isData = kind.elementsEqual("IDAT".utf8)
            let isFrame = kind.elementsEqual("fcTL".utf8)
            if kind.elementsEqual("IEND".utf8) { return }
            if isFrame, sawData, frames > (isDefaultImageAFrame ? 1 : 0) { return }
            // Data that are cut may still have all pixels; for Pillow, other bytes than word characters end a file.
            guard length <= bytes.count - at - 8 else {
                let isChunk = kind.allSatisfy {
                    $0 == UInt8(ascii: "_") || $0 < 128 && CharacterRules.isAlphanumeric(UInt32($0))
                }
                if sawData, !isData, isChunk { throw .truncated }
                return
            }
            if !sawData, kind.elementsEqual("acTL".utf8), length >= 8 {
                frames = frames == 0 ? bytes.bigEndian(4, at: at + 8) : 0
            }
            if isFrame, !sawData { isDefaultImageAFrame = true }
            sawData = sawData || isData
            at = min(at + 12 + length, bytes.count)
        }
    }

    private static func check(
        _ status: cimages_status, _ handle: DecoderHandle
    ) throws(ImageError) {
        let error = ImageError(status, String(cString: cpng_message(handle.pointer)))
        if let error { throw error }
    }
}
