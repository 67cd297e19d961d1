/// The tensors of a model by OpenAI's names, whatever layout the file has: OpenAI's and OpenCLIP's,
/// OpenCLIP's with the text tower under `text.` or with timm's vision tower (`visual.trunk.…`), or
/// Hugging Face's (`vision_model.…`). SigLIP's attention pooling gets names after the same pattern,
/// `visual.attn_pool.…`.
struct ModelTensors {
    enum Layout { case openAI, timm, huggingFace }

    /// Tensors by OpenAI's names. Queries, keys and values that are stored apart are parts of one.
    private(set) var tensors: [String: [TensorLayout]] = [:]
    let layout: Layout
    let architecture: Architecture

    /// The tensor by which a layout is recognised, and the part of its name that stands for the tower.
    private static let markers: [(layout: Layout, name: String, tower: String)] = [
        (.openAI, "visual.conv1.weight", "visual."),
        (.timm, "visual.trunk.patch_embed.proj.weight", "visual.trunk."),
        (.huggingFace, "vision_model.embeddings.patch_embedding.weight", "vision_model."),
    ]

    /// - Throws: ``CheckpointError`` when there is no CLIP model, another kind of it, or more than one.
    init(_ stored: [String: TensorLayout]) throws(CheckpointError) {
        // Training checkpoints keep the model under a name (`state_dict`, `model`) or a wrapper's
        // prefix (`module` for data parallel training); the part that holds the model is kept.
        var found: [(prefix: String, layout: Layout, tower: String)] = []
        for name in stored.keys {
            for marker in Self.markers
            where name == marker.name || name.hasSuffix("." + marker.name) {
                found.append(
                    (String(name.dropLast(marker.name.count)), marker.layout, marker.tower))
            }
        }
        found.sort { $0.prefix < $1.prefix }
        guard let model = found.first else {
            if stored.keys.contains(where: { $0.contains("visual.trunk.") }) {
                throw Self.otherTimmTower
            }
            throw CheckpointError(
                "holds no CLIP model: the tensor \"visual.conv1.weight\" is missing")
        }
        guard found.count == 1 else {
            let names = found.prefix(2).map { quoted($0.prefix + $0.tower) }
            throw CheckpointError(
                "holds more than one model (\(names[0]) and \(names[1])); save the one to be used in a file of its own"
            )
        }
        let prefix = model.prefix
        guard stored[prefix + "visual.layer1.0.conv1.weight"] == nil else {
            throw CheckpointError(
                "is a CLIP model with a ResNet as vision tower; only vision transformers are supported"
            )
        }
        layout = model.layout
        let isSigLIP =
            stored[prefix + "visual.trunk.attn_pool.latent"] != nil
            || stored[prefix + "vision_model.head.probe"] != nil
        guard isSigLIP || layout != .timm else {
            throw Self.otherTimmTower
        }
        architecture = isSigLIP ? .sigLIP : .clip

        let own = stored.filter { $0.key.hasPrefix(prefix) }
        if let name = own.keys.filter({ $0.contains("lora_") || $0.contains("base_layer") }).min() {
            throw Self.unknown(String(name.dropFirst(prefix.count)))
        }
        let hasTextPrefix =
            layout != .huggingFace && own[prefix + "text.token_embedding.weight"] != nil
        var parts: [String: [Int: TensorLayout]] = [:]
        for (key, tensor) in own {
            var name = String(key.dropFirst(prefix.count))
            if hasTextPrefix, name.hasPrefix("text.") { name.removeFirst("text.".count) }
            let renamed = Self.renamed(name, layout)
            var tensor = renamed.isTransposed ? tensor.transposed : tensor
            if renamed.isRenamed { tensor = tensor.squeezed }
            guard parts[renamed.name, default: [:]].updateValue(tensor, forKey: renamed.part) == nil
            else { throw CheckpointError("holds the tensor \(quoted(name)) twice") }
        }
        for (name, numbered) in parts {
            let layouts = numbered.sorted { $0.key < $1.key }
            guard layouts.map(\.key) == Array(layouts.indices),
                layouts.allSatisfy({
                    $0.value.shape.dropFirst() == layouts[0].value.shape.dropFirst()
                        && $0.value.shape.isEmpty == layouts[0].value.shape.isEmpty
                })
            else {
                throw CheckpointError(
                    "the parts of \(quoted(name)) (queries, keys and values) do not fit together")
            }
            tensors[name] = layouts.map(\.value)
        }
    }

    private static var otherTimmTower: CheckpointError {
        CheckpointError(
            "is an OpenCLIP model with a vision tower of timm that is not SigLIP's, which is not supported"
        )
    }

    // MARK: - Names

    private struct Renamed {
        var name: String
        /// Which part of it this is, where it is stored in several.
        var part = 0
        var isTransposed = false
        var isRenamed = true
    }

