import CImages

/// One JPEG being decoded by libjpeg, with Pillow's choices (`JpegImagePlugin.py`, `JpegDecode.c`).
///
/// The mode follows from the number of components alone: 1 is grey, 3 is RGB, 4 is CMYK. What colour
/// space the components are stored in (YCbCr, RGB, YCCK, CMYK) is for libjpeg to find out from the
/// JFIF and Adobe markers and the components' names. Four-component files hold inverted samples,
/// with or without an Adobe marker: Pillow inverts them all, and so does this.
///
/// A sequential image takes no memory beyond some lines; one of several scans (progressive, or a
/// component at a time) 2 bytes for each stored sample, so 3 to 8 a pixel.
final class JPEGReader: LineReader {
    /// What a saving reader throws when one that does not save should be asked.
    static let damage = ImageError.corrupt("it is damaged")

    let shape: ImageShape
    let wholeShape: ImageShape
    /// The image is decoded at one part in this many of its size: 1, 2, 4 or 8.
    private let scale: Int
    private let handle: DecoderHandle
    private let limits: ImageLimits
    private let isSaving: Bool
    private let scanLimit: Int

    /// - Parameters:
    ///   - bytes: the whole file; must outlive this value
    ///   - isSaving: leaves out the inverse transform of what is not wanted. Such a reader
    ///     throws ``damage`` instead of repairing anything.
    ///   - leastSide: the image is scaled down as far as leaves this many pixels on its shorter side, as
    ///     Pillow's `draft` decides it; nil for not at all
    init(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits, isSaving: Bool, leastSide: Int? = nil
    ) throws(ImageError) {
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        handle = try DecoderHandle(cjpeg_create(start, bytes.count), cjpeg_destroy)
        self.limits = limits
        self.isSaving = isSaving
        var header = cjpeg_header()
        let status = cjpeg_read_header(handle.pointer, &header)
        let error = ImageError(status, String(cString: cjpeg_message(handle.pointer)))
        if let error { throw error }
        let (width, height) = (Int(header.width), Int(header.height))
        scanLimit = limits.scans(forPixels: try limits.pixels(width: width, height: height))
        let modes: [Int32: PixelImage.Mode] = [1: .grey, 3: .rgb, 4: .cmyk]
        guard let mode = modes[header.components] else {
            throw .unsupportedVariant(.jpeg, "\(header.components) colour components")
        }
        wholeShape = ImageShape(width: width, height: height, mode: mode)
        let most = leastSide.map { min(width, height) / $0 } ?? 1
        let scale = [8, 4, 2].first { $0 <= most } ?? 1
        self.scale = scale
        shape = ImageShape(
            width: (width + scale - 1) / scale, height: (height + scale - 1) / scale, mode: mode
        )
    }

    func start(rows: Range<Int>, columns: Range<Int>) throws(ImageError) {
        var request = cjpeg_request(
            top: UInt32(rows.lowerBound), bottom: UInt32(rows.upperBound),
            left: UInt32(columns.lowerBound), right: UInt32(columns.upperBound),
            max_scans: Int32(clamping: scanLimit), max_memory: max(0, limits.maximumMemory),
            saving: isSaving ? 1 : 0, scale: UInt32(scale))
        try check(cjpeg_start(handle.pointer, &request))
    }

    func nextLine() throws(ImageError) -> UnsafePointer<UInt8> {
        var line: UnsafePointer<UInt8>?
        try check(cjpeg_read_line(handle.pointer, &line))
        return line!
    }

    func finish() throws(ImageError) {
        try check(cjpeg_finish(handle.pointer))
    }

    private func check(_ status: cimages_status) throws(ImageError) {
        switch status {
        case CIMAGES_TOO_MANY_SCANS: throw .tooManyScans(limit: scanLimit)
        case CIMAGES_TOO_MUCH_MEMORY: throw .tooMuchMemory(limit: limits.maximumMemory)
        case CIMAGES_DAMAGED: throw Self.damage
        default:
            let error = ImageError(status, String(cString: cjpeg_message(handle.pointer)))
            if let error { throw error }
        }
    }
}
