/// What the MLP of a block computes between its two layers, `c_fc` and `c_proj`.
public enum Activation: String, Sendable, CaseIterable {
    /// `v · sigmoid(1.702 v)`: OpenAI's models.
    case quickGELU = "quick_gelu"
    /// `v · Φ(v)`, through erf: `torch.nn.GELU`'s default, OpenCLIP's models.
    case gelu
    /// GELU's approximation by tanh.
    case geluTanh = "gelu_tanh"
}

/// How the parts of a model are put together. All have layer norms before each branch.
public enum Architecture: String, Sendable {
    /// OpenAI's: a class token whose output is pooled, `ln_pre` and `ln_post`; a causal text tower pooled
    /// at the end token; projections without bias.
    case clip
    /// SigLIP's: no class token, `ln_post` and attention pooling of all patches; a text tower without a
    /// mask, of which the last token is pooled; a bias in the patch embedding and the text projection,
    /// and no projection of images.
    case sigLIP = "siglip"

    /// For messages.
    var name: String { self == .clip ? "CLIP" : "SigLIP" }
}

/// A CLIP model with a vision transformer, described completely: two models with the same description
/// and the same weights give the same embeddings.
///
/// Sizes come from tensor shapes, as in upstream's `clip.model.build_model`; `ModelDescription` says
/// the rest.
public struct ClipConfiguration: Sendable, Equatable {
    /// One tower: a stack of residual attention blocks.
    public struct Transformer: Sendable, Equatable {
        /// Features a token has between blocks.
        public let width: Int
        public let layers: Int
        /// Features of an attention head: 64 in OpenAI's models.
        public let headWidth: Int
        /// Features of the hidden layer of the blocks' MLP.
        public let hiddenWidth: Int
        public let activation: Activation
        /// Of the layer norms: added to the variance.
        public let epsilon: Float

        /// Attention heads.
        public var heads: Int { width / headWidth }
    }

    public let architecture: Architecture
    /// Length of an embedding: 512 for ViT-B, 768 for ViT-L/14.
    public let embeddingDimension: Int

    public let vision: Transformer
    /// Side of the square that images are cropped to, in pixels.
    public let imageResolution: Int
    /// Side of a patch, in pixels.
    public let patchSize: Int
    public let preprocessing: ImagePreprocessing

    public let text: Transformer
    /// Tokens a text can have, start and end included.
    public let contextLength: Int
    public let vocabularySize: Int
    /// Whether the pooled token of a text is projected: not in some of SigLIP's models.
    public let projectsTexts: Bool

    /// Patches along a side of the image.
    public var gridSize: Int { imageResolution / patchSize }
    /// Tokens an image has: its patches, and in CLIP the class token before them.
    public var imageSequenceLength: Int { gridSize * gridSize + (architecture == .clip ? 1 : 0) }

    /// What tensors do not show, as a text that is the same for the same model; nil for OpenAI's rules.
    public var deviations: String? {
        func summary(_ tower: Transformer) -> String {
            let epsilon = tower.epsilon == 1e-5 ? "" : ",\(tower.epsilon)"
            return "\(tower.activation.rawValue),\(tower.headWidth)\(epsilon)"
        }
        let description =
            "vision:\(summary(vision));text:\(summary(text));\(preprocessing.summary)"
        if architecture == .sigLIP { return "siglip;\(imageResolution);\(description)" }
        let side = patchSize * gridSize == imageResolution ? "" : "\(imageResolution);"
        let usual = "quick_gelu,64"
        guard
            summary(vision) != usual || summary(text) != usual
                || preprocessing != .openAI || !side.isEmpty
        else { return nil }
        return side + description
    }

