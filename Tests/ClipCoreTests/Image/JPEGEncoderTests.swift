import ClipCore
import Testing

@Suite struct JPEGEncoderTests {
    /// Noise, so that the file outgrows the encoder's first buffer.
    private static func noise(side: Int) -> PixelImage {
        var generator = SystemRandomNumberGenerator()
        let pixels = (0..<side * side * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
        return PixelImage(width: side, height: side, mode: .rgb, pixels: pixels)
    }

    @Test func fileDecodesToAboutTheSamePixels() throws {
        let flat = PixelImage(
            width: 40, height: 30, mode: .rgb, pixels: [UInt8](repeating: 90, count: 3600))
        let file = try #require(JPEGEncoder(quality: 90).encode(flat, profile: [1, 2, 3]))
        let decoded = try ImageDecoder().decode(file)
        #expect(decoded.width == 40 && decoded.height == 30)
        #expect(decoded.pixels.allSatisfy { abs(Int($0) - 90) <= 2 })
        // ICC.1:2022, B.4: part 1 of 1.
        let segment = Array("ICC_PROFILE\0".utf8) + [1, 1, 1, 2, 3]
        #expect(file.contains(segment))
    }

    /// An error after the buffer has grown freed it twice.
    @Test func failureAfterGrowingFreesTheBufferOnce() throws {
        let image = Self.noise(side: 800)
        let encoder = JPEGEncoder(quality: 90)
        let file = try #require(encoder.encode(image))
        #expect(file.count > 256 << 10)
        let isAtTheLimit = encoder.encode(image, maximumBytes: file.count) == file
        #expect(isAtTheLimit)
        for limit in [0, 1, 64 << 10, 128 << 10, 200_000, file.count - 1] {
            #expect(encoder.encode(image, maximumBytes: limit)?.count == nil)
        }
    }
}
