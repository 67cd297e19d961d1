import ClipCore
import Foundation
import Testing

/// A committed picture, and what a script beside it had Pillow and upstream CLIP answer.
protocol GoldenPicture: Decodable, CustomTestStringConvertible {
    static var folder: URL { get }
    var file: String { get }
}

extension GoldenPicture {
    var testDescription: String { file }

    func bytes() throws -> [UInt8] { try Self.picture(file) }

    static func picture(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: name)))
    }

    /// All answers in the folder's golden.json.
    static func answers() -> [Self] {
        let data = try! Data(contentsOf: folder.appending(path: "golden.json"))
        return try! JSONDecoder().decode([Self].self, from: data)
    }
}

/// What `Fixtures/image/make_images.py` had Pillow and upstream CLIP answer.
struct GoldenImages: Decodable {
    /// A committed picture, whole or damaged in a given way, and what Pillow makes of it.
    struct Decoding: Decodable, CustomTestStringConvertible {
        var file: String
        var length: Int?
        var patches: [[Int]]?
        var append: String?

        /// A progressive picture that ends properly but lacks scans. libjpeg-turbo smooths its blocks,
        /// and did so by slightly other rules before 3.0.1 ("interblock smoothing" in its change
        /// log), which Debian 12 and Ubuntu 24.04 still have and Pillow's own copy has not.
        var smoothed: Bool?

        /// Pillow refused it: `truncated`, `corrupt`, or `unidentified` (its header parser).
        var error: String?
        var mode: String?
        var width: Int?
        var height: Int?
        var pixels: UInt32?
        var square: UInt32?
        var floats: UInt32?

        var isWhole: Bool { length == nil && patches == nil && append == nil }
        var isOnlyCut: Bool { length != nil && patches == nil && append == nil }

        var testDescription: String {
            var words = [file]
            if let length { words.append("cut to \(length) bytes") }
            if let patches { words.append("with bytes \(patches)") }
            if let append { words.append("and \(append)") }
            return words.joined(separator: " ")
        }

        func bytes() throws -> [UInt8] {
            var bytes = try GoldenImages.picture(file)
            if let length { bytes.removeLast(bytes.count - length) }
            for patch in patches ?? [] { bytes[patch[0]] = UInt8(patch[1]) }
            var hex = Substring(append ?? "")
            while let byte = UInt8(hex.prefix(2), radix: 16) {
                bytes.append(byte)
                hex = hex.dropFirst(2)
            }
            return bytes
        }
    }

    /// Synthetic pixels, resized or made square.
    struct Synthetic: Decodable, CustomTestStringConvertible {
        var mode: String
        var width: Int
        var height: Int
        var pattern: String
        var toWidth: Int?
        var toHeight: Int?
        var resolution: Int?
        var crc: UInt32

        var testDescription: String {
            let target = resolution.map { "\($0)" } ?? "\(toWidth!)×\(toHeight!)"
            return "\(pattern) \(mode) \(width)×\(height) to \(target)"
        }

        /// The pixels that `synthetic` in the script makes.
        func image() -> PixelImage {
            let mode = PixelImage.Mode(rawValue: mode)!
            var pixels: [UInt8] = []
            pixels.reserveCapacity(width * height * mode.channels)
            for y in 0..<height {
                for x in 0..<width {
                    for c in 0..<mode.channels {
                        let texture = ((x * 40503 + y * 30011 + c * 12007 + x * y * 7) >> 5) & 255
                        let checker = ((x / 3 + y / 2 + c) & 1) * 255
                        pixels.append(UInt8(pattern == "hash" ? texture : checker))
                    }
                }
            }
            return PixelImage(width: width, height: height, mode: mode, pixels: pixels)
        }
    }

    /// A large picture under a fast rule.
    struct Fast: Decodable, CustomTestStringConvertible {
        var file: String
        var resolution: Int
        /// After `draft`, as stored.
        var width: Int
        var height: Int
        var square: UInt32

        var testDescription: String { "\(file) at \(resolution)" }
    }

    var decode: [Decoding]
    var fast: [Fast]
    var resize: [Synthetic]
    var square: [Synthetic]
    /// `[3, 256]`, hexadecimal
    var floats: [[String]]

    static let shared: GoldenImages = {
        let data = try! Data(contentsOf: folder.appending(path: "golden.json"))
        return try! JSONDecoder().decode(GoldenImages.self, from: data)
    }()

    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../Fixtures/image").standardized

    static func picture(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: "\(name).jpg")))
    }

    static func square64(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: "square-64/\(name).rgb")))
    }
}

/// CRC-32 as zlib computes it.
func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var crc = ~UInt32(0)
    for byte in bytes { crc = (crc >> 8) ^ crcTable[Int((crc ^ UInt32(byte)) & 255)] }
    return ~crc
}

func crc32<T: BitwiseCopyable>(_ values: [T]) -> UInt32 {
    values.withUnsafeBytes { crc32($0) }
}

private let crcTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
}

extension ImageDecoder {
    init(limits: ImageLimits = ImageLimits(), orientation: Orientation) {
        self.init(limits: limits, rule: Rule(orientation: orientation))
    }
}

extension ImagePreprocessor {
    /// Resize, centre crop and conversion of an image that is decoded already.
    /// - Returns: `[resolution, resolution, 3]`, red, green and blue bytes.
    func rgb(_ image: PixelImage) -> [UInt8] {
        let size = resizedSize(width: image.width, height: image.height)
        return Resampler(
            width: size.width, height: size.height, interpolation: preprocessing.interpolation
        ).resize(
            image, columns: centered(in: size.width), rows: centered(in: size.height)
        ).convertedToRGB().pixels
    }
}