    /// - Parameter shapes: tensor shapes by OpenAI's names.
    package init(
        _ shapes: [String: [Int]], _ description: ModelDescription
    ) throws(CheckpointError) {
        func shape(_ name: String, _ rank: Int) throws(CheckpointError) -> [Int] {
            guard let shape = shapes[name] else {
                throw CheckpointError("has no tensor \"\(name)\"")
            }
            guard shape.count == rank else {
                throw CheckpointError(
                    "the tensor \"\(name)\" has the shape \(shape), expected \(rank) dimensions")
            }
            return shape
        }
        architecture = description.architecture
        projectsTexts = description.projectsTexts
        let convolution = try shape("visual.conv1.weight", 4)
        let positions = try shape("visual.positional_embedding", 2)[0]
        switch architecture {
        case .clip:
            _ = try shape("visual.proj", 2)
            embeddingDimension = try shape("text_projection", 2)[1]
        case .sigLIP:
            embeddingDimension =
                description.projectsTexts
                ? try shape("text_projection.weight", 2)[0] : try shape("ln_final.weight", 1)[0]
        }
        contextLength = try shape("positional_embedding", 2)[0]
        vocabularySize = try shape("token_embedding.weight", 2)[0]
        let textWidth = try shape("ln_final.weight", 1)[0]

        func tower(
            _ prefix: String, _ name: String, width: Int, _ tower: ModelDescription.Tower
        ) throws(CheckpointError) -> Transformer {
            let prefix = "\(prefix).resblocks."
            var numbers: Set<Int> = []
            for name in shapes.keys where name.hasPrefix(prefix) {
                if let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }) {
                    numbers.insert(number)
                }
            }
            try Self.check(numbers.count, 1...256, "the number of \(name) layers")
            let hidden = try shape("\(prefix)0.mlp.c_fc.weight", 2)[0]
            try Self.check(hidden, 1...16_384, "the width of the \(name) tower's hidden layer")
            let headWidth =
                tower.heads.map { width.isMultiple(of: $0) ? width / $0 : 0 }
                ?? tower.headWidth
            guard headWidth > 0, width.isMultiple(of: headWidth) else {
                throw CheckpointError(
                    "is not a usable CLIP model: the \(name) width \(width) is not a multiple of \(tower.heads.map { "the \($0) attention heads" } ?? "\(headWidth), the width of an attention head")"
                )
            }
            return Transformer(
                width: width, layers: numbers.count, headWidth: headWidth,
                hiddenWidth: hidden, activation: tower.activation, epsilon: tower.epsilon)
        }

        patchSize = convolution[3]
        // As upstream: one position is the class token's, the others make a square.
        let patches = architecture == .clip ? max(0, positions - 1) : positions
        let grid = Int(Double(patches).squareRoot().rounded(.toNearestOrEven))
        // Far beyond any CLIP that was ever trained; keeps arithmetic and memory bounded.
        try Self.check(patchSize, 1...256, "the patch size")
        try Self.check(grid, 1...64, "the number of patches along a side")
        // Patches need not cover the last pixels of a side.
        let side = description.imageSize ?? patchSize * grid
        try Self.check(side, 1...1_024, "the image's side in pixels")
        guard side / patchSize == grid else {
            throw CheckpointError(
                "does not fit \(description.file ?? "its configuration"): images have \(side) pixels a side there, but the tensors have \(grid) patches of \(patchSize)"
            )
        }
        try Self.check(embeddingDimension, 1...16_384, "the embedding dimension")
        try Self.check(contextLength, 2...4_096, "the context length")
        try Self.check(vocabularySize, 3...1_000_000, "the vocabulary size")
        try Self.check(convolution[0], 16...4_096, "the vision width")
        try Self.check(textWidth, 16...4_096, "the text width")
        if description.file == nil, convolution[0] > 1_024 {
            // OpenCLIP's ViT-H, g and bigG have heads of 80 features and more.
            throw CheckpointError(
                "has a vision width of \(convolution[0]), and no tensor shows how wide its attention heads are; put its open_clip_config.json beside it"
            )
        }
        guard description.preprocessing.standardDeviation.allSatisfy({ $0 > 0 }) else {
            throw CheckpointError(
                "does not fit \(description.file ?? "its configuration"): images are divided by a standard deviation that is not above 0 there"
            )
        }
        imageResolution = side
        preprocessing = description.preprocessing
        vision = try tower(
            "visual.transformer", "vision", width: convolution[0], description.vision)
        text = try tower("transformer", "text", width: textWidth, description.text)
        guard architecture == .clip || vision.width == embeddingDimension else {
            throw CheckpointError(
                "is not a usable SigLIP model: images have \(vision.width) features, texts \(embeddingDimension)"
            )
        }
        for claim in description.claims where self[keyPath: claim.size] != claim.value {
            throw CheckpointError(
                "does not fit \(description.file ?? "its configuration"): \(claim.setting) is \(claim.value) there, but the tensors have \(self[keyPath: claim.size])"
            )
        }
    }

    private static func check(
        _ value: Int, _ range: ClosedRange<Int>, _ what: String
    ) throws(CheckpointError) {
        guard range.contains(value) else {
            throw CheckpointError(
                "is not a usable CLIP model: \(what) would be \(value), allowed are \(range.lowerBound) to \(range.upperBound)"
            )
        }
    }

    // MARK: - Tensors

    /// The vision tower's tensors by OpenAI's names, with their shapes.
    package var visionTensors: [(name: String, shape: [Int])] {
        let width = vision.width
        let pool = Self.block(vision).filter { !$0.name.hasPrefix("ln_1.") }
        let ends: [(name: String, shape: [Int])] =
            architecture == .clip
            ? [
                ("visual.class_embedding", [width]), ("visual.ln_pre.weight", [width]),
                ("visual.ln_pre.bias", [width]), ("visual.proj", [width, embeddingDimension]),
            ]
            : [("visual.conv1.bias", [width]), ("visual.attn_pool.latent", [width])]
                + pool.map { ("visual.attn_pool.\($0.name)", $0.shape) }
        return [
            ("visual.conv1.weight", [width, 3, patchSize, patchSize]),
            ("visual.positional_embedding", [imageSequenceLength, width]),
            ("visual.ln_post.weight", [width]), ("visual.ln_post.bias", [width]),
        ] + ends + Self.blocks("visual.transformer", vision)
    }

    /// The text tower's tensors by OpenAI's names, with their shapes.
    package var textTensors: [(name: String, shape: [Int])] {
        let width = text.width
        let projection: [(name: String, shape: [Int])] =
            architecture == .clip
            ? [("text_projection", [width, embeddingDimension])]
            : [
                ("text_projection.weight", [embeddingDimension, width]),
                ("text_projection.bias", [embeddingDimension]),
            ]
        return [
            ("token_embedding.weight", [vocabularySize, width]),
            ("positional_embedding", [contextLength, width]),
            ("ln_final.weight", [width]), ("ln_final.bias", [width]),
        ] + (projectsTexts ? projection : []) + Self.blocks("transformer", text)
    }

    private static func block(_ tower: Transformer) -> [(name: String, shape: [Int])] {
        let (width, hidden) = (tower.width, tower.hiddenWidth)
        return [
            ("ln_1.weight", [width]), ("ln_1.bias", [width]),
            ("attn.in_proj_weight", [3 * width, width]), ("attn.in_proj_bias", [3 * width]),
            ("attn.out_proj.weight", [width, width]), ("attn.out_proj.bias", [width]),
            ("ln_2.weight", [width]), ("ln_2.bias", [width]),
            ("mlp.c_fc.weight", [hidden, width]), ("mlp.c_fc.bias", [hidden]),
            ("mlp.c_proj.weight", [width, hidden]), ("mlp.c_proj.bias", [width]),
        ]
    }

    private static func blocks(
        _ prefix: String, _ tower: Transformer
    ) -> [(name: String, shape: [Int])] {
        (0..<tower.layers).flatMap { layer in
            block(tower).map { ("\(prefix).resblocks.\(layer).\($0.name)", $0.shape) }
        }
    }
}

/// What the vision tower's large matrices are multiplied in.
///
/// The embeddings of all lie in the same space and can be compared, but they are not equal: a table
/// should hold pictures of one precision. MODEL.md has the mathematics, SPEED.md the figures.
public enum Precision: String, Sendable, CaseIterable {
    /// 32-bit floating point, as upstream on a CPU.
    case fp32
    /// 8-bit integers, with a scale for each output of a matrix and each row of activations: embeddings at
    /// a cosine of some 0.9999 to those of fp32, about three times as fast with AVX-512 VNNI.
    case int8
    /// The same with 7 bits, at a cosine of some 0.9997: for processors without VNNI, which multiply them half
    /// as fast again.
    case int7
}
