import ClipCore
import Foundation
import TestSupport
import Testing

/// Embeddings against those of upstream's code on PyTorch.
@Suite struct ParityTests {
    struct Answers: Decodable {
        struct Images: Decodable {
            let count: Int
            let embeddings: [[Float]]
        }
        struct Text: Decodable {
            let tokens: [Int32]
            let embedding: [Float]
        }
        let configuration: [String: Int]
        let seed: UInt64
        let images: [Images]
        let texts: [Text]
    }

    /// Checkpoints and the answers that hold for them.
    static let models = [
        ("torchscript.pt", "torchscript.json"), ("state-dict.pt", "state-dict.json"),
        ("training.pt", "small.json"), ("protocol4.pt", "small.json"), ("module.pt", "small.json"),
        ("cuda.pt", "small.json"), ("zip64.pt", "small.json"),
        ("openclip.safetensors", "safetensors.json"),
    ]

    /// As `pixels` in make_fixtures.py.
    static func pixels(_ seed: UInt64, _ count: Int) -> [Float] {
        var draws = SplitMix(state: seed)
        return (0..<count).map { _ in Float(draws.next() >> 40) * 0x1p-22 - 2 }
    }

    static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        let products = zip(a, b).map { Double($0) * Double($1) }
        let norms = [a, b].map { v in v.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
        return products.reduce(0, +) / (norms[0] * norms[1])
    }

    static func difference(_ a: [Float], _ b: [Float]) -> Float {
        zip(a, b).map { abs($0 - $1) }.max() ?? .infinity
    }

