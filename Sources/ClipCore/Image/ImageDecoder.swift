/// Turns an image file's bytes into pixels.
///
/// The rule is Pillow's `Image.open(file)` and `load()`: the same pixels, in the same mode, and an error for
/// an image that ends early; then `ImageOps.exif_transpose`, unless ``rule`` says otherwise.
/// Colour profiles are left alone, as upstream leaves them. Values are independent of one another: any
/// number of threads may decode at once.
public struct ImageDecoder: Sendable {
    /// Rises whenever images can be decoded that could not be before, so that those that were
    /// refused then get another chance.
    public static let version = 5

    /// What is done about the EXIF orientation of JPEG, PNG and WebP files. TIFF's orientation tag always
    /// applies, as Pillow applies it when it loads the file.
    public enum Orientation: String, CaseIterable, Sendable {
        /// The image is turned as EXIF says.
        case upright
        /// The image is used as it is stored, as upstream's example does.
        case stored
    }

    /// What may be chosen about a file's pixels. Embeddings that are compared follow one rule.
    public struct Rule: Equatable, Sendable, LosslessStringConvertible {
        public var orientation: Orientation
        /// Whether large JPEGs are decoded at a half, a quarter or an eighth of their size where a model
        /// wants less than half of that: as after Pillow's `draft`, with libjpeg's scaled inverse
        /// transform.
        public var isFast: Bool

        public init(orientation: Orientation = .upright, isFast: Bool = false) {
            self.orientation = orientation
            self.isFast = isFast
        }

        /// - Parameter description: as ``description`` gives it; nil for another text
        public init?(_ description: String) {
            let fast = "-fast"
            isFast = description.hasSuffix(fast)
            let name = isFast ? String(description.dropLast(fast.count)) : description
            guard let orientation = Orientation(rawValue: name) else { return nil }
            self.orientation = orientation
        }

        /// `upright`, `stored`, `upright-fast` or `stored-fast`.
        public var description: String { orientation.rawValue + (isFast ? "-fast" : "") }
    }

    public var limits: ImageLimits
    public var rule: Rule

    public init(limits: ImageLimits = ImageLimits(), rule: Rule = Rule()) {
        self.limits = limits
        self.rule = rule
    }

    /// Decodes a whole file held in memory.
    ///
    /// - Throws: ``ImageError``
    public func decode(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PixelImage {
        try read(bytes) { lines, _ in WholeImage(lines) }.image
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

    /// Whether a file has the same pixels under another rule.
    ///
    /// - Parameter leastSide: as of ``read(_:leastSide:into:)``
    func hasSamePixels(
        _ bytes: UnsafeRawBufferPointer, under other: Rule, leastSide: Int
    ) throws(ImageError) -> Bool {
        let file = try open(bytes, leastSide: leastSide)
        return (rule.orientation == other.orientation || file.metadata.orientation == 1)
            && (rule.isFast == other.isFast || !file.isScaled)
    }

    /// Decodes a whole file held in memory, line by line.
    ///
    /// - Parameters:
    ///   - leastSide: what a fast rule leaves of the shorter side, at least; nil for all
    ///   - consumer: makes of the lines' shape, and of the image's in the file, what takes the lines. It is
    ///     asked again, for another one, when the first attempt met damage.
    /// - Returns: what the consumer made of the lines, and the file's metadata and ICC profile
    /// - Throws: ``ImageError``
    func read(
        _ bytes: UnsafeRawBufferPointer, leastSide: Int? = nil,
        into consumer: (_ lines: ImageShape, _ whole: ImageShape) throws(ImageError) ->
            any LineConsumer
    ) throws(ImageError) -> (image: PixelImage, metadata: ImageMetadata, profile: [UInt8]) {
        let leastSide = rule.isFast ? leastSide : nil
        do throws(ImageError) {
            return try run(try open(bytes, leastSide: leastSide), into: consumer)
        } catch JPEGReader.damage {
            // What becomes of damage is decided by a decoder that works as Pillow's does.
            return try run(
                try open(bytes, isSavingJPEG: false, leastSide: leastSide), into: consumer)
        }
    }

    private struct OpenFile {
        let reader: any LineReader
        let metadata: ImageMetadata
        let profile: [UInt8]
        /// Whether the reader gives fewer pixels than the file has.
        var isScaled: Bool { reader.shape != reader.wholeShape }
    }

    /// Reads a file's header.
    private func open(
        _ bytes: UnsafeRawBufferPointer, isSavingJPEG: Bool = true, leastSide: Int? = nil
    ) throws(ImageError) -> OpenFile {
        let format = try Self.format(of: bytes)
        var reader: any LineReader
        var blocks = MetadataBlocks(bytes, format)
        var raw: ImageMetadata?
        var isUpright = false
        switch format {
        case .jpeg:
            reader = try JPEGReader(
                bytes, limits: limits, isSaving: isSavingJPEG, leastSide: leastSide)
        case .png: reader = try PNGReader(bytes, limits: limits)
        case .webP: reader = try WebPReader.open(bytes, limits: limits)
        case .gif: reader = try GIFReader.open(bytes, limits: limits)
        case .bmp: reader = try BMPReader.open(bytes, limits: limits)
        case .tiff:
            reader = try TIFFReader.open(bytes, limits: limits)
            isUpright = true
        case .raw:
            let preview = try RAWPreview(bytes)
            reader = try JPEGReader(
                preview.jpeg, limits: limits, isSaving: isSavingJPEG, leastSide: leastSide)
            blocks = MetadataBlocks(preview.jpeg, .jpeg)
            raw = preview.metadata
        case .heic, .avif, .jpegXL, .jpeg2000:
            let image = try LibraryImage(bytes, format, limits: limits)
            // AVIF's own transforms always apply; its EXIF orientation is ignored.
            reader =
                format == .avif
                ? UprightReader.open(image.reader, image.orientation, limits: limits)
                : image.reader
            if format != .jpegXL { blocks = image.blocks }
            blocks.profile = image.blocks.profile
            isUpright = true
        }
        var metadata = format == .tiff ? ImageMetadata(exif: bytes) : ImageMetadata(blocks)
        if let raw { metadata.complete(raw) }
        metadata.take(reader.wholeShape, isUpright: isUpright)
        if rule.orientation == .upright {
            reader = UprightReader.open(reader, metadata.orientation, limits: limits)
        }
        return OpenFile(reader: reader, metadata: metadata, profile: blocks.profile)
    }

    /// The format of a file. Cameras' raw files are distinguished from other TIFF files.
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
        return .raw
    }

    private func run(
        _ file: OpenFile,
        into makeConsumer: (ImageShape, ImageShape) throws(ImageError) -> any LineConsumer
    ) throws(ImageError) -> (image: PixelImage, metadata: ImageMetadata, profile: [UInt8]) {
        let reader = file.reader
        let consumer = try makeConsumer(reader.shape, reader.wholeShape)
        try reader.start(rows: consumer.sourceRows, columns: consumer.sourceColumns)
        for _ in consumer.sourceRows { consumer.add(try reader.nextLine()) }
        try reader.finish()
        return (consumer.result(), file.metadata, file.profile)
    }
}
