import ClipCore
import Testing

@Suite struct ClipConfigurationTests {
    private func configuration(_ shapes: [(String, [Int])]) throws -> ClipConfiguration {
        try ClipConfiguration(Dictionary(shapes) { $1 }, .openAI)
    }

    /// Sizes of OpenAI's published models: the CLIP paper's table 20 and upstream's `build_model`.
    @Test(arguments: [
        // width, layers, heads, patch, grid, resolution; text width, heads; dimension
        [768, 12, 12, 32, 7, 224, 512, 8, 512],  // ViT-B/32
        [768, 12, 12, 16, 14, 224, 512, 8, 512],  // ViT-B/16
        [1024, 24, 16, 14, 16, 224, 768, 12, 768],  // ViT-L/14
        [1024, 24, 16, 14, 24, 336, 768, 12, 768],  // ViT-L/14@336px
    ])
    func publishedModels(_ sizes: [Int]) throws {
        let found = try configuration(
            clipShapes(
                visionWidth: sizes[0], visionLayers: sizes[1], patch: sizes[3], grid: sizes[4],
                textWidth: sizes[6], textLayers: 12, vocabulary: 49_408, dimension: sizes[8]))
        #expect(found.vision.width == sizes[0] && found.vision.layers == sizes[1])
        #expect(found.vision.heads == sizes[2] && found.vision.hiddenWidth == 4 * sizes[0])
        #expect(found.patchSize == sizes[3] && found.gridSize == sizes[4])
        #expect(found.imageResolution == sizes[5])
        #expect(found.imageSequenceLength == sizes[4] * sizes[4] + 1)
        #expect(found.text.width == sizes[6] && found.text.layers == 12)
        #expect(found.text.heads == sizes[7])
        #expect(found.embeddingDimension == sizes[8])
        #expect(found.contextLength == 77 && found.vocabularySize == 49_408)
    }

    @Test(arguments: [
        ("visual.conv1.weight", [64, 3, 8], "expected 4 dimensions"),
        ("visual.conv1.weight", [64, 3, 8, 0], "patch size would be 0"),
        ("visual.conv1.weight", [64, 3, 8, Int.max], "patch size"),
        ("visual.conv1.weight", [100, 3, 8, 8], "multiple of 64"),
        (
            "visual.conv1.weight", [1280, 3, 8, 8],
            "no tensor shows how wide its attention heads are"
        ),
        ("visual.conv1.weight", [Int.max, 3, 8, 8], "vision width"),
        ("visual.conv1.weight", [], "expected 4 dimensions"),
        ("visual.positional_embedding", [0, 64], "patches along a side"),
        ("visual.positional_embedding", [Int.max, 64], "patches along a side"),
        ("visual.positional_embedding", [5], "expected 2 dimensions"),
        ("text_projection", [64, 0], "embedding dimension"),
        ("positional_embedding", [1, 64], "context length"),
        ("token_embedding.weight", [Int.max, 64], "vocabulary size"),
        ("ln_final.weight", [0], "text width"),
    ])
    func impossibleSizes(_ name: String, _ shape: [Int], _ reason: String) throws {
        let shapes = clipShapes().filter { $0.0 != name } + [(name, shape)]
        let fault = #expect(throws: CheckpointError.self) { try configuration(shapes) }
        #expect(fault?.fault.contains(reason) == true, "\(fault?.fault ?? "")")
    }

    @Test func largestPictureIsBounded() throws {
        let shapes = clipShapes(patch: 64, grid: 17)
        let fault = #expect(throws: CheckpointError.self) { try configuration(shapes) }
        #expect(fault?.fault.contains("1088, allowed are 1 to 1024") == true)
    }

    @Test func eachTensorItReadsIsNeeded() throws {
        for name in [
            "visual.conv1.weight", "visual.proj", "visual.positional_embedding", "text_projection",
            "positional_embedding", "token_embedding.weight", "ln_final.weight",
        ] {
            let shapes = clipShapes().filter { $0.0 != name }
            #expect(throws: CheckpointError.self) { try configuration(shapes) }
        }
    }
}
