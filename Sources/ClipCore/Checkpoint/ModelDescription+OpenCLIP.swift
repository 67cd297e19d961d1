/// `open_clip_config.json`, as OpenCLIP publishes it: `CLIPVisionCfg`, `CLIPTextCfg` and
/// `PreprocessCfg` of open_clip 3.3.
extension ModelDescription {
    static let openCLIPFile = "open_clip_config.json"

    /// - Parameter file: the path of `open_clip_config.json`.
    init?(openCLIP file: String) throws(CheckpointError) {
        guard var root = try ConfigurationSection(file: file) else { return nil }
        guard var model = try root.section("model_cfg") else {
            throw root.failure("has no model_cfg, which describes the model")
        }
        let isQuick = try model.flag("quick_gelu")
        self.init(activation: isQuick == true ? .quickGELU : .gelu)
        self.file = Self.openCLIPFile
        guard var vision = try model.section("vision_cfg"),
            var text = try model.section("text_cfg")
        else { throw root.failure("describes no vision or no text tower") }

        if case .string(let name)? = text.take("hf_model_name") {
            throw root.failure(
                "describes a text tower of transformers (\(quoted(name))); only OpenCLIP's own text transformer is supported"
            )
        }
        if try model.section("multimodal_cfg") != nil {
            throw root.failure("describes a CoCa model, which is not supported")
        }
        if case .array? = vision.peek("layers") {
            throw root.failure(
                "describes a ResNet as vision tower; only vision transformers are supported")
        }
        claim("embed_dim", try model.int("embed_dim"), \.embeddingDimension)
        claim(
            "text_cfg.context_length", try text.int("context_length") ?? 77, \.contextLength)
        claim("text_cfg.vocab_size", try text.int("vocab_size") ?? 49_408, \.vocabularySize)

        if case .string(let name)? = vision.take("timm_model_name") {
            try readTimm(name, &vision)
        } else {
            imageSize = try vision.side("image_size") ?? 224
            claim("vision_cfg.patch_size", try vision.side("patch_size") ?? 16, \.patchSize)
            let width = try vision.int("width") ?? 768
            self.vision.headWidth = try vision.int("head_width") ?? 64
            try vision.readTower(&self.vision, isQuick: isQuick == true)
            try vision.expect("no_ln_pre", .bool(false))
            try vision.expect("pool_type", .string("tok"))
            try vision.expect("pos_embed_type", .string("learnable"))
            try vision.expect("attentional_pool", .bool(false))
            claim("vision_cfg.width", width, \.vision.width)
            claim("vision_cfg.layers", try vision.int("layers") ?? 12, \.vision.layers)
            claim(
                "the hidden width of vision_cfg",
                Int(Double(width) * (try vision.number("mlp_ratio") ?? 4)), \.vision.hiddenWidth)
        }
        // Without effect on these models, or on training alone.
        vision.ignore([
            "patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained",
            "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path",
        ])
        try vision.finish()

        let textWidth = try text.int("width") ?? 512
        let heads = try text.int("heads") ?? 8
        guard heads > 0, textWidth.isMultiple(of: heads) else {
            throw root.failure("text_cfg.width \(textWidth) is not a multiple of text_cfg.heads")
        }
        self.text.headWidth = textWidth / heads
        try text.readTower(&self.text, isQuick: isQuick == true)
        try text.expect("embed_cls", .bool(false))
        let projects = try text.choice(
            "proj_type", [(.string("linear"), true), (.string("none"), false)])
        projectsTexts = projects ?? true
        guard projectsTexts || architecture == .sigLIP else {
            throw root.failure(
                "the setting model_cfg.text_cfg.proj_type = \"none\" is not supported")
        }
        try text.expect("tokenizer_mode")
        let isSigLIP = architecture == .sigLIP
        // A setting that is left out is as in CLIP.
        for (setting, value) in [
            ("no_causal_mask", JSONValue.bool(isSigLIP)), ("proj_bias", .bool(isSigLIP)),
            ("pool_type", .string(isSigLIP ? "last" : "argmax")),
        ] {
            // Without a projection its bias does not matter.
            if setting == "proj_bias", !projectsTexts {
                text.ignore([setting])
                continue
            }
            if isSigLIP, text.peek(setting) == nil {
                throw root.failure("text_cfg has no \(setting), which SigLIP's text tower needs")
            }
            try text.expect(setting, value)
        }
        try readTokenizer(&text)
        claim("text_cfg.width", textWidth, \.text.width)
        claim("text_cfg.layers", try text.int("layers") ?? 12, \.text.layers)
        claim(
            "the hidden width of text_cfg",
            Int(Double(textWidth) * (try text.number("mlp_ratio") ?? 4)), \.text.hiddenWidth)
        // Padding and the end token's id play no part in a causal tower pooled at the highest id.
        text.ignore([
            "pad_id", "eos_id", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type",
        ])
        try text.finish()

        model.ignore([
            "custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale",
            "cast_dtype", "output_dict",
        ])
        try model.finish()

        if var images = try root.section("preprocess_cfg") {
            preprocessing.mean = try images.channels("mean") ?? preprocessing.mean
            preprocessing.standardDeviation =
                try images.channels("std") ?? preprocessing.standardDeviation
            preprocessing.interpolation =
                try images.choice(
                    "interpolation",
                    [(.string("bicubic"), .bicubic), (.string("bilinear"), .bilinear)]) ?? .bicubic
            preprocessing.resize =
                try images.choice(
                    "resize_mode",
                    [(.string("shortest"), .shortestSide), (.string("squash"), .squash)])
                ?? .shortestSide
            claim("preprocess_cfg.size", try images.side("size"), \.imageResolution)
            try images.expect("mode", .string("RGB"))
            // For padding, which neither way of resizing needs.
            images.ignore(["fill_color"])
            try images.finish()
        }
        try root.finish()
    }

