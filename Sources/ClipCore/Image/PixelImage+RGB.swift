import CKernels

extension PixelImage {
    /// The image in red, green and blue, as Pillow's `convert("RGB")` gives it (`Convert.c`): grey
    /// three times; alpha left out; CMYK without a colour profile by `cmyk2rgb`; samples wider than a
    /// byte clipped at 0 and 255, not scaled (`I16_RGB`, `i2rgb`, `f2l`).
    package func convertedToRGB() -> PixelImage {
        guard mode != .rgb else { return self }
        let count = width * height
        let rgb = [UInt8](unsafeUninitializedCapacity: count * 3) { result, initialized in
            pixels.withUnsafeBytes { pixels in
                func spread(_ sample: (Int) -> UInt8) {
                    for i in 0..<count {
                        let sample = sample(i)
                        for channel in 0..<3 { result[i * 3 + channel] = sample }
                    }
                }
                switch mode {
                case .bilevel, .grey:
                    spread { pixels[$0] }
                case .greyAlpha:
                    spread { pixels[$0 * 2] }
                case .grey16:
                    spread { pixels[$0 * 2 + 1] == 0 ? pixels[$0 * 2] : 255 }
                case .int32:
                    spread {
                        UInt8(
                            clamping: pixels.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))
                    }
                case .float32:
                    spread {
                        let value = pixels.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
                        // Not a number becomes 0, as the conversion in C gives it on x86-64.
                        return value >= 255 ? 255 : value > 0 ? UInt8(value) : 0
                    }
                case .palette:
                    for i in 0..<count {
                        let color = Int(pixels[i]) * 3
                        for channel in 0..<3 { result[i * 3 + channel] = palette[color + channel] }
                    }
                case .rgba:
                    for i in 0..<count {
                        for channel in 0..<3 { result[i * 3 + channel] = pixels[i * 4 + channel] }
                    }
                case .cmyk:
                    cpx_cmyk_to_rgb(
                        pixels.baseAddress?.assumingMemoryBound(to: UInt8.self), count,
                        result.baseAddress)
                case .rgb:
                    break
                }
            }
            initialized = count * 3
        }
        return PixelImage(width: width, height: height, mode: .rgb, pixels: rgb)
    }
}
