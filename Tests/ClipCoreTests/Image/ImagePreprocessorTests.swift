import ClipCore
import Testing

@Suite struct ImagePreprocessorTests {
    static let golden = GoldenImages.shared
    static let stored = ImageDecoder(orientation: .stored)

    @Test(
        "Files become upstream's bytes and floats",
        arguments: golden.decode.filter { $0.error == nil && $0.isWhole })
    func files(_ expected: GoldenImages.Decoding) throws {
        let preprocessor = ImagePreprocessor(resolution: 224)
        let bytes = try expected.bytes()
        #expect(crc32(preprocessor.rgb(try Self.stored.decode(bytes))) == expected.square)
        let values = try preprocessor.values(encoded: bytes, decoder: Self.stored)
        #expect(crc32(values) == expected.floats)
    }

    @Test("A fast rule gives upstream's bytes after Pillow's draft", arguments: golden.fast)
    func fastRule(_ expected: GoldenImages.Fast) throws {
        let preprocessor = ImagePreprocessor(resolution: expected.resolution)
        let fast = ImageDecoder(rule: ImageDecoder.Rule(isFast: true))
        try GoldenImages.picture(expected.file).withUnsafeBytes { bytes in
            let (square, metadata) = try preprocessor.rgb(encoded: bytes, decoder: fast)
            #expect(crc32(square) == expected.square)
            let exact = try preprocessor.rgb(encoded: bytes)
            #expect(metadata == exact.metadata)
            let whole = try Self.stored.decode(bytes)
            let isScaled = whole.width != expected.width
            #expect((square == exact.square) == !isScaled)
            let isSame = try preprocessor.isSame(
                encoded: bytes, decoder: fast, under: ImageDecoder.Rule())
            #expect(isSame == !isScaled)
            // One decode serves the preview too, which has the size that it has under the exact rule.
            let encoder = ThumbnailEncoder(shortSide: 320, longSide: 960, quality: 70)
            var values = [Float](repeating: 0, count: preprocessor.valueCount)
            let thumbnail = try values.withUnsafeMutableBufferPointer {
                try preprocessor.write(
                    encoded: bytes, decoder: fast, into: $0, thumbnail: encoder
                ).thumbnail
            }
            let small = try #require(thumbnail)
            let large = try encoder.thumbnail(of: bytes)
            #expect(abs(small.width - large.width) <= 1 && abs(small.height - large.height) <= 1)
            #expect(try values == preprocessor.values(encoded: Array(bytes), decoder: fast))
        }
    }

    @Test func fastRuleHasNames() {
        for name in ["upright", "stored", "upright-fast", "stored-fast"] {
            #expect(ImageDecoder.Rule(name)?.description == name)
        }
        for name in ["", "fast", "-fast", "sideways", "upright-fast-fast", "upright-slow"] {
            #expect(ImageDecoder.Rule(name) == nil)
        }
    }

    @Test("Synthetic pictures of many sizes become upstream's bytes", arguments: golden.square)
    func squares(_ expected: GoldenImages.Synthetic) {
        let preprocessor = ImagePreprocessor(resolution: expected.resolution!)
        #expect(crc32(preprocessor.rgb(expected.image())) == expected.crc)
    }

    @Test(
        "Whole results, to see by how much",
        arguments: [
            "size-640x427", "size-7x5", "size-10000x3", "size-3x10000", "grey", "cmyk", "ycck",
            "progressive", "rgb-stored", "sample-1x2",
        ])
    func wholeResults(_ name: String) throws {
        let image = try ImageDecoder().decode(GoldenImages.picture(name))
        let square = ImagePreprocessor(resolution: 64).rgb(image)
        let expected = try GoldenImages.square64(name)
        try #require(square.count == expected.count)
        let differences = zip(square, expected).map { abs(Int($0) - Int($1)) }
        #expect(differences.max() == 0, "\(differences.filter { $0 > 0 }.count) bytes differ")
    }

    @Test func normalisationIsBitEqual() throws {
        let preprocessor = ImagePreprocessor(resolution: 16)
        let ramp = (0..<256).flatMap { [UInt8](repeating: UInt8($0), count: 3) }
        let image = PixelImage(width: 16, height: 16, mode: .rgb, pixels: ramp)
        var values = [Float](repeating: .nan, count: preprocessor.valueCount)
        values.withUnsafeMutableBufferPointer {
            preprocessor.normalize(preprocessor.rgb(image), into: $0)
        }
        let expected = try Self.golden.floats.flatMap { plane in
            try plane.map { try #require(Float($0)) }
        }
        #expect(expected.count == 768)
        #expect(values.map(\.bitPattern) == expected.map(\.bitPattern))
    }

    @Test func aFailureLeavesTheBufferAlone() throws {
        let preprocessor = ImagePreprocessor(resolution: 8)
        var values = [Float](repeating: 5, count: preprocessor.valueCount)
        let bytes = try GoldenImages.picture("grey").dropLast(200)
        #expect(throws: ImageError.truncated) {
            try values.withUnsafeMutableBufferPointer { buffer in
                try Array(bytes).withUnsafeBytes {
                    try preprocessor.write(encoded: $0, into: buffer)
                }
            }
        }
        #expect(values.allSatisfy { $0 == 5 })
    }

    @Test func manyThreadsAtOnce() async throws {
        let preprocessor = ImagePreprocessor(resolution: 224)
        let cases = Self.golden.decode.filter { $0.isWhole && $0.error == nil }
        let wrong = try await withThrowingTaskGroup(of: String?.self) { group in
            for round in 0..<3 {
                for (index, _) in cases.enumerated() {
                    let expected = cases[(index * 7 + round) % cases.count]
                    group.addTask {
                        let values = try preprocessor.values(
                            encoded: expected.bytes(), decoder: Self.stored)
                        return crc32(values) == expected.floats ? nil : expected.file
                    }
                }
            }
            return try await group.reduce(into: [String]()) { names, name in
                if let name { names.append(name) }
            }
        }
        #expect(wrong == [])
    }

    @Test func sidesFollowTorchvision() {
        let preprocessor = ImagePreprocessor(resolution: 224)
        #expect(preprocessor.resizedSize(width: 10_000, height: 3) == (746_666, 224))
        #expect(preprocessor.resizedSize(width: 449, height: 448) == (224, 224))
        #expect(preprocessor.resizedSize(width: 224, height: 300) == (224, 300))
        // Halves go to the even side: 0.5 to 0, 1.5 to 2.
        #expect(preprocessor.centered(in: 225) == 0..<224)
        #expect(preprocessor.centered(in: 227) == 2..<226)
    }
}
