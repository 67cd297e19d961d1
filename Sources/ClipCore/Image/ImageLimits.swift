/// How much work and memory one picture may cost, whatever its bytes claim.
///
/// Decoding takes at most 4 bytes a pixel for the result, and up to 8 more inside libjpeg while a
/// picture of several scans is read; so ``maximumPixels`` bounds memory too.
public struct ImageLimits: Equatable, Sendable {
    /// Width times height. The default is where Pillow raises `DecompressionBombError`: twice its
    /// `MAX_IMAGE_PIXELS`.
    public var maximumPixels = 2 * 89_478_485

    /// Scans of one picture. Encoders write about ten; the format's own rules do not bound them, and
    /// a scan that says nothing costs a few bytes but a walk over the whole picture.
    public var maximumScans = 100

    /// Width times height, summed over the scans of one picture. It makes fewer scans do for a
    /// very large picture: 24 at the default ``maximumPixels``, where a walk takes long.
    public var maximumScannedPixels = 1 << 32

    public init() {}

    /// The scans that a picture of so many pixels may have, at least 1.
    package func scans(forPixels pixels: Int) -> Int {
        max(1, min(maximumScans, maximumScannedPixels / max(1, pixels)))
    }
}
