/// A CLIP or SigLIP model, ready to turn images and texts into embeddings that can be compared.
///
///     let model = try ClipModel.load("ViT-B-32.pt")
///     let image = try model.embed(image: bytes)
///     let text = try model.embed(text: "a beach at sunset")
///     ClipModel.similarity(image, text)
///
/// For many images at once, and for control over memory, use ``ImageEncoder`` and ``TextEncoder``.
public final class ClipModel: Sendable {
    public let configuration: ClipConfiguration
    /// What an image may cost to decode.
    public let limits: ImageLimits

    private let imageEncoder: ImageEncoder
    private let textEncoder: TextEncoder
    private let preprocessor: ImagePreprocessor
    private let tokenizer: any Tokenizer

    /// Reads a model into memory: for ViT-B/32 in fp32 about 600 MB, in a second or two.
    ///
    /// - Parameters:
    ///   - path: a file of weights, or a directory with one and its configuration; see MODEL.md.
    ///   - precision: of images; texts are always embedded in fp32.
    ///   - activation: for weights whose activation nothing else tells.
    ///   - limits: what an image may cost to decode.
    /// - Throws: ``CheckpointError``, one sentence that names the file and the fault.
    public static func load(
        _ path: String, precision: Precision = .fp32, activation: Activation? = nil,
        limits: ImageLimits = ImageLimits()
    ) throws(CheckpointError) -> ClipModel {
        try ClipModel(Checkpoint(path: path, activation: activation), precision, limits)
    }

    private init(
        _ checkpoint: Checkpoint, _ precision: Precision, _ limits: ImageLimits
    ) throws(CheckpointError) {
        configuration = checkpoint.configuration
        imageEncoder = try ImageEncoder(checkpoint, precision: precision)
        textEncoder = try TextEncoder(checkpoint)
        tokenizer = try checkpoint.tokenizer()
        self.limits = limits
        preprocessor = ImagePreprocessor(configuration)
    }

    /// An image's embedding, computed on the calling thread, in some tens of milliseconds for ViT-B/32.
    ///
    /// - Parameter file: the bytes of an image file, in any format of ``Build/formats``.
    /// - Returns: the L2-normalised embedding, `[embedding dimension]`.
    /// - Throws: ``ImageError``, why the image cannot be decoded.
    public func embed(image file: [UInt8]) throws -> [Float] {
        let pixels = try preprocessor.values(encoded: file, decoder: ImageDecoder(limits: limits))
        let session = ImageEncoder.Session(imageEncoder, capacity: 1)
        return pixels.withUnsafeBufferPointer { session.encode($0)[0] }
    }

    /// A text's embedding, computed on the calling thread, in a few milliseconds for ViT-B/32.
    ///
    /// - Parameter text: cut after the model's context length, 77 tokens for CLIP.
    /// - Returns: the L2-normalised embedding, `[embedding dimension]`.
    public func embed(text: String) throws(CheckpointError) -> [Float] {
        let tokens = tokenizer.encode(text, contextLength: configuration.contextLength)
        return try textEncoder.encode(tokens.ids)
    }

    /// The cosine of two embeddings of one model, -1 to 1. An image and a text that describes it well
    /// have 0.2 to 0.35, similar images 0.5 to 1.
    public static func similarity(_ a: [Float], _ b: [Float]) -> Double {
        precondition(a.count == b.count, "embeddings of one model have one dimension")
        return zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
}
