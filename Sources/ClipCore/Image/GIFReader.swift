/// The first frame of a GIF, read as Pillow reads it (`GifImagePlugin.py`, `GifDecode.c`; the format
/// is GIF89a). It is short enough not to need a library, and giflib refuses and mends other files
/// than Pillow does.
///
/// An image whose colours are the grey ramp (or which has none) is grey, any other one a palette
/// image. The canvas grows to hold the frame, and what the frame leaves free has the transparent
/// index, or 0. Transparency changes nothing else. Takes 1 byte a pixel.
struct GIFReader {
    private var cursor: ByteCursor

    static func open(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        var reader = GIFReader(cursor: ByteCursor(bytes))
        return try reader.read(limits)
    }

    private mutating func read(_ limits: ImageLimits) throws(ImageError) -> any LineReader {
        let screen = try cursor.bytes(13)
        var (width, height) = (screen.littleEndian16(at: 6), screen.littleEndian16(at: 8))
        var palette: [UInt8]?
        if screen[10] & 128 != 0 { palette = try self.palette(flags: screen[10]) }

        let (descriptor, transparentIndex) = try findFrame()
        let left = descriptor.littleEndian16(at: 0)
        let top = descriptor.littleEndian16(at: 2)
        let frameWidth = descriptor.littleEndian16(at: 4)
        let frameHeight = descriptor.littleEndian16(at: 6)
        let flags = descriptor[8]
        if flags & 128 != 0 {
            let local = try self.palette(flags: flags)
            // Pillow fails on this one.
            guard local != nil || palette == nil else {
                throw .unsupportedVariant(.gif, "a grey colour table in place of a coloured one")
            }
            palette = local
        }
        guard let codeBits = cursor.byte() else { throw .truncated }
        width = max(width, left + frameWidth)
        height = max(height, top + frameHeight)
        let pixels = try limits.pixels(width: width, height: height)
        try limits.checkMemory(pixels)
        guard frameWidth > 0, frameHeight > 0 else { throw .corrupt("its frame has no pixels") }
        guard codeBits <= 12 else { throw .corrupt("its code size is \(codeBits)") }

        let shape = ImageShape(
            width: width, height: height, mode: palette == nil ? .grey : .palette,
            palette: palette ?? [])
        let steps = flags & 64 == 0 ? [(0, 1)] : [(0, 8), (4, 8), (2, 4), (1, 2)]
        let rows = steps.flatMap { stride(from: $0, to: frameHeight, by: $1) }
        return WholeImageReader(shape) { [cursor] canvas throws(ImageError) in
            if transparentIndex != 0 { canvas.update(repeating: transparentIndex) }
            var decoder = GIFDecoder(
                cursor: cursor, codeBits: Int(codeBits), width: frameWidth,
                lines: rows.map { canvas.baseAddress! + (top + $0) * width + left })
            try decoder.decode()
        }
    }

    /// A colour table, or nil when it is the grey ramp.
    private mutating func palette(flags: UInt8) throws(ImageError) -> [UInt8]? {
        let colors = try cursor.bytes(3 << (Int(flags & 7) + 1))
        let isRamp = colors.enumerated().allSatisfy { Int($1) == $0 / 3 }
        return isRamp ? nil : [UInt8](colors) + [UInt8](repeating: 0, count: 768 - colors.count)
    }

