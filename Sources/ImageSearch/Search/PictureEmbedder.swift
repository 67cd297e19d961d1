import ClipCore

/// Turns picture files into embeddings with one model's vision tower, which is loaded with the first
/// picture: most searches are for texts, and it is the larger part of the model.
public final class PictureEmbedder: Sendable {
    private let path: String
    private let activation: Activation?
    private let precision: Precision
    private let limits: ImageLimits
    private let encoder = Monitor(ImageEncoder?.none)

    /// - Parameters:
    ///   - path: the model's file or directory.
    ///   - activation: see `Checkpoint`.
    ///   - precision: what the stored pictures were embedded in.
    ///   - limits: what decoding one picture may cost.
    public init(
        modelPath path: String, activation: Activation? = nil, precision: Precision = .fp32,
        limits: ImageLimits = .query
    ) {
        self.activation = activation
        self.path = path
        self.precision = precision
        self.limits = limits
    }

    /// Computes on the calling thread, for some tens of milliseconds; the first call loads the model.
    /// - Returns: the L2-normalised embedding, `[embedding dimension]`.
    /// - Throws: ``SearchError`` about the picture, or `CheckpointError` about the model file.
    public func embed(_ file: [UInt8]) throws -> [Float] {
        let encoder = try loaded()
        let preprocessor = ImagePreprocessor(encoder.configuration)
        let pixels: [Float]
        do {
            pixels = try preprocessor.values(encoded: file, decoder: ImageDecoder(limits: limits))
        } catch {
            throw SearchError(error)
        }
        let session = ImageEncoder.Session(encoder, capacity: 1)
        let embedding = pixels.withUnsafeBufferPointer { session.encode($0)[0] }
        guard embedding.allSatisfy(\.isFinite) else { throw EmbeddingError() }
        return embedding
    }

    /// The encoder; whoever comes while it is being loaded waits for it.
    private func loaded() throws -> ImageEncoder {
        try encoder.update { encoder in
            if let encoder { return encoder }
            let loaded = try ImageEncoder(
                Checkpoint(path: path, activation: activation), precision: precision)
            encoder = loaded
            return loaded
        }
    }
}

extension ImageLimits {
    /// For pictures that are searched with: 50 megapixels, more than cameras make, and at most 600 MB
    /// of memory for each that is decoded.
    public static var query: ImageLimits {
        var limits = ImageLimits()
        limits.maximumPixels = 50_000_000
        return limits
    }
}
