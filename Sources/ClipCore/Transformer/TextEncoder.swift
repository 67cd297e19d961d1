import CKernels

/// A text transformer: token ids to embeddings.
///
/// Source: upstream's `clip.model.CLIP.encode_text` and OpenCLIP's `TextTransformer` as SigLIP uses it,
/// evaluated in fp32 as upstream does on a CPU.
/// The encoder is immutable; calls may come from any number of threads at once.
public final class TextEncoder: Sendable {
    public let configuration: ClipConfiguration

    private let buffer: WeightBuffer
    /// Keeps the file mapped, in which the fp16 matrices stay.
    private let checkpoint: Checkpoint
    /// `[context, width]`
    private nonisolated(unsafe) let positions: UnsafePointer<Float>
    private let blocks: [BlockWeights]
    private let lnFinal: NormWeights
    private nonisolated(unsafe) let projection: Projection
    /// `[vocabulary, width]`, left in the file: a text needs a few rows of 49,408.
    private let tokenEmbedding: Tensor
    private let checksTokens: Bool

    private enum Projection {
        /// `[width, embedding dimension]`, used as `x P`: CLIP.
        case matrix(UnsafePointer<Float>)
        /// `[embedding dimension, width]`, with a bias: SigLIP.
        case linear(LinearWeights)
        /// The pooled token is the embedding: SigLIP So400m/16 i18n.
        case none
    }

    /// Loads the text tower; the vision tower is not touched.
    /// - Parameter detached: reads all of the tower into memory, so that the file may be overwritten later;
    ///   for a process that runs for long. Other threads must not use the checkpoint meanwhile.
    /// - Parameter threads: among which a text's products are divided. More than one are for a program that
    ///   has one text at a time; the embedding is the same.
    /// - Throws: ``CheckpointError`` when a tensor is missing, misshapen or not finite.
    public init(
        _ checkpoint: Checkpoint, detached: Bool = false, threads: Int = 1
    ) throws(CheckpointError) {
        let sizes = checkpoint.configuration
        configuration = sizes
        self.checkpoint = checkpoint
        let width = sizes.text.width
        let loader = try WeightLoader(
            checkpoint,
            // The token embedding stays in the file.
            sizes.textTensors.filter { $0.name != "token_embedding.weight" },
            epsilon: sizes.text.epsilon, storage: .half(threads: threads))
        tokenEmbedding = try checkpoint.tensor(
            "token_embedding.weight", shape: [sizes.vocabularySize, width])
        // SigLIP's table has up to a gigabyte: its rows are read one by one.
        checksTokens = detached && tokenEmbedding.parts[0].extent.count > 128 << 20
        if detached {
            for (name, shape) in sizes.textTensors
            where name != tokenEmbedding.name || !checksTokens {
                try checkpoint.tensor(name, shape: shape).detach()
            }
        }
        positions = try loader.tensor("positional_embedding")
        blocks = try loader.blocks("transformer", sizes.text)
        lnFinal = try loader.norm("ln_final")
        projection =
            sizes.architecture == .clip
            ? .matrix(try loader.tensor("text_projection"))
            : !sizes.projectsTexts
                ? .none
                : .linear(try loader.linear("text_projection.weight", "text_projection.bias"))
        buffer = loader.buffer
    }

    /// Embeds one text.
    ///
    /// CLIP's mask lets no token see a later one, so nothing after the pooled token can matter, and
    /// upstream's padding to 77 tokens is left out. SigLIP's texts are computed with their padding.
    ///
    /// - Parameter tokens: as the model's tokenizer gives them.
    /// - Returns: the L2-normalised embedding, `[embedding dimension]`.
    /// - Throws: ``CheckpointError`` when the model has room for fewer tokens (`contextLength`) or
    ///   knows fewer (`vocabularySize`), its token embedding is damaged, or its weights are so large
    ///   that the embedding is not finite.
    public func encode(_ tokens: [Int32]) throws(CheckpointError) -> [Float] {
        let isClip = configuration.architecture == .clip
        guard let highest = tokens.max(), let first = tokens.firstIndex(of: highest) else {
            preconditionFailure("a text has at least one token")
        }
        // Upstream pools CLIP at argmax over the ids: the first end token, which has the highest id.
        let pooled = isClip ? first : tokens.count - 1
        let length = pooled + 1
        let width = configuration.text.width
        precondition(tokens.allSatisfy { $0 >= 0 }, "token ids are not negative")
        // Sizes come from the file, so a text that does not fit is the file's fault, not a mistake in
        // the program.
        guard
            isClip
                ? tokens.count <= configuration.contextLength
                : tokens.count == configuration.contextLength
        else {
            throw failure(
                "has room for \(configuration.contextLength) tokens, the text has \(tokens.count)")
        }
        guard Int(highest) < configuration.vocabularySize else {
            throw failure(
                "has a vocabulary of \(configuration.vocabularySize) tokens, the text has the token \(highest); it was trained with another tokenizer"
            )
        }

        let scratch = TransformerScratch(configuration.text, rows: length, length: length)
        for (position, token) in tokens.prefix(length).enumerated() {
            try tokenEmbedding.copyRow(
                Int(token),
                to: UnsafeMutableBufferPointer(start: scratch.x + position * width, count: width),
                checked: checksTokens)
        }
        ck_add_bias(scratch.x, 1, length * width, positions)
        TransformerForward.run(
            blocks, configuration.text, sequences: 1, length: length, pooled: pooled,
            causal: isClip, scratch)
        // The pooled token, [1, width].
        lnFinal(scratch.x, rows: 1, width: width, to: scratch.normed)
        let dimension = configuration.embeddingDimension
        let embedding = unitRows(1, dimension) { out in
            switch projection {
            case .matrix(let matrix):
                GEMM.projection(
                    scratch.normed, rows: 1, matrix, inputs: width, outputs: dimension, to: out)
            case .linear(let layer):
                GEMM.linear(scratch.normed, rows: 1, layer, to: out)
            case .none:
                out.update(from: scratch.normed, count: width)
            }
        }[0]
        guard ck_all_finite(embedding, embedding.count) else {
            throw failure("is corrupt: its weights give an embedding that is not finite")
        }
        return embedding
    }

    private func failure(_ fault: String) -> CheckpointError {
        CheckpointError(file: checkpoint.path, fault: fault)
    }
}
