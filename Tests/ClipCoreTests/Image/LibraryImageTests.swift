import ClipCore
import Foundation
import Testing

/// What `Fixtures/image/libraries/make_libraries.py` had Pillow, its plugins and rawpy answer.
struct GoldenLibraryImage: GoldenPicture {
    var file: String
    var mode: String
    /// Upright.
    var width: Int
    var height: Int
    /// How much a byte of the square may differ; the mean of all may differ by a quarter of it.
    var tolerance: Int
    /// `[32, 32, 3]`
    var square: Data
    var camera: String?
    var takenAt: String?

    /// The rest of a camera's raw file is not read.
    var isRAW: Bool { file.hasSuffix(".dng") || file.hasPrefix("preview.") }

    static let folder = GoldenImages.folder.appending(path: "libraries")
    static let all = answers()

    /// Those that this build reads: package traits can leave formats out.
    static let read = all.filter { image in
        let format = try? image.bytes().withUnsafeBytes { try ImageDecoder.format(of: $0) }
        return format != nil && image.file != "two-references.heic"
    }
}

@Suite struct LibraryImageTests {
    @Test(
        "Images become the square that upstream makes of them", arguments: GoldenLibraryImage.read)
    func squares(_ expected: GoldenLibraryImage) throws {
        let bytes = try expected.bytes()
        let image = try ImageDecoder().decode(bytes)
        #expect(image.width == expected.width)
        #expect(image.height == expected.height)
        // HEIC and AVIF become RGB always.
        #expect(image.mode.rawValue == expected.mode || image.mode == .rgb && expected.mode == "L")
        let preprocessor = ImagePreprocessor(resolution: 32)
        let (square, metadata) = try bytes.withUnsafeBytes { try preprocessor.rgb(encoded: $0) }
        #expect(square == preprocessor.rgb(image))
        let differences = zip(square, expected.square).map { abs(Int($0) - Int($1)) }
        // What little colour nearly transparent pixels have differs more.
        if !image.mode.hasAlpha { #expect(differences.max()! <= expected.tolerance) }
        let mean = Double(differences.reduce(0, +)) / Double(differences.count)
        #expect(mean <= Double(expected.tolerance) / 4)
        #expect(metadata.width == expected.width)
        #expect(metadata.height == expected.height)
        #expect(metadata.camera == expected.camera)
        #expect(metadata.takenAt == expected.takenAt)
    }

    @Test("A container's own turn applies, and EXIF's not on top", arguments: ["heic", "avif"])
    func turnedContainers(_ kind: String) throws {
        for name in ["turned", "mirrored"] {
            let expected = try #require(
                GoldenLibraryImage.all.first { $0.file == "\(name).\(kind)" })
            guard (try? ImageFormat(prefix: expected.bytes())) != nil else { return }
            let bytes = try expected.bytes()
            let stored = try ImageDecoder(orientation: .stored).decode(bytes)
            #expect(stored == (try ImageDecoder().decode(bytes)))
            #expect(stored.width == expected.width)
            let metadata = try bytes.withUnsafeBytes { try ImageDecoder().metadata($0) }
            #expect(metadata.orientation == 1)
        }
    }

    @Test func aLibraryThatIsTooOldIsNamed() throws {
        guard ImageFormat.heic.isBuiltIn else { return }
        let file = try #require(
            GoldenLibraryImage.all.first { $0.file == "two-references.heic" })
        do {
            #expect(try ImageDecoder().decode(file.bytes()).width == file.width)
        } catch {
            #expect("\(error)".hasPrefix("libheif 1."))
            #expect("\(error)".contains(" cannot read it ("))
            #expect("\(error)".hasSuffix("auxiliary image references); a newer version may"))
        }
    }

    @Test func limitsAreCheckedBeforePixelsAreMade() throws {
        for expected in GoldenLibraryImage.read {
            let bytes = try expected.bytes()
            let pixels = expected.width * expected.height
            var limits = ImageLimits()
            limits.maximumPixels = pixels - 1
            let error = try #require(throws: ImageError.self) {
                try ImageDecoder(limits: limits).decode(bytes)
            }
            guard case .tooLarge(let width, let height, pixels - 1) = error else {
                Issue.record("\(expected.file): \(error)")
                continue
            }
            #expect(width * height == pixels)
            limits.maximumPixels = pixels
            limits.maximumMemory = pixels
            guard !expected.isRAW else { continue }
            #expect(throws: ImageError.tooMuchMemory(limit: pixels)) {
                try ImageDecoder(limits: limits).decode(bytes)
            }
        }
    }

    @Test("A cut file is an error", arguments: GoldenLibraryImage.read)
    func cutFiles(_ expected: GoldenLibraryImage) throws {
        let bytes = try expected.bytes()
        // An animation's later frames are not read.
        guard !expected.isRAW, expected.file != "sequence.avif" else { return }
        for length in [bytes.count / 4, bytes.count / 2] {
            #expect(throws: ImageError.self, "\(length) bytes") {
                try ImageDecoder().decode(Array(bytes[..<length]))
            }
        }
    }

    @Test func previewsAreNoIcons() throws {
        let start = Array("FUJIFILMCCD-RAW 0201".utf8)
        let icon = try GoldenImages.picture("size-8x8")
        let error = try #require(throws: ImageError.self) {
            try ImageDecoder().decode(start + icon)
        }
        #expect("\(error)" == "RAW pictures with no preview are not supported")
        let preview = try GoldenImages.picture("size-223x225")
        let lossless: [UInt8] = [
            0xFF, 0xD8, 0xFF, 0xC3, 0, 11, 8, 9, 9, 9, 9, 1, 1, 17, 0, 0xFF, 0xDA,
        ]
        for file in [preview, icon + preview, preview + icon, preview + lossless + icon] {
            #expect(
                try ImageDecoder().decode(start + file) == ImageDecoder().decode(preview))
        }
        // A search through any number of markers ends.
        let markers = [[UInt8]](repeating: [0xFF, 0xE0, 0, 2], count: 200_000)
        let endless = start + [0xFF, 0xD8] + markers.flatMap(\.self)
        #expect(throws: ImageError.self) { try ImageDecoder().decode(endless) }
    }

    @Test func versionsNameTheLibraries() {
        let formats = Build.summary.split(separator: "\n").first { $0.hasPrefix("formats: ") } ?? ""
        #expect(formats.contains("JPEG, PNG, WebP, GIF, BMP, TIFF"))
        for format in ImageFormat.allCases {
            #expect(formats.contains(format.rawValue) == format.isBuiltIn)
        }
        if ImageFormat.heic.isBuiltIn {
            #expect(formats.firstMatch(of: /HEIC \(libheif 1\.\d+\.\d+\)/) != nil)
        }
    }
}
