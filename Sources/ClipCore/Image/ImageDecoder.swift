/// Turns a picture file's bytes into pixels.
///
/// The rule is Pillow's `Image.open(file)` followed by `load()`: the same pixels, in the same mode,
/// and an error for a picture that ends early. Orientation in EXIF and colour profiles are left
/// alone, as upstream leaves them. Values are independent of one another: any number of threads may
/// decode at once.
public struct ImageDecoder: Sendable {
    /// Rises whenever pictures can be decoded that could not be before, so that those that were
    /// refused then get another chance.
    public static let version = 2

    public var limits: ImageLimits

    public init(limits: ImageLimits = ImageLimits()) {
        self.limits = limits
    }

    /// Decodes a whole file held in memory.
    ///
    /// - Throws: ``ImageError``
    public func decode(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PixelImage {
        try read(bytes) { WholePicture($0) }
    }

    /// Decodes a whole file held in memory, line by line.
    ///
    /// - Parameter consumer: makes of the header what takes the lines. It is asked again, for another
    ///   one, when the first attempt met damage.
    /// - Returns: what the consumer made of the lines
    /// - Throws: ``ImageError``
    package func read(
        _ bytes: UnsafeRawBufferPointer,
        into consumer: (PictureShape) throws(ImageError) -> any LineConsumer
    ) throws(ImageError) -> PixelImage {
        guard !bytes.isEmpty else { throw .empty }
        let prefix = bytes.prefix(PictureFormat.prefixLength)
        guard let format = PictureFormat(prefix: prefix) else {
            throw PictureFormat.unsupportedName(prefix: prefix).map { .unsupportedFormat($0) }
                ?? .notAPicture
        }
        switch format {
        case .jpeg:
            do throws(ImageError) {
                return try run(
                    JPEGReader(bytes, limits: limits, isSaving: true), into: consumer)
            } catch JPEGReader.damage {
                // What becomes of damage is decided by a decoder that works as Pillow's does.
                return try run(
                    JPEGReader(bytes, limits: limits, isSaving: false), into: consumer)
            }
        case .png:
            return try run(PNGReader(bytes, limits: limits), into: consumer)
        case .webP:
            return try run(WebPReader.open(bytes, limits: limits), into: consumer)
        case .gif:
            return try run(GIFReader.open(bytes, limits: limits), into: consumer)
        case .bmp:
            return try run(BMPReader.open(bytes, limits: limits), into: consumer)
        case .tiff:
            return try run(TIFFReader.open(bytes, limits: limits), into: consumer)
        }
    }

    private func run(
        _ reader: any LineReader,
        into makeConsumer: (PictureShape) throws(ImageError) -> any LineConsumer
    ) throws(ImageError) -> PixelImage {
        let consumer = try makeConsumer(reader.shape)
        try reader.start(rows: consumer.sourceRows, columns: consumer.sourceColumns)
        for _ in consumer.sourceRows { consumer.add(try reader.nextLine()) }
        try reader.finish()
        return consumer.result()
    }

    /// Decodes a whole file held in memory.
    ///
    /// - Throws: ``ImageError``
    public func decode(_ bytes: [UInt8]) throws(ImageError) -> PixelImage {
        try bytes.withUnsafeBufferPointer { (buffer) throws(ImageError) in
            try decode(UnsafeRawBufferPointer(buffer))
        }
    }
}
