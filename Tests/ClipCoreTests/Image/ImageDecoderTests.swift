import ClipCore
import TestSupport
import Testing

@Suite struct ImageDecoderTests {
    static let golden = GoldenImages.shared.decode

    @Test("Pictures decode to Pillow's pixels", arguments: golden.filter { $0.error == nil })
    func pixels(_ expected: GoldenImages.Decoding) throws {
        let image = try ImageDecoder(orientation: .stored).decode(expected.bytes())
        #expect(image.mode.rawValue == expected.mode)
        #expect(image.width == expected.width)
        #expect(image.height == expected.height)
        if expected.smoothed != true { #expect(crc32(image.pixels) == expected.pixels) }
    }

    @Test("Pictures that Pillow refuses are refused", arguments: golden.filter { $0.error != nil })
    func refusals(_ expected: GoldenImages.Decoding) throws {
        let bytes = try expected.bytes()
        let error = try #require(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
        if expected.isOnlyCut {
            let names: [ImageError] = [.empty, .notAnImage, .notAnImage]
            #expect(error == (bytes.count < 3 ? names[bytes.count] : .truncated))
        } else if expected.error == "corrupt" {
            guard case .corrupt = error else {
                Issue.record("expected .corrupt, got \(error)")
                return
            }
        }  // Elsewhere Pillow's header parser stops, whose words for a fault are its own.
    }

    @Test func everyCutOfAFileIsTruncated() throws {
        for name in ["size-17x33", "sample-2x2-progressive", "grey", "arithmetic"] {
            let bytes = try GoldenImages.picture(name)
            // Without the end marker's two bytes a sequential picture is complete.
            for length in 3..<(bytes.count - 2) {
                // A few last bytes may hold only padding bits, so that all pixels are there.
                if length > bytes.count - 6,
                    (try? ImageDecoder().decode(Array(bytes[..<length]))) != nil
                {
                    continue
                }
                #expect(throws: ImageError.truncated, "\(name) cut to \(length) bytes") {
                    try ImageDecoder().decode(Array(bytes[..<length]))
                }
            }
        }
    }

    @Test func otherFilesAreNamed() {
        func error(_ bytes: [UInt8]) -> ImageError? {
            #expect(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
        }
        #expect(error([]) == .empty)
        #expect(error([0xFF, 0xD8]) == .notAnImage)
        #expect(error(Array("Just a text.".utf8)) == .notAnImage)
        #expect(error(Array("GIF89a...".utf8)) == .truncated)
        #expect(error([0xFF, 0xD8, 0xFF]) == .truncated)
        #expect(
            ImageError.unsupportedVariant(.tiff, "YCbCr samples").description
                == "TIFF pictures with YCbCr samples are not supported")
    }

    @Test func componentsWithoutAModeAreNamed() throws {
        let bytes = try GoldenImages.picture("two-components")
        #expect(throws: ImageError.unsupportedVariant(.jpeg, "2 colour components")) {
            try ImageDecoder().decode(bytes)
        }
    }

    @Test func corruptionCarriesTheReason() throws {
        let bytes = try GoldenImages.picture("twelve-bit")
        #expect(throws: ImageError.corrupt("Unsupported JPEG data precision 12")) {
            try ImageDecoder().decode(bytes)
        }
    }

    @Test func tooManyPixelsAreRefusedBeforeTheyAreMade() throws {
        var limits = ImageLimits()
        limits.maximumPixels = 61 * 45 - 1
        let bytes = try GoldenImages.picture("sample-2x2")
        #expect(throws: ImageError.tooLarge(width: 61, height: 45, limit: 61 * 45 - 1)) {
            try ImageDecoder(limits: limits).decode(bytes)
        }
        limits.maximumPixels += 1
        #expect(throws: Never.self) { try ImageDecoder(limits: limits).decode(bytes) }

        // 65,500 × 65,500 in the frame header, as a bomb would claim.
        var bomb = bytes
        let frame = try #require(Self.offset(of: 0xC0, in: bomb))
        bomb.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
        #expect(throws: ImageError.tooLarge(width: 65500, height: 65500, limit: 178_956_970)) {
            try ImageDecoder().decode(bomb)
        }
    }

    @Test func scansAreCounted() throws {
        let bytes = try GoldenImages.picture("progressive")
        let scans = Self.scanOffsets(in: bytes).count
        #expect(scans == 10)
        var limits = ImageLimits()
        limits.maximumScans = scans
        #expect(throws: Never.self) { try ImageDecoder(limits: limits).decode(bytes) }
        limits.maximumScans = scans - 1
        #expect(throws: ImageError.tooManyScans(limit: scans - 1)) {
            try ImageDecoder(limits: limits).decode(bytes)
        }
        limits.maximumScans = 100
        limits.maximumScannedPixels = 333 * 251 * 10 - 1
        #expect(throws: ImageError.tooManyScans(limit: 9)) {
            try ImageDecoder(limits: limits).decode(bytes)
        }
    }

    @Test func endlessScansAreGivenUp() throws {
        // The last scan of a progressive picture, 20,000 times over.
        let bytes = try GoldenImages.picture("sample-1x1-progressive")
        let last = try #require(Self.scanOffsets(in: bytes).last)
        var hostile = Array(bytes[..<last])
        for _ in 0..<20_000 { hostile += bytes[last..<bytes.count - 2] }
        hostile += [0xFF, 0xD9]
        #expect(throws: ImageError.tooManyScans(limit: 100)) { try ImageDecoder().decode(hostile) }
    }

    @Test func damageNeverTraps() throws {
        var random = SplitMix(state: 3)
        for name in ["sample-2x2", "progressive", "ycck", "restart-blocks", "arithmetic"] {
            let whole = try GoldenImages.picture(name)
            for _ in 0..<60 {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    bytes[Int.random(in: 2..<bytes.count, using: &random)] = .random(
                        in: 0...255, using: &random)
                }
                guard let image = try? ImageDecoder().decode(bytes) else { continue }
                #expect(image.pixels.count == image.width * image.height * image.mode.channels)
            }
        }
    }

    /// Offset of the first segment with this marker among those before the first scan.
    static func offset(of marker: UInt8, in bytes: [UInt8]) -> Int? {
        var at = 2
        while at + 3 < bytes.count, bytes[at] == 0xFF, bytes[at + 1] != 0xDA {
            if bytes[at + 1] == marker { return at }
            at += 2 + Int(bytes[at + 2]) << 8 + Int(bytes[at + 3])
        }
        return nil
    }

    /// Offsets of the start-of-scan markers, which occur nowhere else in an undamaged file.
    static func scanOffsets(in bytes: [UInt8]) -> [Int] {
        (0..<bytes.count - 1).filter { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA }
    }
}