    /// Skips to the first frame.
    ///
    /// - Returns: the frame's descriptor, and the transparent index or 0
    private mutating func findFrame() throws(ImageError) -> (UnsafeRawBufferPointer, UInt8) {
        var transparentIndex: UInt8 = 0
        while let introducer = cursor.byte(), introducer != UInt8(ascii: ";") {
            if introducer == UInt8(ascii: ",") {
                return (try cursor.bytes(9), transparentIndex)
            }
            guard introducer == UInt8(ascii: "!") else { continue }
            guard let label = cursor.byte() else { throw .truncated }
            var block = self.block()
            switch label {
            case 0xFE:  // a comment
                while block != nil { block = self.block() }
                continue
            case 0xF9:  // graphic control
                if let block {
                    guard block.count >= 3 else { throw .truncated }
                    if block[0] & 1 != 0 {
                        guard block.count >= 4 else { throw .truncated }
                        transparentIndex = block[3]
                    }
                }
            case 0xFF:  // an application's
                if let block, block.starts(with: "NETSCAPE2.0".utf8) { _ = self.block() }
            default: break
            }
            while self.block() != nil {}
        }
        throw .corrupt("there is no frame in it")
    }

    /// The next block of data; nil for the empty one that ends a sequence, and at the file's end.
    private mutating func block() -> UnsafeRawBufferPointer? {
        guard let count = cursor.byte(), count > 0 else { return nil }
        let block = cursor.bytes(atMost: Int(count))
        return block.isEmpty ? nil : block
    }
}

/// The variable-length-code LZW of GIF89a, appendix F, as Pillow reads it: an end code
/// before the last pixel and empty blocks are skipped.
private struct GIFDecoder {
    var cursor: ByteCursor
    let codeBits: Int
    let width: Int
    /// Where the frame's rows begin, in the order in which they come.
    let lines: [UnsafeMutablePointer<UInt8>]
    var x = 0
    var line = 0

    var block = 0
    var bits: UInt32 = 0
    var bitCount = 0

    mutating func decode() throws(ImageError) {
        let clear = 1 << codeBits
        var links = [UInt16](repeating: 0, count: 4096)
        var data = [UInt8](repeating: 0, count: 4096)
        // A string is written from its end.
        var string = [UInt8](repeating: 0, count: 4096)

        var next = clear + 2
        var size = codeBits + 1
        var isFirst = true
        var (lastCode, lastData) = (0, UInt8(0))
        while true {
            var code = try self.code(ofBits: size)
            if code == clear {
                (next, size, isFirst) = (clear + 2, codeBits + 1, true)
                continue
            }
            if code == clear + 1 { continue }

            var start = string.count
            if isFirst {
                guard code < clear else { throw .corrupt("its data start with code \(code)") }
                (lastData, lastCode, isFirst) = (UInt8(truncatingIfNeeded: code), code, false)
            } else {
                let thisCode = code
                guard code <= next else { throw .corrupt("its data have code \(code) too early") }
                if code == next {
                    start -= 1
                    string[start] = lastData
                    code = lastCode
                }
                while code >= clear {
                    guard start > 0, code < 4096 else { throw .corrupt("its codes are circular") }
                    start -= 1
                    string[start] = data[code]
                    code = Int(links[code])
                }
                lastData = UInt8(truncatingIfNeeded: code)
                if next < 4096 {
                    data[next] = lastData
                    links[next] = UInt16(lastCode)
                    if next == (1 << size) - 1, size < 12 { size += 1 }
                    next += 1
                }
                lastCode = thisCode
            }
            // The string's first sample, then the rest.
            if put(lastData) { return }
            for index in start..<string.count where put(string[index]) { return }
        }
    }

    /// - Returns: whether this was the last pixel
    private mutating func put(_ sample: UInt8) -> Bool {
        lines[line][x] = sample
        x += 1
        guard x == width else { return false }
        x = 0
        line += 1
        return line == lines.count
    }

    private mutating func code(ofBits size: Int) throws(ImageError) -> Int {
        while bitCount < size {
            while block == 0 {
                guard let count = cursor.byte(), cursor.bytes.count - cursor.offset >= Int(count)
                else { throw .truncated }
                block = Int(count)
            }
            block -= 1
            bits |= UInt32(cursor.byte()!) << UInt32(bitCount)
            bitCount += 8
        }
        defer {
            bits >>= UInt32(size)
            bitCount -= size
        }
        return Int(bits) & ((1 << size) - 1)
    }
}
