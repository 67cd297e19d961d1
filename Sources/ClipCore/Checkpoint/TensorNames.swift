/// The tensors of a model by OpenAI's names, whatever layout the file has: OpenAI's and OpenCLIP's,
/// OpenCLIP's with the text tower under `text.`, or Hugging Face's (`vision_model.…`).
struct ModelTensors {
    /// Tensors by OpenAI's names; Hugging Face's queries, keys and values are three parts of one.
    private(set) var tensors: [String: [TensorLayout]] = [:]
    let isHuggingFace: Bool

    private static let marker = "visual.conv1.weight"
    private static let huggingFaceMarker = "vision_model.embeddings.patch_embedding.weight"

    /// - Throws: `CheckpointFault` when there is no CLIP model, another kind of it, or more than one.
    init(_ stored: [String: TensorLayout]) throws(CheckpointFault) {
        // Training checkpoints keep the model under a name (`state_dict`, `model`) or a wrapper's
        // prefix (`module` for data parallel training); the part that holds the model is kept.
        var found: [(prefix: String, isHuggingFace: Bool)] = []
        for name in stored.keys {
            for marker in [Self.marker, Self.huggingFaceMarker]
            where name == marker || name.hasSuffix("." + marker) {
                found.append(
                    (String(name.dropLast(marker.count)), marker == Self.huggingFaceMarker))
            }
        }
        found.sort { $0.prefix < $1.prefix }
        guard let model = found.first else { throw CheckpointFault(Self.otherModel(stored)) }
        guard found.count == 1 else {
            let names = found.prefix(2).map {
                quoted($0.prefix + ($0.isHuggingFace ? "vision_model." : "visual."))
            }
            throw CheckpointFault(
                "holds more than one model (\(names[0]) and \(names[1])); save the one to be used in a file of its own"
            )
        }
        guard stored[model.prefix + "visual.layer1.0.conv1.weight"] == nil else {
            throw CheckpointFault(
                "is a CLIP model with a ResNet as vision tower; only vision transformers are supported"
            )
        }
        isHuggingFace = model.isHuggingFace
        let own = stored.filter { $0.key.hasPrefix(model.prefix) }
        let hasTextPrefix =
            !isHuggingFace && own[model.prefix + "text.token_embedding.weight"] != nil
        var split: [String: [Int: TensorLayout]] = [:]
        for (key, layout) in own {
            var name = String(key.dropFirst(model.prefix.count))
            if hasTextPrefix, name.hasPrefix("text.") { name.removeFirst("text.".count) }
            if isHuggingFace, let known = Self.openAIName(name) {
                split[known.name, default: [:]][known.part] =
                    known.isTransposed ? layout.transposed : layout
            } else {
                guard tensors.updateValue([layout], forKey: name) == nil else {
                    throw CheckpointFault("holds the tensor \(quoted(name)) twice")
                }
            }
        }
        for (name, parts) in split {
            let layouts = parts.sorted { $0.key < $1.key }.map(\.value)
            let isWhole = name.contains("attn.in_proj") ? parts.count == 3 : parts.count == 1
            guard isWhole, layouts.allSatisfy({ $0.shape == layouts[0].shape }) else {
                throw CheckpointFault(
                    "the parts of \(quoted(name)) (queries, keys and values) do not fit together")
            }
            tensors[name] = layouts
        }
    }

    /// OpenAI's name of one of Hugging Face's tensors: which third of it this is, and whether it lies
    /// transposed; nil when it is none of CLIP's.
    private static func openAIName(
        _ name: String
    ) -> (name: String, part: Int, isTransposed: Bool)? {
        let whole = [
            "vision_model.embeddings.class_embedding": "visual.class_embedding",
            huggingFaceMarker: marker,
            "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
            // The misspelling is transformers'.
            "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
            "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
            "vision_model.post_layernorm.weight": "visual.ln_post.weight",
            "vision_model.post_layernorm.bias": "visual.ln_post.bias",
            "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
            "text_model.embeddings.position_embedding.weight": "positional_embedding",
            "text_model.final_layer_norm.weight": "ln_final.weight",
            "text_model.final_layer_norm.bias": "ln_final.bias",
        ]
        if let known = whole[name] { return (known, 0, false) }
        if name == "visual_projection.weight" { return ("visual.proj", 0, true) }
        if name == "text_projection.weight" { return ("text_projection", 0, true) }
        for (theirs, ours) in [
            ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
            ("text_model.encoder.layers.", "transformer.resblocks."),
        ] where name.hasPrefix(theirs) {
            let parts = name.dropFirst(theirs.count).split(separator: ".", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            let block = "\(ours)\(parts[0])."
            for kind in ["weight", "bias"] {
                let layers = [
                    "layer_norm1": "ln_1.", "layer_norm2": "ln_2.", "mlp.fc1": "mlp.c_fc.",
                    "mlp.fc2": "mlp.c_proj.", "self_attn.out_proj": "attn.out_proj.",
                ]
                for (layer, known) in layers where parts[1] == "\(layer).\(kind)" {
                    return (block + known + kind, 0, false)
                }
                for (part, letter) in ["q", "k", "v"].enumerated()
                where parts[1] == "self_attn.\(letter)_proj.\(kind)" {
                    return ("\(block)attn.in_proj_\(kind)", part, false)
                }
            }
        }
        return nil
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
    static func unknown(_ name: String) -> CheckpointFault {
        let kinds = [
            (".ls_1.", "LayerScale"), (".ls_2.", "LayerScale"), ("lora_", "LoRA, not merged"),
            ("base_layer", "LoRA, not merged"), ("conv1_alpha", "Alpha-CLIP"),
            ("positional_embedding_res", "Long-CLIP"), ("attn_pool", "attentional pooling"),
            ("text_decoder", "CoCa"), ("text_model.head", "SigLIP"),
            ("vision_model.head", "SigLIP"), ("patch_embedding.bias", "SigLIP"),
        ]
        let kind = kinds.first { name.contains($0.0) }.map { " (\($0.1))" } ?? ""
        return CheckpointFault(
            "has the tensor \(quoted(name))\(kind), which is not part of a supported CLIP model; without it the embeddings would be wrong"
        )
    }

    /// What to say of a file that holds tensors, but not CLIP's.
    private static func otherModel(_ tensors: [String: TensorLayout]) -> String {
        func has(_ part: String) -> Bool {
            tensors.keys.contains { $0.hasPrefix(part) || $0.contains("." + part) }
        }
        if has("visual.trunk.") {
            return "is an OpenCLIP model with a vision tower of timm, which is not supported"
        }
        return "holds no CLIP model: the tensor \"visual.conv1.weight\" is missing"
    }
}
