import ClipCore

/// Pictures as sixels: in bands of six rows, for each colour a character per column.
enum SixelImage {
    /// Steps of each of red, green and blue: 216 colours, within the 256 that terminals have.
    private static let steps = 6

    /// - Parameter image: in red, green and blue.
    static func encode(_ image: PixelImage) -> String {
        let (width, height) = (image.width, image.height)
        let colours = dithered(image)
        var bytes = Array("\u{1B}Pq\"1;1;\(width);\(height)".utf8)
        for colour in Set(colours).sorted() {
            let (red, rest) = Int(colour).quotientAndRemainder(dividingBy: steps * steps)
            let (green, blue) = rest.quotientAndRemainder(dividingBy: steps)
            // Levels in percent.
            let levels = [red, green, blue].map { "\($0 * 100 / (steps - 1))" }
            bytes += "#\(colour);2;\(levels.joined(separator: ";"))".utf8
        }
        for top in stride(from: 0, to: height, by: 6) {
            let rows = top..<min(top + 6, height)
            let band = colours[rows.lowerBound * width..<rows.upperBound * width]
            for colour in Set(band).sorted() {
                bytes += "#\(colour)".utf8
                var run: (sixel: UInt8, count: Int) = (0, 0)
                for x in 0..<width {
                    var sixel: UInt8 = 63
                    for y in rows where colours[y * width + x] == colour {
                        sixel += 1 << (y - top)
                    }
                    if sixel == run.sixel {
                        run.count += 1
                    } else {
                        append(run, to: &bytes)
                        run = (sixel, 1)
                    }
                }
                append(run, to: &bytes)
                bytes.append(UInt8(ascii: "$"))
            }
            bytes.append(UInt8(ascii: "-"))
        }
        bytes += "\u{1B}\\".utf8
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func append(_ run: (sixel: UInt8, count: Int), to bytes: inout [UInt8]) {
        if run.count > 3 {
            bytes += "!\(run.count)".utf8
            bytes.append(run.sixel)
        } else {
            bytes += Array(repeating: run.sixel, count: run.count)
        }
    }

    /// Each pixel's colour, its error spread to its neighbours (Floyd and Steinberg, 1976).
    private static func dithered(_ image: PixelImage) -> [UInt8] {
        let (width, height) = (image.width, image.height)
        var samples = image.pixels.map(Int.init)
        return (0..<width * height).map { pixel in
            let (y, x) = pixel.quotientAndRemainder(dividingBy: width)
            var colour = 0
            for channel in 0..<3 {
                let wanted = min(max(samples[pixel * 3 + channel], 0), 255)
                let level = (wanted * (steps - 1) + 127) / 255
                colour = colour * steps + level
                let error = wanted - level * 255 / (steps - 1)
                func spread(_ part: Int, right: Int, down: Int) {
                    guard (0..<width).contains(x + right), y + down < height else { return }
                    samples[(pixel + right + down * width) * 3 + channel] += error * part / 16
                }
                spread(7, right: 1, down: 0)
                spread(3, right: -1, down: 1)
                spread(5, right: 0, down: 1)
                spread(1, right: 1, down: 1)
            }
            return UInt8(colour)
        }
    }
}
