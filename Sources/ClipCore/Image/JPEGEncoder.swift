import CJPEG

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes pictures as JPEG files with libjpeg: progressive, 4:2:0.
public struct JPEGEncoder: Sendable {
    /// 1 to 100 on libjpeg's scale.
    public let quality: Int

    public init(quality: Int) {
        precondition((1...100).contains(quality), "libjpeg's scale goes from 1 to 100")
        self.quality = quality
    }

    /// - Parameters:
    ///   - image: at most 65,500 pixels wide and high; CMYK is converted to RGB.
    ///   - profile: an ICC profile that says what the samples mean; empty for none (sRGB).
    /// - Returns: the file, or nil when there is no memory for it.
    public func encode(_ image: PixelImage, profile: [UInt8] = []) -> [UInt8]? {
        let image = image.mode == .grey ? image : image.convertedToRGB()
        guard max(image.width, image.height) <= 65_500 else { return nil }
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        let isDone = image.pixels.withUnsafeBufferPointer { pixels in
            profile.withUnsafeBufferPointer { profile in
                cjpeg_encode(
                    pixels.baseAddress, UInt32(image.width), UInt32(image.height),
                    Int32(image.mode.channels), Int32(quality), profile.baseAddress, profile.count,
                    &bytes, &count)
            }
        }
        guard isDone == 1, let bytes else { return nil }
        defer { free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
