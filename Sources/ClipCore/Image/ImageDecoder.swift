/// Turns an image file's bytes into pixels.
///
/// The rule is Pillow's `Image.open(file)` and `load()`: the same pixels, in the same mode, and an error for
/// an image that ends early; then `ImageOps.exif_transpose`, unless ``orientation`` says otherwise.
/// Colour profiles are left alone, as upstream leaves them. Values are independent of one another: any
/// number of threads may decode at once.
public struct ImageDecoder: Sendable {
    /// Rises whenever images can be decoded that could not be before, so that those that were
    /// refused then get another chance.
    public static let version = 4

    /// Whether a reader that an image lacked is still not there, on this machine and in this build.
    ///
    /// - Parameter reader: as ``ImageError/missingReader`` has it; of a library, any newer version will do.
    public static func lacks(_ reader: String) -> Bool { LibraryReader.lacks(reader) }

    /// What is done about the EXIF orientation of JPEG, PNG and WebP files. TIFF's orientation tag always
    /// applies, as Pillow applies it when it loads the file.
    public enum Orientation: String, CaseIterable, Sendable {
        /// The image is turned as EXIF says.
        case upright
        /// The image is used as it is stored, as upstream's example does.
        case stored
    }

    public var limits: ImageLimits
    public var orientation: Orientation

    public init(limits: ImageLimits = ImageLimits(), orientation: Orientation = .upright) {
        self.limits = limits
        self.orientation = orientation
    }

    /// Decodes a whole file held in memory.
    ///
    /// - Throws: ``ImageError``
    public func decode(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PixelImage {
        try read(bytes) { WholeImage($0) }.image
    }

    /// Decodes a whole file held in memory.
    ///
    /// - Throws: ``ImageError``
    public func decode(_ bytes: [UInt8]) throws(ImageError) -> PixelImage {
        try bytes.withUnsafeBufferPointer { (buffer) throws(ImageError) in
            try decode(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Reads size and EXIF of a whole file held in memory, without its pixels: an image that ends early has
    /// metadata.
    ///
    /// - Throws: ``ImageError``
    public func metadata(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> ImageMetadata {
        try open(bytes).metadata
    }

    /// Decodes a whole file held in memory, line by line.
    ///
    /// - Parameter consumer: makes of the header what takes the lines. It is asked again, for another
    ///   one, when the first attempt met damage.
    /// - Returns: what the consumer made of the lines, and the file's metadata and ICC profile
    /// - Throws: ``ImageError``
    func read(
        _ bytes: UnsafeRawBufferPointer,
        into consumer: (ImageShape) throws(ImageError) -> any LineConsumer
    ) throws(ImageError) -> (image: PixelImage, metadata: ImageMetadata, profile: [UInt8]) {
        do throws(ImageError) {
            let file = try open(bytes)
            return (try run(file.reader, into: consumer), file.metadata, file.profile)
        } catch JPEGReader.damage {
            // What becomes of damage is decided by a decoder that works as Pillow's does.
            let file = try open(bytes, isSavingJPEG: false)
            return (try run(file.reader, into: consumer), file.metadata, file.profile)
        }
    }

    /// Reads a file's header.
    private func open(
        _ bytes: UnsafeRawBufferPointer, isSavingJPEG: Bool = true
    ) throws(ImageError) -> (reader: any LineReader, metadata: ImageMetadata, profile: [UInt8]) {
        let format = try Self.format(of: bytes)
        var reader: any LineReader
        var blocks = MetadataBlocks(bytes, format)
        var isUpright = false
        var rawOrientation = 1
        switch format {
        case .jpeg: reader = try JPEGReader(bytes, limits: limits, isSaving: isSavingJPEG)
        case .png: reader = try PNGReader(bytes, limits: limits)
        case .webP: reader = try WebPReader.open(bytes, limits: limits)
        case .gif: reader = try GIFReader.open(bytes, limits: limits)
        case .bmp: reader = try BMPReader.open(bytes, limits: limits)
        case .tiff:
            reader = try TIFFReader.open(bytes, limits: limits)
            isUpright = true
        case .heic, .avif, .jpegXL, .jpeg2000, .raw:
            let library = try LibraryReader(
                bytes, format, limits: limits, isSavingJPEG: isSavingJPEG)
            // AVIF's own transforms always apply; its EXIF has no say.
            reader =
                format == .avif
                ? UprightReader.open(library, library.header.orientation, limits: limits) : library
            if format != .jpegXL { blocks = library.header.blocks }
            blocks.profile = library.header.blocks.profile
            rawOrientation = library.header.orientation
            isUpright = format != .raw
        }
        var exif = format == .tiff ? EXIF(bytes) : EXIF(blocks)
        if format == .raw { exif.complete(EXIF(bytes), orientation: rawOrientation) }
        let metadata = ImageMetadata(exif, of: reader.shape, isUpright: isUpright)
        if orientation == .upright {
            reader = UprightReader.open(reader, metadata.orientation, limits: limits)
        }
        return (reader, metadata, blocks.profile)
    }

    /// The format of a file. Cameras' raw files are told from other TIFF files.
    ///
    /// - Throws: ``ImageError`` when this build does not read it
    package static func format(
        of bytes: UnsafeRawBufferPointer
    ) throws(ImageError) -> ImageFormat {
        guard !bytes.isEmpty else { throw .empty }
        let prefix = bytes.prefix(ImageFormat.prefixLength)
        guard let format = ImageFormat(prefix: prefix) else {
            throw ImageFormat.unsupportedName(prefix: prefix).map { .unsupportedFormat($0) }
                ?? .notAnImage
        }
        guard format == .tiff, TIFFDirectory(bytes)?.isRaw == true else { return format }
        guard ImageFormat.raw.isBuiltIn else { throw .unsupportedFormat("RAW") }
        return .raw
    }

    private func run(
        _ reader: any LineReader,
        into makeConsumer: (ImageShape) throws(ImageError) -> any LineConsumer
    ) throws(ImageError) -> PixelImage {
        let consumer = try makeConsumer(reader.shape)
        try reader.start(rows: consumer.sourceRows, columns: consumer.sourceColumns)
        for _ in consumer.sourceRows { consumer.add(try reader.nextLine()) }
        try reader.finish()
        return consumer.result()
    }
}
