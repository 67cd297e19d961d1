import ClipCore
import Foundation
import ImageSearch
import Testing

/// The digests are those that earlier releases recorded, computed with torch and hashlib from the state
/// dicts of make_fixtures.py.
@Suite struct ModelIdentityTests {
    private func identity(_ name: String) throws -> ModelIdentity {
        let folder = URL(fileURLWithPath: Fixtures.tinyModel).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("ClipCoreTests/Fixtures/layouts")
        return try ModelIdentity(
            try Checkpoint(path: folder.appendingPathComponent(name).path), precision: .fp32)
    }

    @Test func openAIsModelsKeepTheirDigest() throws {
        let tiny = try ModelIdentity(try Checkpoint(path: Fixtures.tinyModel), precision: .int8)
        #expect(
            tiny.digest == "ca114d9b7fb907c2a492fc2e1e03d3378070f8a3d45228b5622a08e5da6bf3b4")
        #expect(tiny.weightsDigest == nil)
        #expect(tiny.name == "tiny-clip.pt" && tiny.dimension == 512 && tiny.precision == "int8")
    }

    @Test func everyLayoutOfAModelHasTheSameDigest() throws {
        let digest = "29b7b37547026cce1646edde7e5ddf8dcdbb313482087a5f3cfc8ad061bbb175"
        #expect(try identity("transformers-quick").digest == digest)
        #expect(try identity("same-as-transformers-quick.pt").digest == digest)
    }

    /// Earlier releases took this model for one with QuickGELU and recorded its weights alone.
    @Test func whatEarlierReleasesMisreadIsAnotherModel() throws {
        let gelu = try identity("gelu")
        let stored = ModelIdentity(
            name: "gelu.bin",
            digest: "64c51c00f70af568a9f8a8ee2b49323662fb60851ee9d95c9a45fa5a97178c99",
            dimension: 32, precision: "fp32")
        #expect(!gelu.isSame(as: stored))
        #expect(gelu.weightsDigest == stored.digest)
        let error = TableError.otherModel(table: stored, given: gelu).description
        #expect(error.contains("by an earlier release") && error.contains("--replace-model"))
        let other = TableError.otherModel(table: stored, given: try identity("tanh")).description
        #expect(!other.contains("by an earlier release"))
    }

    @Test func everythingThatChangesAnEmbeddingCounts() throws {
        let names = ["gelu", "quick-gelu", "tanh", "heads", "squash", "bilinear"]
        let deviations = try names.map {
            try Checkpoint(
                path: URL(fileURLWithPath: Fixtures.tinyModel).deletingLastPathComponent()
                    .deletingLastPathComponent()
                    .appendingPathComponent("ClipCoreTests/Fixtures/layouts/\($0)").path
            ).configuration.deviations ?? ""
        }
        #expect(Set(deviations).count == names.count)
        #expect(deviations[1] == "")
    }
}