    /// Tensors by their names, and layers by what precedes `.weight` and `.bias`, outside of blocks.
    private static let names: [String: String] = [
        "visual.trunk.pos_embed": "visual.positional_embedding",
        "visual.trunk.patch_embed.proj": "visual.conv1",
        "visual.trunk.norm": "visual.ln_post",
        "visual.trunk.attn_pool.latent": "visual.attn_pool.latent",
        "visual.trunk.attn_pool.proj": "visual.attn_pool.attn.out_proj",
        "visual.trunk.attn_pool.norm": "visual.attn_pool.ln_2",
        "visual.trunk.attn_pool.mlp.fc1": "visual.attn_pool.mlp.c_fc",
        "visual.trunk.attn_pool.mlp.fc2": "visual.attn_pool.mlp.c_proj",
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "vision_model.embeddings.patch_embedding": "visual.conv1",
        // The misspelling is transformers'.
        "vision_model.pre_layrnorm": "visual.ln_pre",
        "vision_model.post_layernorm": "visual.ln_post",
        "vision_model.head.probe": "visual.attn_pool.latent",
        "vision_model.head.attention.out_proj": "visual.attn_pool.attn.out_proj",
        "vision_model.head.layernorm": "visual.attn_pool.ln_2",
        "vision_model.head.mlp.fc1": "visual.attn_pool.mlp.c_fc",
        "vision_model.head.mlp.fc2": "visual.attn_pool.mlp.c_proj",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.embeddings.token_embedding": "token_embedding",
        "text_model.final_layer_norm": "ln_final",
        "text_model.head": "text_projection",
    ]

    /// Where the blocks are.
    private static let towers = [
        "visual.trunk.blocks.": "visual.transformer.resblocks.",
        "vision_model.encoder.layers.": "visual.transformer.resblocks.",
        "text_model.encoder.layers.": "transformer.resblocks.",
    ]

    /// Layers of a block.
    private static let layers = [
        "norm1": "ln_1", "norm2": "ln_2", "attn.proj": "attn.out_proj", "layer_norm1": "ln_1",
        "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    ]

    /// Layers that are queries, keys and values, or some of them.
    private static let attention: [String: Int] = [
        "attn.qkv": 0, "self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2,
        "visual.trunk.attn_pool.q": 0, "visual.trunk.attn_pool.kv": 1,
    ]

    /// OpenAI's name of a tensor; one that is none of the layout's keeps its name.
    private static func renamed(_ name: String, _ layout: Layout) -> Renamed {
        let unchanged = Renamed(name: name, isRenamed: false)
        guard layout != .openAI else { return unchanged }
        if let ours = names[name] { return Renamed(name: ours) }
        if name == "visual_projection.weight" {
            return Renamed(name: "visual.proj", isTransposed: true)
        }
        if name == "text_projection.weight", layout == .huggingFace {
            return Renamed(name: "text_projection", isTransposed: true)
        }
        let inProjection = "vision_model.head.attention.in_proj_"
        if name.hasPrefix(inProjection) {
            return Renamed(
                name: "visual.attn_pool.attn.in_proj_" + name.dropFirst(inProjection.count))
        }
        guard let dot = name.lastIndex(of: "."),
            ["weight", "bias"].contains(name[dot...].dropFirst())
        else { return unchanged }
        let (layer, kind) = (String(name[..<dot]), name[dot...].dropFirst())
        if let ours = names[layer] { return Renamed(name: "\(ours).\(kind)") }
        if let part = attention[layer] {
            return Renamed(name: "visual.attn_pool.attn.in_proj_\(kind)", part: part)
        }
        guard let (theirs, ours) = towers.first(where: { layer.hasPrefix($0.key) }) else {
            return unchanged
        }
        let parts = layer.dropFirst(theirs.count).split(separator: ".", maxSplits: 1)
        guard parts.count == 2 else { return unchanged }
        if let part = attention[String(parts[1])] {
            return Renamed(name: "\(ours)\(parts[0]).attn.in_proj_\(kind)", part: part)
        }
        guard let ending = layers[String(parts[1])] else { return unchanged }
        return Renamed(name: "\(ours)\(parts[0]).\(ending).\(kind)")
    }

    /// Tensors that play no part in an embedding: the scale and shift of all similarities alike, sizes
    /// that OpenAI's archives state, masks and positions that follow from the architecture, and an
    /// optimizer's state.
    static func isIgnored(_ name: String) -> Bool {
        [
            "logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size",
            "attn_mask", "vision_model.embeddings.position_ids",
            "text_model.embeddings.position_ids",
        ].contains(name) || name.hasSuffix(".attn_mask") || name.hasPrefix("optimizer.")
    }

    /// What an unknown tensor within a model probably belongs to.
    static func unknown(_ name: String) -> CheckpointError {
        let kinds = [
            (".ls_1.", "LayerScale"), (".ls_2.", "LayerScale"), (".ls1.", "LayerScale"),
            (".ls2.", "LayerScale"), ("lora_", "LoRA, not merged"),
            ("base_layer", "LoRA, not merged"), ("conv1_alpha", "Alpha-CLIP"),
            ("positional_embedding_res", "Long-CLIP"), ("attn_pool", "attentional pooling"),
            ("text_decoder", "CoCa"),
        ]
        let kind = kinds.first { name.contains($0.0) }.map { " (\($0.1))" } ?? ""
        return CheckpointError(
            "has the tensor \(quoted(name))\(kind), which is not part of a supported CLIP model; without it the embeddings would be wrong"
        )
    }
}
