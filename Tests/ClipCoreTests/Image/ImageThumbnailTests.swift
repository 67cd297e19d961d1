import ClipCore
import Foundation
import Testing

@Suite struct ImageThumbnailTests {
    private static func files() throws -> [(name: String, bytes: [UInt8])] {
        let folders = [
            GoldenFormat.folder, GoldenImages.folder, GoldenMetadata.folder,
            GoldenLibraryImage.folder,
        ]
        var files: [(name: String, bytes: [UInt8])] = []
        for folder in folders {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() {
                guard let data = FileManager.default.contents(atPath: "\(folder.path)/\(name)")
                else { continue }
                files.append((name, [UInt8](data)))
            }
        }
        return files
    }

    private static func thumbnail(
        _ bytes: [UInt8], short: Int = 30, long: Int = 90
    ) throws -> Thumbnail {
        try bytes.withUnsafeBytes {
            try ThumbnailEncoder(shortSide: short, longSide: long, quality: 90).thumbnail(of: $0)
        }
    }

    @Test func everyImageHasAnUprightThumbnailThatBrowsersShow() throws {
        var formats: Set<ImageFormat> = []
        for (index, (name, bytes)) in try Self.files().enumerated() where index % 2 == 0 {
            guard let image = try? ImageDecoder().decode(bytes) else { continue }
            let small = try Self.thumbnail(bytes)
            formats.insert(small.format)
            #expect(ImageFormat(prefix: small.bytes) == small.format, "\(name)")
            let decoded = try ImageDecoder(orientation: .stored).decode(small.bytes)
            #expect(decoded.width == small.width && decoded.height == small.height, "\(name)")
            #expect(min(small.width, small.height) <= 30 && max(small.width, small.height) <= 90)
            let scale = Double(small.width) / Double(image.width)
            // Sides are whole numbers, at least 1.
            if min(small.width, small.height) > 5 {
                #expect(abs(scale * Double(image.height) - Double(small.height)) <= 4, "\(name)")
            }
        }
        #expect(formats == [.jpeg, .webP])
    }

    /// The mean of the colours of pixels that show.
    private static func mean(_ image: PixelImage) -> Double {
        let pixels = image.pixels
        var colours: [UInt8] = []
        for at in stride(from: 0, to: pixels.count, by: image.mode.bytesPerPixel) {
            switch image.mode {
            case .palette:
                let colour = Int(pixels[at]) * 3
                colours += image.palette[colour..<colour + 3]
            case .grey16: colours.append(pixels[at + 1])
            case .rgba: if pixels[at + 3] > 127 { colours += pixels[at..<at + 3] }
            case .rgb: colours += pixels[at..<at + 3]
            default: colours.append(pixels[at])
            }
        }
        return Double(colours.reduce(0) { $0 + Int($1) }) / Double(colours.count)
    }

    @Test("Colours stay", arguments: ["rgb-8.png", "palette-8.png", "rgba-8.png", "grey-16.png"])
    func colours(_ name: String) throws {
        let bytes = try GoldenFormat.picture(name)
        let image = try ImageDecoder().decode(bytes)
        let small = try ImageDecoder().decode(Self.thumbnail(bytes).bytes)
        #expect(abs(Self.mean(image) - Self.mean(small)) < 8)
        #expect(small.mode.hasAlpha == image.mode.hasAlpha)
    }

    @Test("A colour profile stays, and other metadata do not")
    func profiles() throws {
        let names = ["jpeg", "png", "webp", "tiff"].map { "profile.\($0)" }
        for name in names + ["profile-alpha.png", "profile-palette.png"] {
            let file = GoldenMetadata.folder.appending(path: name)
            let small = try Self.thumbnail([UInt8](Data(contentsOf: file)))
            // The header of LittleCMS' sRGB profile (ICC.1:2022, 7.2).
            #expect(small.bytes.contains(Array("mntrRGB XYZ ".utf8)), "\(name)")
        }
        for name in ["camera.jpg", "camera.png", "exif-6-rgba.webp"] {
            let file = GoldenMetadata.folder.appending(path: name)
            let small = try Self.thumbnail([UInt8](Data(contentsOf: file)))
            let metadata = try small.bytes.withUnsafeBytes { try ImageDecoder().metadata($0) }
            #expect(metadata.camera == nil && metadata.orientation == 1, "\(name)")
        }
    }

    @Test func oneDecodingGivesTheSquareAndTheThumbnail() throws {
        let preprocessor = ImagePreprocessor(resolution: 32)
        let encoder = ThumbnailEncoder(shortSide: 30, longSide: 90, quality: 90)
        for (index, (name, bytes)) in try Self.files().enumerated() where index % 8 == 0 {
            guard let values = try? preprocessor.values(encoded: bytes) else { continue }
            var both = [Float](repeating: 0, count: preprocessor.valueCount)
            let thumbnail = try both.withUnsafeMutableBufferPointer { buffer in
                try bytes.withUnsafeBytes {
                    try preprocessor.write(encoded: $0, into: buffer, thumbnail: encoder).thumbnail
                }
            }
            #expect(both == values, "\(name)")
            #expect(thumbnail == (try Self.thumbnail(bytes)), "\(name)")
        }
    }
}
