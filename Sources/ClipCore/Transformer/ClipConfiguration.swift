/// Sizes of a CLIP model with a vision transformer, derived from tensor shapes as upstream's
/// `clip.model.build_model` derives them, so that no model needs to be known by name.
public struct ClipConfiguration: Sendable, Equatable {
    /// One tower: a stack of residual attention blocks.
    public struct Transformer: Sendable, Equatable {
        /// Features a token has between blocks.
        public let width: Int
        public let layers: Int
        /// Attention heads; CLIP gives each 64 features.
        public var heads: Int { width / Self.headWidth }
        /// Features of the hidden layer of the blocks' MLP.
        public var hiddenWidth: Int { 4 * width }

        public static let headWidth = 64
    }

    /// Length of a picture's or text's embedding: 512 for ViT-B, 768 for ViT-L/14.
    public let embeddingDimension: Int

    public let vision: Transformer
    /// Side of the square that pictures are cropped to, in pixels.
    public let imageResolution: Int
    /// Side of a patch, in pixels.
    public let patchSize: Int

    public let text: Transformer
    /// Tokens a text can have, start and end included.
    public let contextLength: Int
    public let vocabularySize: Int

    /// Patches along a side of the picture.
    public var gridSize: Int { imageResolution / patchSize }
    /// Tokens a picture has: its patches, and the class token before them.
    public var imageSequenceLength: Int { gridSize * gridSize + 1 }

    /// - Parameter shapes: tensor shapes by upstream's names.
    package init(_ shapes: [String: [Int]]) throws(CheckpointFault) {
        guard let convolution = shapes["visual.conv1.weight"] else {
            throw CheckpointFault(Self.strangerFault(shapes))
        }
        guard shapes["visual.layer1.0.conv1.weight"] == nil, shapes["visual.proj"] != nil else {
            throw CheckpointFault(
                "is a CLIP model with a ResNet for pictures; only vision transformers (ViT-B/32 and its kin) are supported"
            )
        }

        func shape(_ name: String, _ rank: Int) throws(CheckpointFault) -> [Int] {
            guard let shape = shapes[name] else {
                throw CheckpointFault("has no tensor \"\(name)\"")
            }
            guard shape.count == rank else {
                throw CheckpointFault(
                    "the tensor \"\(name)\" has the shape \(shape), expected \(rank) dimensions")
            }
            return shape
        }
        guard convolution.count == 4 else {
            throw CheckpointFault(
                "the tensor \"visual.conv1.weight\" has the shape \(convolution), expected 4 dimensions"
            )
        }
        let positions = try shape("visual.positional_embedding", 2)[0]
        let projection = try shape("text_projection", 2)
        let context = try shape("positional_embedding", 2)[0]
        let tokens = try shape("token_embedding.weight", 2)[0]
        let textWidth = try shape("ln_final.weight", 1)[0]

        func layers(_ prefix: String) -> Int {
            var numbers: Set<Int> = []
            for name in shapes.keys where name.hasPrefix(prefix) {
                if let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }) {
                    numbers.insert(number)
                }
            }
            return numbers.count
        }

        patchSize = convolution[3]
        // As upstream: one position is the class token's, the others make a square.
        let grid = Int(Double(max(0, positions - 1)).squareRoot().rounded(.toNearestOrEven))
        embeddingDimension = projection[1]
        contextLength = context
        vocabularySize = tokens
        vision = Transformer(
            width: convolution[0], layers: layers("visual.transformer.resblocks."))
        text = Transformer(width: textWidth, layers: layers("transformer.resblocks."))

        // Far beyond any CLIP that was ever trained; keeps arithmetic and memory bounded.
        func check(_ value: Int, _ range: ClosedRange<Int>, _ what: String) throws(CheckpointFault)
        {
            guard range.contains(value) else {
                throw CheckpointFault(
                    "is no CLIP model that can be used: \(what) would be \(value), allowed are \(range.lowerBound) to \(range.upperBound)"
                )
            }
        }
        try check(patchSize, 1...256, "the patch size")
        try check(grid, 1...64, "the number of patches along a side")
        try check(patchSize * grid, 1...1_024, "the picture's side in pixels")
        try check(embeddingDimension, 1...16_384, "the embedding dimension")
        try check(contextLength, 2...4_096, "the context length")
        try check(vocabularySize, 3...1_000_000, "the vocabulary size")
        // Wider vision towers (OpenCLIP's ViT-H, g, bigG) have heads of 80 features and more, which
        // no tensor shows; with heads of 64 their embeddings would be silently wrong.
        try check(vision.width, 64...1_024, "the vision width")
        try check(text.width, 64...2_048, "the text width")
        for (name, tower) in [("vision", vision), ("text", text)] {
            try check(tower.layers, 1...256, "the number of \(name) layers")
            guard tower.width.isMultiple(of: Transformer.headWidth) else {
                throw CheckpointFault(
                    "is no CLIP model that can be used: the \(name) width \(tower.width) is not a multiple of 64"
                )
            }
        }
        imageResolution = patchSize * grid
    }

    /// What to say of a file that holds tensors, but not CLIP's.
    private static func strangerFault(_ shapes: [String: [Int]]) -> String {
        if shapes.keys.contains(where: { $0.hasPrefix("vision_model.") }) {
            return
                "has the tensor names of Hugging Face's transformers; use a checkpoint with OpenAI's or OpenCLIP's names"
        }
        if shapes.keys.contains(where: { $0.hasPrefix("visual.trunk.") }) {
            return "is an OpenCLIP model on a timm backbone, which is not supported"
        }
        return "holds no CLIP model: the tensor \"visual.conv1.weight\" is missing"
    }
}
