import CCodecs

/// Images that a library decodes as a whole and that is loaded when the first such image comes: HEIC by libheif,
/// AVIF by libavif, JPEG XL by libjxl, and JPEG 2000 by openjpeg.
///
/// | format | mode | pixels |
/// |---|---|---|
/// | HEIC | RGB, RGBA | the primary image in 8 bits, turned and cropped by its own boxes |
/// | AVIF | RGB, RGBA | the primary image or first frame in 8 bits, as stored |
/// | JPEG XL | L, LA, RGB, RGBA | the first frame in 8 bits, turned as its codestream says |
/// | JPEG 2000 | L, LA, RGB, RGBA, CMYK, I;16 | as Pillow's `Jpeg2KDecode.c`, YCC converted |
final class LibraryImage {
    private(set) var blocks = MetadataBlocks()
    /// EXIF's number for what an AVIF file says about its pixels.
    private(set) var orientation = 1
    private var shape = ImageShape(width: 0, height: 0, mode: .rgb)
    private let format: ImageFormat
    private let codec: ccodec
    private var image: UnsafeMutableRawPointer?

    /// - Parameter bytes: the whole file; must outlive the reader
    init(
        _ bytes: UnsafeRawBufferPointer, _ format: ImageFormat, limits: ImageLimits
    ) throws(ImageError) {
        try format.checkReader()
        guard let codec = format.codec?.pointee else { throw .unsupportedFormat(format.rawValue) }
        self.format = format
        self.codec = codec
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var header = ccodec_header()
        try call { codec.open(start, bytes.count, &image, &header, $0) }
        let (width, height) = (Int(header.width), Int(header.height))
        let pixels = try limits.pixels(width: width, height: height)
        guard let mode = PixelImage.Mode(rawValue: String(cString: header.mode)) else {
            throw .unsupportedVariant(format, "pixels of this kind")
        }
        try limits.checkMemory(pixels * (mode.bytesPerPixel + header.pixel_memory))
        func copy(_ start: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
            Array(UnsafeBufferPointer(start: start, count: start == nil ? 0 : count))
        }
        blocks = MetadataBlocks(
            exif: copy(header.exif, header.exif_count),
            profile: copy(header.profile, header.profile_count))
        orientation = max(1, Int(header.orientation))
        shape = ImageShape(width: width, height: height, mode: mode)
    }

    deinit {
        if let image { codec.close(image) }
    }

    var reader: WholeImageReader {
        WholeImageReader(shape) { [self] canvas throws(ImageError) in
            try call { codec.decode(image, canvas.baseAddress, $0) }
        }
    }

    private func call(
        _ body: (UnsafeMutablePointer<CChar>) -> ccodec_status
    ) throws(ImageError) {
        var status = CCODEC_OK
        let size = Int(ccodec_message_size)
        let message = withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { text in
            text.initialize(repeating: 0)
            status = body(text.baseAddress!)
            return String(cString: text.baseAddress!)
        }
        switch status {
        case CCODEC_OK: return
        case CCODEC_TRUNCATED: throw .truncated
        case CCODEC_NO_MEMORY: throw .outOfMemory
        case CCODEC_UNSUPPORTED where format == .jpeg2000:
            throw .unsupportedVariant(format, message)
        case CCODEC_UNSUPPORTED: throw .unsupportedByLibrary(Self.name(codec), message)
        default: throw .corrupt("\(Self.name(codec)): \(message)")
        }
    }

    private static func name(_ codec: ccodec) -> String {
        "\(String(cString: codec.name)) \(codec.version().map { String(cString: $0) } ?? "")"
    }

    /// The library that reads a format and its version, such as `libheif 1.15.1`, or that it is missing; nil
    /// for formats that need none of these.
    static func library(_ format: ImageFormat) -> String? {
        guard let codec = format.codec?.pointee else { return nil }
        return codec.load() == 0
            ? "\(String(cString: codec.soname)) is not installed" : name(codec)
    }
}

extension ImageDecoder {
    /// Whether a reader that an image lacked is still not there, on this machine and in this build.
    ///
    /// - Parameter reader: as ``ImageError/missingReader`` has it; of a library, any newer version will do.
    public static func lacks(_ reader: String) -> Bool {
        if let format = ImageFormat(rawValue: reader) {
            return (try? format.checkReader()) == nil
        }
        func parts(_ reader: String) -> (name: Substring, version: [Int]) {
            let words = reader.split(separator: " ")
            return (
                words.first ?? "",
                words.dropFirst().joined().split(separator: ".").map { Int($0) ?? 0 }
            )
        }
        let wanted = parts(reader)
        return !ImageFormat.allCases.compactMap(LibraryImage.library).map(parts).contains {
            $0.name == wanted.name && wanted.version.lexicographicallyPrecedes($0.version)
        }
    }
}

extension ImageFormat {
    fileprivate var codec: UnsafePointer<ccodec>? {
        switch self {
        case .heic: ccodec_heif()
        case .avif: ccodec_avif()
        case .jpegXL: ccodec_jpeg_xl()
        case .jpeg2000: ccodec_jpeg_2000()
        default: nil
        }
    }

    /// - Throws: ``ImageError`` when this build, or this machine, lacks a reader for the format
    package func checkReader() throws(ImageError) {
        guard isBuiltIn else { throw .unsupportedFormat(rawValue) }
        guard let codec = codec?.pointee, codec.load() == 0 else { return }
        throw .missingLibrary(self, String(cString: codec.soname))
    }

    /// Whether this build reads the format: package traits can leave some out.
    public var isBuiltIn: Bool {
        switch self {
        case .jpeg, .png, .webP, .gif, .bmp, .tiff, .raw: true
        default: codec != nil
        }
    }
}
