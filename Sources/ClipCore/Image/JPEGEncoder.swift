import CImages
import Glibc

/// Writes images as JPEG files with libjpeg: 4:2:0, progressive above half a million pixels.
public struct JPEGEncoder: Sendable {
    /// 1 to 100 on libjpeg's scale.
    public let quality: Int

    public init(quality: Int) {
        precondition((1...100).contains(quality), "libjpeg's scale goes from 1 to 100")
        self.quality = quality
    }

    /// - Parameters:
    ///   - image: at most 65,500 pixels wide and high; CMYK is converted to RGB.
    ///   - profile: an ICC profile; empty for none (sRGB).
    ///   - maximumBytes: of the file
    /// - Returns: the file, or nil when it would be larger than that or memory runs out.
    public func encode(
        _ image: PixelImage, profile: [UInt8] = [], maximumBytes: Int = .max
    ) -> [UInt8]? {
        let image = image.mode == .grey ? image : image.convertedToRGB()
        guard max(image.width, image.height) <= 65_500 else { return nil }
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        let isDone = image.pixels.withUnsafeBufferPointer { pixels in
            profile.withUnsafeBufferPointer { profile in
                cjpeg_encode(
                    pixels.baseAddress, UInt32(image.width), UInt32(image.height),
                    Int32(image.mode.channels), Int32(quality), profile.baseAddress, profile.count,
                    maximumBytes, &bytes, &count)
            }
        }
        guard isDone == 1, let bytes else { return nil }
        defer { free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