    @Test(arguments: models)
    func configurationIsUpstreams(_ file: String, _ answers: String) throws {
        let sizes = try Checkpoint(path: CheckpointFixtures.path(file), activation: .quickGELU)
            .configuration
        let expected = try CheckpointFixtures.json(Answers.self, answers).configuration
        #expect(
            expected == [
                "embeddingDimension": sizes.embeddingDimension,
                "imageResolution": sizes.imageResolution, "patchSize": sizes.patchSize,
                "visionWidth": sizes.vision.width, "visionLayers": sizes.vision.layers,
                "visionHeads": sizes.vision.heads, "textWidth": sizes.text.width,
                "textLayers": sizes.text.layers, "textHeads": sizes.text.heads,
                "contextLength": sizes.contextLength, "vocabularySize": sizes.vocabularySize,
            ])
    }

    @Test(arguments: models)
    func embeddingsAreUpstreams(_ file: String, _ answers: String) throws {
        let checkpoint = try Checkpoint(path: CheckpointFixtures.path(file), activation: .quickGELU)
        let expected = try CheckpointFixtures.json(Answers.self, answers)
        var worst: Float = 0
        var lowest = 1.0
        func compare(_ ours: [Float], _ theirs: [Float]) {
            #expect(ours.count == theirs.count)
            worst = max(worst, Self.difference(ours, theirs))
            lowest = min(lowest, Self.cosine(ours, theirs))
        }
        let images = try ImageEncoder(checkpoint)
        for batch in expected.images {
            let session = ImageEncoder.Session(images, capacity: batch.count)
            let input = Self.pixels(
                expected.seed + UInt64(batch.count), batch.count * images.pixelCount)
            let rows = input.withUnsafeBufferPointer { session.encode($0) }
            #expect(rows.count == batch.embeddings.count)
            for (ours, theirs) in zip(rows, batch.embeddings) { compare(ours, theirs) }
        }
        let texts = try TextEncoder(checkpoint)
        for text in expected.texts {
            compare(try texts.encode(text.tokens), text.embedding)
            // Padding, which upstream needs, changes nothing.
            let padding = [Int32](
                repeating: 0, count: texts.configuration.contextLength - text.tokens.count)
            #expect(try texts.encode(text.tokens + padding) == texts.encode(text.tokens))
        }
        print("parity: \(file): largest difference \(worst), 1 - cosine \(1 - lowest)")
        #expect(worst < 1e-5)
        #expect(lowest >= 0.99999)
    }

    @Test func sharedModelAgreesOnTexts() throws {
        struct Row: Decodable {
            let text: String
            let ids: [Int32]
            let embedding: [Float]
        }
        let folder = CheckpointFixtures.shared
        let rows = try JSONDecoder().decode(
            [Row].self, from: Data(contentsOf: folder.appendingPathComponent("tiny-clip.json")))
        let checkpoint = try Checkpoint(path: folder.appendingPathComponent("tiny-clip.pt").path)
        let encoder = try TextEncoder(checkpoint)
        // Large enough layers are divided among them.
        let spread = try TextEncoder(checkpoint, threads: 3)
        for row in rows { #expect(try spread.encode(row.ids) == encoder.encode(row.ids)) }
        #expect(rows.count == 20 && encoder.configuration.vocabularySize == 49_408)
        let worst = try rows.map { Self.difference(try encoder.encode($0.ids), $0.embedding) }
            .max()!
        print("parity: tiny-clip.pt: largest difference \(worst)")
        #expect(worst < 1e-5)
    }

    /// A picture's embedding does not depend on the pictures beside it.
    @Test func batchesDoNotMix() throws {
        let encoder = try ImageEncoder(
            Checkpoint(path: CheckpointFixtures.path("state-dict.pt"), activation: .quickGELU))
        let count = 17
        let input = Self.pixels(9, count * encoder.pixelCount)
        let session = ImageEncoder.Session(encoder, capacity: count)
        let together = input.withUnsafeBufferPointer { session.encode($0) }
        for index in 0..<count {
            let one = Array(input[index * encoder.pixelCount..<(index + 1) * encoder.pixelCount])
            let alone = one.withUnsafeBufferPointer { session.encode($0)[0] }
            #expect(Self.difference(alone, together[index]) < 1e-6)
            let length = alone.reduce(0) { $0 + $1 * $1 }
            #expect(abs(length - 1) < 1e-5)
        }
    }

    /// Threads with sessions of their own give the same bits as one thread.
    @Test func threadsAgree() async throws {
        let checkpoint = try Checkpoint(
            path: CheckpointFixtures.path("state-dict.pt"), activation: .quickGELU)
        let images = try ImageEncoder(checkpoint)
        let texts = try TextEncoder(checkpoint)
        let input = Self.pixels(11, 3 * images.pixelCount)
        let tokens: [Int32] = [598, 5, 17, 300, 2, 599]
        @Sendable func work() throws -> [[Float]] {
            let session = ImageEncoder.Session(images, capacity: 3)
            let rows = input.withUnsafeBufferPointer { session.encode($0) }
            return rows + [try texts.encode(tokens)]
        }
        let expected = try work()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<6 {
                group.addTask {
                    // On a thread of its own: BLAS calls block.
                    try await withCheckedThrowingContinuation { continuation in
                        Thread.detachNewThread {
                            continuation.resume(
                                with: Result {
                                    try (0..<5).allSatisfy { _ in try work() == expected }
                                })
                        }
                    }
                }
            }
            for try await equal in group { #expect(equal) }
        }
    }

    @Test func textsThatDoNotFitTheModelAreErrors() throws {
        let encoder = try TextEncoder(
            Checkpoint(path: CheckpointFixtures.path("training.pt"), activation: .quickGELU))
        let long = #expect(throws: CheckpointError.self) {
            try encoder.encode([Int32](repeating: 1, count: 78))
        }
        #expect(long?.fault == "has room for 77 tokens, the text has 78")
        let unknown = #expect(throws: CheckpointError.self) { try encoder.encode([598, 600, 3]) }
        #expect(unknown?.fault.contains("vocabulary of 600 tokens") == true)
    }

    /// Weights so large that activations overflow: an error, not a meaningless score.
    @Test func overflowingWeightsAreErrors() throws {
        typealias W = PickleWriter
        let pickle = W.zeros(clipShapes())
        let huge = (0..<16).flatMap { _ in littleEndian(Float(3e38).bitPattern) }
        let file = ZipWriter.archive([
            .init(name: "m/data.pkl", data: pickle), .init(name: "m/data/0", data: huge),
        ])
        try withTemporaryFile(file) { path in
            let encoder = try TextEncoder(Checkpoint(path: path, activation: .quickGELU))
            let error = #expect(throws: CheckpointError.self) { try encoder.encode([1, 2]) }
            #expect(error?.fault.contains("not finite") == true)
        }
    }
}