    /// The tokenizer: CLIP's own, or in SigLIP one of transformers in the files beside the weights.
    private mutating func readTokenizer(
        _ text: inout ConfigurationSection
    ) throws(CheckpointError) {
        let name = text.take("hf_tokenizer_name")
        guard architecture == .sigLIP else {
            if case .string(let name)? = name {
                throw text.failure(
                    "describes a text tower with the tokenizer \(quoted(name)); it is supported only in SigLIP models"
                )
            }
            try text.expect("tokenizer_kwargs", .object([:]))
            tokenizer = .clip(.openCLIP)
            return
        }
        guard case .string(let name)? = name else {
            throw text.failure("describes a SigLIP model without hf_tokenizer_name")
        }
        var cleaning = TextCleaning.openCLIP(.whitespace)
        if var arguments = try text.section("tokenizer_kwargs") {
            cleaning =
                .openCLIP(
                    try arguments.choice(
                        "clean",
                        TextCleaning.OpenCLIP.allCases.map { (.string($0.rawValue), $0) })
                        ?? .whitespace)
            try arguments.finish()
        }
        tokenizer = .files(name: name, cleaning)
    }

    /// timm's vision transformers for SigLIP, by timm 1.0's `vision_transformer.py`.
    private static func sigLIPTower(
        _ name: String
    ) -> (image: Int, patch: Int, activation: Activation, heads: Int, layers: Int)? {
        // vit_SIZE_patchP_siglip_R
        let parts = name.split(separator: "_")
        guard parts.count == 5, parts[0] == "vit", parts[3] == "siglip",
            parts[2].hasPrefix("patch"), let patch = Int(parts[2].dropFirst("patch".count)),
            let image = Int(parts[4])
        else { return nil }
        let activation: Activation
        switch (parts[1], patch, image) {
        case ("base", 16, 224), ("base", 16, 256), ("base", 16, 384), ("base", 16, 512),
            ("large", 16, 256), ("large", 16, 384),
            ("so400m", 14, 224), ("so400m", 14, 378), ("so400m", 14, 384):
            activation = .gelu
        case ("base", 32, 256), ("large", 16, 512), ("so400m", 16, 256), ("so400m", 16, 384),
            ("so400m", 16, 512), ("giantopt", 16, 256), ("giantopt", 16, 384):
            activation = .geluTanh
        default: return nil
        }
        let (heads, layers) =
            ["base": (12, 12), "large": (16, 24), "so400m": (16, 27), "giantopt": (16, 40)][
                parts[1]]!
        return (image, patch, activation, heads, layers)
    }

    /// A vision tower of timm: SigLIP's, or refused.
    private mutating func readTimm(
        _ name: String, _ vision: inout ConfigurationSection
    ) throws(CheckpointError) {
        guard let tower = Self.sigLIPTower(name) else {
            throw vision.failure(
                "describes a vision tower of timm (\(quoted(name))); of those only SigLIP's are supported"
            )
        }
        architecture = .sigLIP
        // quick_gelu does not reach timm's models.
        self.vision = Tower(activation: tower.activation, epsilon: 1e-6)
        self.vision.heads = tower.heads
        try vision.expect("timm_pool", .string("map"))
        try vision.expect("timm_proj", .string("none"))
        guard try vision.side("image_size") ?? 224 == tower.image else {
            throw vision.failure("vision_cfg.image_size is not that of \(quoted(name))")
        }
        imageSize = tower.image
        claim("the patch size of \(name)", tower.patch, \.patchSize)
        claim("the number of layers of \(name)", tower.layers, \.vision.layers)
    }
}

extension ConfigurationSection {
    /// The settings that `vision_cfg` and `text_cfg` have in common.
    fileprivate mutating func readTower(
        _ tower: inout ModelDescription.Tower, isQuick: Bool
    ) throws(CheckpointError) {
        // OpenCLIP passes act_kwargs to GELU only.
        if try choice(
            "act_kwargs",
            [(.object(["approximate": .string("tanh")]), true), (.object([:]), false)])
            == true, !isQuick
        {
            tower.activation = .geluTanh
        }
        tower.epsilon =
            try choice(
                "norm_kwargs",
                [
                    (.object([:]), 1e-5), (.object(["eps": .number(1e-5)]), 1e-5),
                    (.object(["eps": .number(1e-6)]), 1e-6),
                ]) ?? 1e-5
        try expect("ls_init_value")
        try expect("block_type", .string("default"))
        for setting in [
            "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn",
            "scale_fc", "final_ln_after_pool", "output_tokens",
        ] {
            try expect(setting, .bool(false))
        }
    }
}
