extension PixelImage {
    /// The picture in red, green and blue, as Pillow's `convert("RGB")` gives it: grey three times;
    /// CMYK by `(255 - K) - C * (255 - K) / 255` with Pillow's rounded division (`cmyk2rgb` in
    /// `Convert.c`), no colour profile asked.
    package func convertedToRGB() -> PixelImage {
        guard mode != .rgb else { return self }
        let rgb = [UInt8](unsafeUninitializedCapacity: width * height * 3) { result, count in
            for i in 0..<width * height {
                switch mode {
                case .grey:
                    for channel in 0..<3 { result[i * 3 + channel] = pixels[i] }
                case .cmyk:
                    let light = 255 - Int(pixels[i * 4 + 3])
                    for channel in 0..<3 {
                        let product = Int(pixels[i * 4 + channel]) * light + 128
                        let absorbed = ((product >> 8) + product) >> 8
                        result[i * 3 + channel] = UInt8(light - absorbed)
                    }
                case .rgb:
                    break
                }
            }
            count = width * height * 3
        }
        return PixelImage(width: width, height: height, mode: .rgb, pixels: rgb)
    }
}
