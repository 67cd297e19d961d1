/// How much work and memory one image may cost. An image's header is
/// held against these before anything is allocated for its pixels.
public struct ImageLimits: Equatable, Sendable {
    /// Width times height. The default is where Pillow raises `DecompressionBombError`: twice its
    /// `MAX_IMAGE_PIXELS`.
    public var maximumPixels = 2 * 89_478_485

    /// Bytes that decoding one image may take, beyond the file's own. JPEGs of one scan, PNGs that
    /// are not interlaced and BMPs need some lines only; the other kinds 1 to 8 bytes a pixel, as
    /// MODEL.md lists. The default is 512 MiB, enough for any image of 67 million pixels.
    public var maximumMemory = 512 << 20

    /// Scans of one image. Encoders write about ten; the format's own rules do not bound them, and
    /// a scan that says nothing costs a few bytes but a walk over the whole image.
    public var maximumScans = 100

    /// Width times height, summed over the scans of one image. It makes fewer scans do for a
    /// very large image: 24 at the default ``maximumPixels``, where a walk takes long.
    public var maximumScannedPixels = 1 << 32

    public init() {}

    /// The pixels of an image of this size.
    package func pixels(width: Int, height: Int) throws(ImageError) -> Int {
        guard width > 0, height > 0 else { throw .corrupt("it has no pixels") }
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= maximumPixels else {
            throw .tooLarge(width: width, height: height, limit: maximumPixels)
        }
        return count
    }

    package func checkMemory(_ bytes: Int) throws(ImageError) {
        guard bytes <= maximumMemory else { throw .tooMuchMemory(limit: maximumMemory) }
    }

    /// The scans that an image with this many pixels may have, at least 1.
    package func scans(forPixels pixels: Int) -> Int {
        max(1, min(maximumScans, maximumScannedPixels / max(1, pixels)))
    }
}
