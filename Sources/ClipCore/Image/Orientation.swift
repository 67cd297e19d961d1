/// How a stored picture is turned to be seen upright: EXIF's and TIFF's tag 0x0112 (Exif 2.32, 4.6.4).
package enum Orientation {
    /// The tag's value in the first directory of a TIFF file or of EXIF data, which has the same
    /// structure (TIFF 6.0, section 2; BigTIFF); 1 (upright) when there is none.
    ///
    /// Types are those that Pillow reads as a number: an orientation stored as BYTE or ASCII counts
    /// for nothing.
    static func inDirectory(of bytes: UnsafeRawBufferPointer) -> Int {
        guard let directory = TIFFDirectory(bytes) else { return 1 }
        guard let entry = directory.entry(0x0112), entry.count >= 1 else { return 1 }
        let size: Int
        switch entry.type {
        case 6: size = 1
        case 3, 8: size = 2
        case 4, 9, 13: size = 4
        case 16: size = 8
        default: return 1
        }
        // More values than one that do not fit into the entry are elsewhere.
        guard entry.count <= directory.inlineBytes / size,
            let value = directory.number(size, at: entry.valueOffset), (1...8).contains(value)
        else { return 1 }
        return Int(value)
    }

    /// A reader of the picture turned upright. A picture that must be turned is held as a whole.
    ///
    /// - Parameter orientation: 1 to 8; other values mean 1, as for Pillow's `exif_transpose`.
    /// - Throws: ``ImageError``
    static func upright(
        _ reader: any LineReader, _ orientation: Int, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        guard (2...8).contains(orientation) else { return reader }
        let stored = reader.shape
        try limits.checkMemory(stored.width * stored.height * stored.mode.bytesPerPixel)
        let turn = Turn(orientation, width: stored.width, height: stored.height)
        var shape = stored
        (shape.width, shape.height) = (turn.width, turn.height)
        return try WholePictureReader(shape) { (canvas) throws(ImageError) in
            try reader.start(rows: 0..<stored.height, columns: 0..<stored.width)
            for y in 0..<stored.height {
                turn.place(
                    try reader.nextLine(), row: y, pixelBytes: stored.mode.bytesPerPixel, canvas)
            }
            try reader.finish()
        }
    }

    /// Where the pixels of a stored picture go.
    fileprivate struct Turn {
        /// Of the upright picture.
        let width: Int
        let height: Int
        private let storedWidth: Int
        /// The place of stored pixel (0, 0), and how it changes along a stored row and from row to row.
        private let first: Int
        private let step: Int
        private let rowStep: Int

        init(_ orientation: Int, width: Int, height: Int) {
            storedWidth = width
            (self.width, self.height) = orientation >= 5 ? (height, width) : (width, height)
            let (right, bottom) = (width - 1, height - 1)
            (first, step, rowStep) =
                switch orientation {
                case 2: (right, -1, width)
                case 3: (bottom * width + right, -1, -width)
                case 4: (bottom * width, 1, -width)
                case 5: (0, height, 1)
                case 6: (bottom, height, -1)
                case 7: (right * height + bottom, -height, -1)
                case 8: (right * height, -height, 1)
                default: (0, 1, width)
                }
        }

        func place(
            _ line: UnsafePointer<UInt8>, row: Int, pixelBytes: Int,
            _ canvas: UnsafeMutableBufferPointer<UInt8>
        ) {
            var target = (first + row * rowStep) * pixelBytes
            var source = 0
            for _ in 0..<storedWidth {
                for byte in 0..<pixelBytes { canvas[target + byte] = line[source + byte] }
                source += pixelBytes
                target += step * pixelBytes
            }
        }
    }
}

extension PixelImage {
    /// The picture turned as EXIF's orientation (1 to 8) says.
    public func oriented(_ orientation: Int) -> PixelImage {
        guard (2...8).contains(orientation) else { return self }
        let turn = Orientation.Turn(orientation, width: width, height: height)
        let rowBytes = width * mode.bytesPerPixel
        let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { result, count in
            pixels.withUnsafeBufferPointer { pixels in
                for y in 0..<height {
                    turn.place(
                        pixels.baseAddress! + y * rowBytes, row: y,
                        pixelBytes: mode.bytesPerPixel,
                        UnsafeMutableBufferPointer(rebasing: result[..<pixels.count]))
                }
            }
            count = pixels.count
        }
        return PixelImage(
            width: turn.width, height: turn.height, mode: mode, palette: palette, pixels: turned)
    }
}

/// The first directory of a TIFF structure, as far as it is in the bytes.
struct TIFFDirectory {
    struct Entry {
        var type: Int
        var count: Int
        /// Of the value, if it fits into the entry.
        var valueOffset: Int
    }

    private let bytes: UnsafeRawBufferPointer
    private let isBigEndian: Bool
    private let isBigTIFF: Bool
    private let entries: Int
    private let count: Int

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 8 else { return nil }
        let isBigEndian: Bool
        switch (bytes[0], bytes[1]) {
        case (0x49, 0x49): isBigEndian = false
        case (0x4D, 0x4D): isBigEndian = true
        default: return nil
        }
        func number(_ size: Int, at offset: Int) -> UInt64? {
            Self.number(size, at: offset, in: bytes, isBigEndian: isBigEndian)
        }
        let isBigTIFF = number(2, at: 2) == 43
        guard isBigTIFF || number(2, at: 2) == 42,
            let directory = isBigTIFF ? number(8, at: 8) : number(4, at: 4),
            let start = Int(exactly: directory), start <= bytes.count,
            let count = number(isBigTIFF ? 8 : 2, at: start)
        else { return nil }
        self.bytes = bytes
        self.isBigEndian = isBigEndian
        self.isBigTIFF = isBigTIFF
        self.count = Int(min(count, 65_535))
        entries = start + (isBigTIFF ? 8 : 2)
    }

    /// How many bytes of values fit into an entry.
    var inlineBytes: Int { isBigTIFF ? 8 : 4 }

    func entry(_ tag: UInt64) -> Entry? {
        for index in 0..<count {
            let start = entries + index * (isBigTIFF ? 20 : 12)
            guard let found = number(2, at: start) else { return nil }
            guard found == tag else { continue }
            guard let type = number(2, at: start + 2),
                let values = number(isBigTIFF ? 8 : 4, at: start + 4)
            else { return nil }
            return Entry(
                type: Int(type), count: Int(clamping: values),
                valueOffset: start + (isBigTIFF ? 12 : 8))
        }
        return nil
    }

    func number(_ size: Int, at offset: Int) -> UInt64? {
        Self.number(size, at: offset, in: bytes, isBigEndian: isBigEndian)
    }

    private static func number(
        _ size: Int, at offset: Int, in bytes: UnsafeRawBufferPointer, isBigEndian: Bool
    ) -> UInt64? {
        guard offset >= 0, offset <= bytes.count - size else { return nil }
        return (0..<size).reduce(0) { sum, i in
            sum << 8 | UInt64(bytes[offset + (isBigEndian ? i : size - 1 - i)])
        }
    }
}
