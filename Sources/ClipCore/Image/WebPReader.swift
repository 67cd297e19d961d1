import CImages

/// A WebP decoded by libwebp, with Pillow's choices (`WebPImagePlugin.py`, libwebp's animation
/// decoder): RGBA when the file says at its beginning that it has alpha, else RGB; of an animation
/// the first frame, on a canvas of zeros. Profiles and metadata are not read.
///
/// Takes 3 or 4 bytes a pixel, and inside libwebp 4 more for a lossless image, 2 for lossy alpha.
enum WebPReader {
    static func open(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits
    ) throws(ImageError) -> any LineReader {
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var header = cwebp_header()
        try check(cwebp_read_header(start, bytes.count, &header))
        let (width, height) = (Int(header.width), Int(header.height))
        let pixels = try limits.pixels(width: width, height: height)
        let hasAlpha = header.has_alpha != 0
        let channels = hasAlpha ? 4 : 3
        let inside = header.is_lossless != 0 ? 4 : hasAlpha ? 2 : 0
        try limits.checkMemory(pixels * (channels + inside))
        let shape = ImageShape(width: width, height: height, mode: hasAlpha ? .rgba : .rgb)
        return WholeImageReader(shape) { [header] canvas throws(ImageError) in
            var header = header
            try check(
                cwebp_read_pixels(
                    start, bytes.count, &header, Int32(channels), canvas.baseAddress))
        }
    }

    private static func check(_ status: cimages_status) throws(ImageError) {
        if let error = ImageError(status, "libwebp found damage") { throw error }
    }
}
