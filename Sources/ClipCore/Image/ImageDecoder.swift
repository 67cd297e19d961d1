/// Turns a picture file's bytes into pixels.
///
/// The rule is Pillow's `Image.open(file)` followed by `load()`: the same pixels, in the same mode,
/// and an error for a picture that ends early. Orientation in EXIF and colour profiles are left
/// alone, as upstream leaves them. Values are independent of one another: any number of threads may
/// decode at once.
public struct ImageDecoder: Sendable {
    public var limits: ImageLimits

    public init(limits: ImageLimits = ImageLimits()) {
        self.limits = limits
    }

    /// Decodes a whole file held in memory.
    ///
    /// - Throws: ``ImageError``
    public func decode(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PixelImage {
        guard !bytes.isEmpty else { throw .empty }
        guard let format = PictureFormat(prefix: bytes.prefix(PictureFormat.prefixLength)) else {
            throw .notAPicture
        }
        switch format {
        case .jpeg:
            return try JPEGDecoder(bytes).decode(limits: limits)
        case .png, .webP, .gif, .bmp, .tiff:
            throw .unsupportedFormat(format)
        }
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
