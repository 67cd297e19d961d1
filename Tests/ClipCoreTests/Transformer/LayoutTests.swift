import ClipCore
import Foundation
import Testing

/// Small models as OpenCLIP and transformers publish them, against the embeddings that their own code
/// computes: Fixtures/layouts/make_fixtures.py.
@Suite struct LayoutTests {
    struct Answers: Decodable {
        let images: [[Float]]
        let texts: [[Float]]
        /// The texts and their tokens, where they are not those of ``texts``.
        let queries: [String]?
        let tokens: [[Int32]]?
    }

    static let folder = CheckpointFixtures.folder.deletingLastPathComponent()
        .appendingPathComponent("layouts")

    static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    static let texts = [
        "man jumping", "a photo of a dog", "", "It's a girl's don't we'll", "naïve café — …",
        "日本語の写真", "кот на крыше", "قطة على السطح", "बिल्ली", "고양이 사진", "🚀 emoji 🐈",
        "1234567890 3.14", "Ångström ÅNGSTRÖM",
        String(repeating: "sunset over the mountains with a lake ", count: 6),
    ]

    /// Six of the sample pictures, the same as in make_fixtures.py.
    static func photos() throws -> [[UInt8]] {
        let pictures = folder.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("samples/pictures")
        let names = try FileManager.default.contentsOfDirectory(atPath: pictures.path)
            .filter { $0.hasSuffix(".jpg") }.sorted()
        return try (0..<6).map {
            [UInt8](
                try Data(contentsOf: pictures.appendingPathComponent(names[$0 * names.count / 6])))
        }
    }

    /// Each model's embeddings of the photos and the texts.
    static func embed(
        _ checkpoint: Checkpoint, _ texts: [String] = LayoutTests.texts,
        precision: Precision = .fp32
    ) throws -> (images: [[Float]], texts: [[Float]]) {
        let images = try ImageEncoder(checkpoint, precision: precision)
        let preprocessor = ImagePreprocessor(checkpoint.configuration)
        let session = ImageEncoder.Session(images, capacity: 1)
        let tokenizer = try checkpoint.tokenizer()
        let encoder = try TextEncoder(checkpoint)
        return (
            try photos().map { file in
                try preprocessor.values(encoded: file).withUnsafeBufferPointer {
                    session.encode($0)[0]
                }
            },
            try texts.map {
                try encoder.encode(
                    tokenizer.encode($0, contextLength: encoder.configuration.contextLength).ids)
            }
        )
    }

    static func answers(_ name: String) throws -> Answers {
        try JSONDecoder().decode(
            Answers.self,
            from: Data(contentsOf: folder.appendingPathComponent("\(name)/answers.json")))
    }

    @Test(arguments: [
        "gelu", "quick-gelu", "custom-text", "heads", "squash", "bilinear", "tanh", "wide",
        "transformers-quick", "transformers-gelu", "siglip-open-clip", "siglip2-open-clip",
        "siglip-transformers", "siglip2-transformers", "siglip-unprojected",
    ])
    func embeddingsAreTheirs(_ name: String) throws {
        let expected = try Self.answers(name)
        let texts = expected.queries.map { Array($0.prefix(expected.texts.count)) } ?? Self.texts
        let ours = try Self.embed(Checkpoint(path: Self.path(name)), texts)
        #expect(ours.images.count == expected.images.count)
        #expect(ours.texts.count == expected.texts.count)
        let pairs = zip(ours.images + ours.texts, expected.images + expected.texts)
        let lowest = pairs.map { ParityTests.cosine($0, $1) }.min()!
        let worst = pairs.map { ParityTests.difference($0, $1) }.max()!
        print("layout \(name): largest difference \(worst), 1 - cosine \(1 - lowest)")
        #expect(lowest >= 0.99999)
        #expect(worst < 1e-5)
    }

    /// Tokenizers that were trained with SentencePiece, as files of its own and as tokenizer.json.
    @Test(arguments: [
        "siglip-open-clip", "siglip2-open-clip", "siglip-transformers", "siglip2-transformers",
    ])
    func tokensAreTheirs(_ name: String) throws {
        let expected = try Self.answers(name)
        let (queries, tokens) = (try #require(expected.queries), try #require(expected.tokens))
        #expect(queries.count >= 100)
        let checkpoint = try Checkpoint(path: Self.path(name))
        let tokenizer = try checkpoint.tokenizer()
        for (query, tokens) in zip(queries, tokens) {
            let ours = tokenizer.encode(
                query, contextLength: checkpoint.configuration.contextLength)
            #expect(ours.ids == tokens, "\(query.debugDescription)")
        }
    }

    /// OpenCLIP writes the start and the end token otherwise than OpenAI; ids by its `SimpleTokenizer`.
    @Test(
        arguments: [
            ("<start_of_text>", [49406]), ("a <END_OF_TEXT> b", [320, 49407, 321]),
            ("<|startoftext|>", [27, 347, 993, 6659, 4160, 91, 285]),
            ("<\u{17F}tart_of_text>", [27, 129, 123, 16707, 62, 684, 62, 18169, 285]),
        ] as [(String, [Int32])])
    func openCLIPsMarkers(_ text: String, _ ids: [Int32]) throws {
        let tokenizer = try Checkpoint(path: Self.path("gelu")).tokenizer()
        #expect(tokenizer.encode(text, contextLength: 77).ids == [49406] + ids + [49407])
    }

    /// The activation shows: with the other one the fixtures' embeddings are far off.
    @Test func fixturesTellActivationsApart() throws {
        let expected = try Self.answers("gelu")
        let file = Self.path("gelu/open_clip_pytorch_model.bin")
        try withTemporaryFile([UInt8](Data(contentsOf: URL(fileURLWithPath: file)))) { alone in
            let ours = try Self.embed(Checkpoint(path: alone, activation: .quickGELU))
            for (a, b) in zip(ours.images + ours.texts, expected.images + expected.texts) {
                #expect(ParityTests.difference(a, b) > 1e-3)
            }
        }
    }

    @Test(arguments: ["gelu", "tanh", "heads", "siglip-open-clip", "siglip-transformers"])
    func int8StaysClose(_ name: String) throws {
        let expected = try Self.answers(name)
        let ours = try Self.embed(Checkpoint(path: Self.path(name)), [], precision: .int8)
        let lowest = zip(ours.images, expected.images).map { ParityTests.cosine($0, $1) }.min()!
        print("layout \(name), int8: 1 - cosine \(1 - lowest)")
        #expect(lowest >= 0.99)
    }

    /// Hugging Face's tensors, renamed and merged, are OpenAI's: same names, shapes and numbers.
    @Test func huggingFacesLayoutIsOpenAIs() throws {
        let theirs = try Checkpoint(path: Self.path("transformers-quick"))
        let openAI = try Checkpoint(path: Self.path("same-as-transformers-quick.pt"))
        #expect(theirs.configuration == openAI.configuration)
        #expect(theirs.configuration.deviations == nil)
        func samples(_ checkpoint: Checkpoint) -> [String] {
            var all: [String] = []
            checkpoint.forEachSample(limit: 256) { all.append("\($0) \($1) \($2)") }
            return all
        }
        #expect(samples(theirs) == samples(openAI))
        let (ours, same) = (try Self.embed(theirs), try Self.embed(openAI))
        #expect(ours.images == same.images)
        // fp16 weights are multiplied as they are in one layout, and widened first in the other.
        for (a, b) in zip(ours.texts, same.texts) { #expect(ParityTests.difference(a, b) < 1e-6) }
    }
}
