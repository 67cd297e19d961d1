import ClipCore

// Prints for each model a line: its path, then what it is or the sentence that refuses it. For
// tools/model_table.py.
for path in CommandLine.arguments.dropFirst() {
    do {
        let checkpoint = try Checkpoint(path: path)
        _ = try checkpoint.tokenizer()
        let sizes = checkpoint.configuration
        func tower(_ tower: ClipConfiguration.Transformer) -> String {
            "\(tower.width) \(tower.layers) \(tower.heads) \(tower.hiddenWidth) \(tower.activation.rawValue) \(tower.epsilon)"
        }
        let images = sizes.preprocessing
        print(
            path, "exact", sizes.architecture.rawValue, tower(sizes.vision), tower(sizes.text),
            "\(sizes.embeddingDimension) \(sizes.contextLength) \(sizes.vocabularySize)",
            "\(sizes.imageResolution) \(sizes.patchSize) \(images.resize.rawValue) \(images.interpolation.rawValue)",
            images.mean.map { "\($0)" }.joined(separator: " "),
            images.standardDeviation.map { "\($0)" }.joined(separator: " "), separator: "\t")
    } catch {
        print(path, "refused", "\(error)", separator: "\t")
    }
}
