import ClipCore
import Foundation
import TestSupport
import Testing

/// What `Fixtures/image/formats/make_formats.py` had Pillow and upstream CLIP answer.
struct GoldenFormat: GoldenPicture {
    var file: String
    var length: Int?
    /// Pillow refused it.
    var error: String?
    var mode: String?
    var width: Int?
    var height: Int?
    var pixels: UInt32?
    var square: UInt32?

    var testDescription: String { length.map { "\(file) cut to \($0) bytes" } ?? file }

    func bytes() throws -> [UInt8] {
        let bytes = try Self.picture(file)
        return Array(bytes.prefix(length ?? bytes.count))
    }

    static let folder = GoldenImages.folder.appending(path: "formats")
    static let all = answers()

    /// Pillow reads these; MODEL.md lists why this project does not.
    static let unsupported: Set<String> = [
        "no-palette.png", "group4-of-zeros.tif", "lab.tif", "palette-extra-2.tif",
    ]
}

@Suite struct FormatTests {
    static let golden = GoldenFormat.all
    static let read = golden.filter {
        $0.error == nil && !GoldenFormat.unsupported.contains($0.file)
    }

    @Test("Pictures of every format decode to Pillow's pixels", arguments: read)
    func pixels(_ expected: GoldenFormat) throws {
        let image = try ImageDecoder(orientation: .stored).decode(expected.bytes())
        #expect(image.mode.rawValue == expected.mode)
        #expect(image.width == expected.width)
        #expect(image.height == expected.height)
        #expect(crc32(image.pixels) == expected.pixels)
    }

    @Test(
        "Pictures of every format become upstream's bytes",
        arguments: read.filter { $0.square != nil })
    func squares(_ expected: GoldenFormat) throws {
        let preprocessor = ImagePreprocessor(resolution: 224)
        let bytes = try expected.bytes()
        let decoder = ImageDecoder(orientation: .stored)
        #expect(crc32(preprocessor.rgb(try decoder.decode(bytes))) == expected.square)
        let square = try bytes.withUnsafeBytes {
            try preprocessor.rgb(encoded: $0, decoder: decoder).square
        }
        #expect(crc32(square) == expected.square)
    }

    @Test("What Pillow refuses is refused", arguments: golden.filter { $0.error != nil })
    func refusals(_ expected: GoldenFormat) throws {
        let bytes = try expected.bytes()
        #expect(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
        #expect(throws: ImageError.self) {
            try ImagePreprocessor(resolution: 224).values(encoded: bytes)
        }
    }

    @Test func whatIsNotSupportedIsNamed() throws {
        for name in GoldenFormat.unsupported {
            let expected = try #require(Self.golden.first { $0.file == name })
            #expect(expected.error == nil)
            let bytes = try GoldenFormat.picture(name)
            let error = try #require(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
            if name.hasSuffix(".tif"), name != "group4-of-zeros.tif" {
                #expect("\(error)".hasPrefix("TIFF pictures with "), "\(name): \(error)")
            }
        }
    }

    @Test func limitsAreCheckedBeforePixelsAreMade() throws {
        for expected in Self.read where expected.length == nil {
            let bytes = try expected.bytes()
            let pixels = try #require(expected.width) * #require(expected.height)
            var limits = ImageLimits()
            limits.maximumPixels = pixels
            #expect(throws: Never.self) { try ImageDecoder(limits: limits).decode(bytes) }
            limits.maximumPixels -= 1
            let error = try #require(throws: ImageError.self) {
                try ImageDecoder(limits: limits).decode(bytes)
            }
            // Stored as it may be: a TIFF may be lying on its side.
            guard case .tooLarge(let width, let height, pixels - 1) = error else {
                Issue.record("\(expected.file): \(error)")
                continue
            }
            #expect(width * height == pixels)
        }
    }

    @Test func memoryIsLimited() throws {
        func limited(_ memory: Int, _ bytes: [UInt8]) throws(ImageError) -> PixelImage {
            var limits = ImageLimits()
            limits.maximumMemory = memory
            return try ImageDecoder(limits: limits).decode(bytes)
        }
        // Three lines do for the one, all 37 lines of the other are held.
        let plain = try GoldenFormat.picture("rgb-trns.png")
        let interlaced = try GoldenFormat.picture("rgba-8-interlaced.png")
        let lines = 45 * 3 * 3
        #expect(throws: Never.self) { try limited(lines, plain) }
        #expect(throws: ImageError.tooMuchMemory(limit: lines - 1)) {
            try limited(lines - 1, plain)
        }
        #expect(throws: Never.self) { try limited(45 * 4 * 39, interlaced) }
        #expect(throws: ImageError.tooMuchMemory(limit: 45 * 4 * 39 - 1)) {
            try limited(45 * 4 * 39 - 1, interlaced)
        }
        // libjpeg's coefficients: 2 bytes a sample, in whole blocks.
        let progressive = try GoldenImages.picture("progressive")
        #expect(throws: ImageError.tooMuchMemory(limit: 333 * 251 * 3 - 1)) {
            try limited(333 * 251 * 3 - 1, progressive)
        }
        #expect(throws: Never.self) { try limited(333 * 251 * 6, progressive) }
        let sequential = try GoldenImages.picture("size-640x427")
        #expect(throws: Never.self) { try limited(1, sequential) }
    }

    /// `scripts/fuzz-images` does this with thousands, under sanitizers.
    @Test("Damage is an error or a picture, never a trap", arguments: ImageFormat.allCases)
    func damage(_ format: ImageFormat) throws {
        guard format.isBuiltIn else { return }
        let libraries = GoldenLibraryImage.folder
        let folders = [
            GoldenFormat.folder, GoldenImages.folder, libraries, libraries.appending(path: "small"),
        ]
        let files = try folders.flatMap { folder in
            try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
                .compactMap { FileManager.default.contents(atPath: folder.path + "/" + $0) }
        }
        let whole = files.map { [UInt8]($0) }.filter { bytes in
            bytes.withUnsafeBytes { try? ImageDecoder.format(of: $0) } == format
        }
        // Cameras write raw files, and no library that the fixtures' script could use.
        #expect(whole.count >= (format == .raw ? 3 : 30))
        var damage = PictureDamage(seed: 2)
        let preprocessor = ImagePreprocessor(resolution: 32)
        var read = 0
        // JPEG XL survives little.
        let count = format == .jpegXL ? 400 : 100
        for _ in 0..<count {
            let bytes = damage.damaged(whole)
            guard let values = try? preprocessor.values(encoded: bytes) else { continue }
            #expect(values.count == preprocessor.valueCount)
            #expect(values.allSatisfy { abs($0) < 3 })
            read += 1
        }
        // Some damage is survived, and none of it always.
        #expect(read > 0 && read < count)
    }

    @Test func picturesTooNarrowToResizeAreRefused() throws {
        // 1,200,000 × 1 pixels of one colour: deflate makes little of them.
        let bytes = try GoldenFormat.picture("narrow.png")
        #expect(try ImageDecoder().decode(bytes).width == 1_200_000)
        #expect(throws: ImageError.tooNarrow(width: 1_200_000, height: 1)) {
            try ImagePreprocessor(resolution: 224).values(encoded: bytes)
        }
    }
}
