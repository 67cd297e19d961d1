import ClipCore
import Foundation
import Testing

/// The library as another program uses it, against upstream's embeddings.
@Suite struct ClipModelTests {
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    struct Text: Decodable {
        let text: String
        let embedding: [Float]
    }

    @Test func embedsAsUpstream() throws {
        let model = try ClipModel.load(Self.tests.appending(path: "Fixtures/tiny-clip.pt").path)
        let texts = try JSONDecoder().decode(
            [Text].self,
            from: Data(contentsOf: Self.tests.appending(path: "Fixtures/tiny-clip.json")))
        for text in texts {
            #expect(
                ClipModel.similarity(try model.embed(text: text.text), text.embedding) > 0.99999)
        }
        let pictures = try JSONDecoder().decode(
            [String: [Float]].self,
            from: Data(contentsOf: Self.tests.appending(path: "EndToEnd/golden.json")))
        let folder = Self.tests.appending(path: "ClipCoreTests/Fixtures/image")
        // Those below stored/ were not turned upright.
        for (name, embedding) in pictures where !name.hasPrefix("stored/") {
            let file = [UInt8](try Data(contentsOf: folder.appending(path: name)))
            #expect(
                ClipModel.similarity(try model.embed(image: file), embedding) > 0.99999, "\(name)")
        }
        #expect(throws: ImageError.self) { try model.embed(image: Array("a text".utf8)) }
    }
}
