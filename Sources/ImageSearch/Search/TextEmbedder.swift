import ClipCore

/// Turns texts into embeddings with one model's text tower.
public struct TextEmbedder: Sendable {
    /// A text's place in the space that pictures share.
    public struct Query: Sendable {
        /// L2-normalised, `[embedding dimension]`.
        public let embedding: [Float]
        /// Whether the text was longer than the model reads and was cut.
        public let isTruncated: Bool
    }

    private let tokenizer = Tokenizer()
    private let encoder: TextEncoder
    /// The model, by which a search finds out whether the table's embeddings are its own.
    public let identity: ModelIdentity

    /// - Parameters:
    ///   - path: the model's file or directory.
    ///   - activation: see `Checkpoint`.
    /// - Throws: `CheckpointError`, one sentence naming the file and the fault.
    public init(modelPath path: String, activation: Activation? = nil) throws {
        try self.init(Checkpoint(path: path, activation: activation))
    }

    init(_ checkpoint: Checkpoint) throws {
        guard checkpoint.configuration.vocabularySize == Tokenizer.vocabularySize else {
            throw CheckpointError(
                file: checkpoint.path,
                fault:
                    "has a vocabulary of \(checkpoint.configuration.vocabularySize) tokens, but CLIP's tokenizer makes \(Tokenizer.vocabularySize)"
            )
        }
        encoder = try TextEncoder(checkpoint)
        // Texts are embedded in fp32 whatever pictures are embedded in.
        identity = ModelIdentity(checkpoint, precision: .fp32)
    }

    /// Tokens that a text can have, start and end included.
    public var contextLength: Int { encoder.configuration.contextLength }

    /// What the model reads of a text.
    func tokens(of text: String) -> Tokens {
        tokenizer.encode(text, contextLength: contextLength)
    }

    /// Computes on the calling thread, for some milliseconds.
    func embed(_ tokens: Tokens) throws -> Query {
        Query(embedding: try encoder.encode(tokens.ids), isTruncated: tokens.isTruncated)
    }

    /// Computes on the calling thread, for some milliseconds.
    public func embed(_ text: String) throws -> Query { try embed(tokens(of: text)) }
}
