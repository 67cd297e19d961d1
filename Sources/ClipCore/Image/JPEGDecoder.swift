import CJPEG

/// One JPEG being decoded by libjpeg, with Pillow's choices (`JpegImagePlugin.py`, `JpegDecode.c`).
///
/// The mode follows from the number of components alone: 1 is grey, 3 is RGB, 4 is CMYK. What colour
/// space the components are stored in (YCbCr, RGB, YCCK, CMYK) is for libjpeg to find out from the
/// JFIF and Adobe markers and the components' names. Four-component files hold inverted samples,
/// with or without an Adobe marker: Pillow inverts them all, and so does this.
struct JPEGDecoder: ~Copyable {
    private let handle: OpaquePointer?

    /// The bytes must outlive this value.
    init(_ bytes: UnsafeRawBufferPointer) {
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        handle = cjpeg_create(start, bytes.count)
    }

    deinit {
        cjpeg_destroy(handle)
    }

    consuming func decode(limits: ImageLimits) throws(ImageError) -> PixelImage {
        guard handle != nil else { throw .outOfMemory }
        var header = cjpeg_header()
        try check(cjpeg_read_header(handle, &header), scanLimit: 0)

        let (width, height) = (Int(header.width), Int(header.height))
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= limits.maximumPixels else {
            throw .tooLarge(width: width, height: height, limit: limits.maximumPixels)
        }
        let mode: PixelImage.Mode
        switch header.components {
        case 1: mode = .grey
        case 3: mode = .rgb
        case 4: mode = .cmyk
        default: throw .unsupportedComponents(Int(header.components))
        }

        let scanLimit = limits.scans(forPixels: count)
        let samples = count * mode.channels
        var status = CJPEG_NO_MEMORY
        let pixels = [UInt8](unsafeUninitializedCapacity: samples) { buffer, initialized in
            status = cjpeg_read_pixels(handle, Int32(clamping: scanLimit), buffer.baseAddress)
            guard status == CJPEG_OK else { return }
            if mode == .cmyk {
                for i in 0..<samples { buffer[i] = ~buffer[i] }
            }
            initialized = samples
        }
        try check(status, scanLimit: scanLimit)
        return PixelImage(width: width, height: height, mode: mode, pixels: pixels)
    }

    private borrowing func check(_ status: cjpeg_status, scanLimit: Int) throws(ImageError) {
        switch status {
        case CJPEG_OK: return
        case CJPEG_TRUNCATED: throw .truncated
        case CJPEG_TOO_MANY_SCANS: throw .tooManyScans(limit: scanLimit)
        case CJPEG_NO_MEMORY: throw .outOfMemory
        default: throw .corrupt(String(cString: cjpeg_message(handle)))
        }
    }
}
