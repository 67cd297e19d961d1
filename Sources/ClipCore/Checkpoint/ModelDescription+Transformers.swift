import FoundationEssentials

/// `config.json` and `preprocessor_config.json` (or `processor_config.json`), as Hugging Face's
/// transformers publishes CLIP and SigLIP: `CLIPConfig`, `SiglipConfig`, those of their towers,
/// `CLIPImageProcessor` and `SiglipImageProcessor`.
///
/// Images are preprocessed as OpenAI's and OpenCLIP's code does, from which the published models come.
/// transformers' own processors differ from it by a pixel in where an image with an odd margin is
/// cropped.
extension ModelDescription {
    static let transformersFile = "config.json"
    static let adapterFile = "adapter_config.json"

    /// - Parameter folder: where these files are.
    init?(transformers folder: String) throws(CheckpointError) {
        guard var root = try ConfigurationSection(file: "\(folder)/\(Self.transformersFile)") else {
            return nil
        }
        if FileManager.default.fileExists(atPath: "\(folder)/\(Self.adapterFile)") {
            throw CheckpointError(
                file: folder,
                fault:
                    "holds \(Self.adapterFile): transformers adds that adapter (LoRA) to the weights, which is not supported; merge it into them, or remove the file"
            )
        }
        let type = root.take("model_type") ?? .string("clip")
        switch type {
        case .string("clip"):
            self.init(activation: .quickGELU)
            claim("projection_dim", try root.int("projection_dim") ?? 512, \.embeddingDimension)
        case .string("siglip"):
            self.init(activation: .geluTanh)
            architecture = .sigLIP
            tokenizer = .files(name: nil, .none)
            preprocessing.resize = .squash
            preprocessing.mean = [0.5, 0.5, 0.5]
            preprocessing.standardDeviation = [0.5, 0.5, 0.5]
        case .string("siglip2"):
            throw root.failure(
                "describes a SigLIP 2 model for images of any shape (NaFlex), which is not supported; those for one resolution are"
            )
        default:
            throw root.failure(
                "describes a model of the kind \(type.shown); only \"clip\" and \"siglip\" are supported"
            )
        }
        file = Self.transformersFile
        let isSigLIP = architecture == .sigLIP
        let kind = isSigLIP ? "siglip" : "clip"

        // Where the older form `…_config_dict` is present, transformers uses that.
        let older = (
            vision: try root.section("vision_config_dict"),
            text: try root.section("text_config_dict")
        )
        guard let newVision = try root.section("vision_config") ?? older.vision,
            let newText = try root.section("text_config") ?? older.text
        else { throw root.failure("describes no vision or no text tower") }
        var (vision, text) = (older.vision ?? newVision, older.text ?? newText)

        imageSize = try vision.side("image_size") ?? 224
        claim(
            "vision_config.patch_size", try vision.side("patch_size") ?? (isSigLIP ? 16 : 32),
            \.patchSize)
        try vision.expect("num_channels", .number(3))
        try vision.expect("model_type", .string("\(kind)_vision_model"))
        if isSigLIP { try vision.expect("vision_use_head", .bool(true)) }
        self.vision = try tower(
            &vision, "vision_config", width: 768, heads: 12, hidden: 3_072,
            (\.vision.width, \.vision.layers, \.vision.hiddenWidth))

        claim(
            "text_config.vocab_size", try text.int("vocab_size") ?? (isSigLIP ? 32_000 : 49_408),
            \.vocabularySize)
        claim(
            "text_config.max_position_embeddings",
            try text.int("max_position_embeddings") ?? (isSigLIP ? 64 : 77), \.contextLength)
        try text.expect("model_type", .string("\(kind)_text_model"))
        if isSigLIP {
            claim(
                "text_config.projection_size", try text.int("projection_size"), \.embeddingDimension
            )
        } else {
            // Of 2, an old mistake, transformers knows that the highest id is meant.
            try text.expect("eos_token_id", .number(2), .number(49_407))
            if var texts = try ConfigurationSection(file: "\(folder)/tokenizer_config.json") {
                try texts.expect(
                    "tokenizer_class", .string("CLIPTokenizer"), .string("CLIPTokenizerFast"))
            }
            try VocabularyFiles.check(folder)
        }
        text.ignore(["pad_token_id", "bos_token_id"])
        self.text = try tower(
            &text, "text_config", width: isSigLIP ? 768 : 512, heads: isSigLIP ? 12 : 8,
            hidden: isSigLIP ? 3_072 : 2_048,
            (\.text.width, \.text.layers, \.text.hiddenWidth))

        root.ignore(Self.withoutEffect)
        try root.finish()
        try readPreprocessor(folder)
    }

    private mutating func tower(
        _ section: inout ConfigurationSection, _ name: String, width: Int, heads: Int, hidden: Int,
        _ sizes: (
            KeyPath<ClipConfiguration, Int>, KeyPath<ClipConfiguration, Int>,
            KeyPath<ClipConfiguration, Int>
        )
    ) throws(CheckpointError) -> Tower {
        let width = try section.int("hidden_size") ?? width
        let heads = try section.int("num_attention_heads") ?? heads
        guard heads > 0, width.isMultiple(of: heads) else {
            throw section.failure(
                "\(name).hidden_size \(width) is not a multiple of num_attention_heads")
        }
        claim("\(name).hidden_size", width, sizes.0)
        claim("\(name).num_hidden_layers", try section.int("num_hidden_layers") ?? 12, sizes.1)
        claim("\(name).intermediate_size", try section.int("intermediate_size") ?? hidden, sizes.2)
        let epsilon = try section.choice(
            "layer_norm_eps", [(.number(1e-5), Float(1e-5)), (.number(1e-6), 1e-6)])
        let activation = try section.choice(
            "hidden_act",
            [
                (.string("quick_gelu"), Activation.quickGELU), (.string("gelu"), .gelu),
                (.string("gelu_new"), .geluTanh), (.string("gelu_fast"), .geluTanh),
                (.string("gelu_pytorch_tanh"), .geluTanh),
            ])
        // The towers' projections have the model's projection_dim, whatever they say.
        section.ignore(Self.withoutEffect.union(["projection_dim"]))
        try section.finish()
        return Tower(
            activation: activation ?? (architecture == .sigLIP ? .geluTanh : .quickGELU),
            headWidth: width / heads, epsilon: epsilon ?? (architecture == .sigLIP ? 1e-6 : 1e-5))
    }

    private mutating func readPreprocessor(_ folder: String) throws(CheckpointError) {
        // transformers 5 writes the second form, and prefers it.
        let file = "\(folder)/preprocessor_config.json"
        var processor = try ConfigurationSection(file: "\(folder)/processor_config.json")
        var found = try processor?.section("image_processor")
        if found == nil { found = try ConfigurationSection(file: file) }
        guard var images = found else {
            throw CheckpointError(
                file: file,
                fault: "is missing; it says how images are resized and normalised for this model")
        }
        // Another model's processor may have other defaults.
        let classes = [
            "ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor",
        ]
        .map { JSONValue.string((architecture == .sigLIP ? "Siglip" : "CLIP") + $0) }
        for key in ["image_processor_type", "feature_extractor_type"] {
            _ = try images.choice(key, classes.map { ($0, ()) })
        }
        for step in ["do_resize", "do_normalize", "do_rescale", "do_convert_rgb"] {
            try images.expect(step, .bool(true))
        }
        if let factor = try images.number("rescale_factor"), abs(factor * 255 - 1) > 1e-6 {
            throw images.failure("the setting rescale_factor = \(factor) is not supported")
        }
        preprocessing.mean = try images.channels("image_mean") ?? preprocessing.mean
        preprocessing.standardDeviation =
            try images.channels("image_std") ?? preprocessing.standardDeviation
        preprocessing.interpolation =
            try images.choice("resample", [(.number(3), .bicubic), (.number(2), .bilinear)])
            ?? .bicubic
        let crops = try images.flag("do_center_crop")
        // A number is the length of the shorter side; height and width are both sides.
        if case .object(let size)? = images.peek("size"), size.keys.contains("shortest_edge") {
            var size = try images.section("size")!
            preprocessing.resize = .shortestSide
            claim(
                "preprocessor_config.json's size", try size.int("shortest_edge"), \.imageResolution)
            try size.finish()
        } else {
            if case .object? = images.peek("size") { preprocessing.resize = .squash }
            if case .number? = images.peek("size") {
                try images.expect("default_to_square", .bool(preprocessing.resize == .squash))
            }
            claim("preprocessor_config.json's size", try images.side("size"), \.imageResolution)
        }
        claim(
            "preprocessor_config.json's crop_size", try images.side("crop_size"),
            \.imageResolution)
        guard crops != false || preprocessing.resize == .squash else {
            throw images.failure(
                "the setting do_center_crop = false is not supported for images that keep their aspect ratio"
            )
        }
        try images.expect("do_pad", .bool(false))
        for key in ["image_seq_length", "pad_size", "size_divisor"] { try images.expect(key) }
        images.ignore([
            "default_to_square", "processor_class", "return_tensors", "data_format",
            "input_data_format", "device", "disable_grouping", "_processor_class",
            "_valid_processor_keys",
        ])
        try images.finish()
    }

    /// Settings that transformers writes for every model, and that play no part in CLIP's embeddings:
    /// of training, of text generation, of classification heads.
    private static let withoutEffect: Set<String> = [
        "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal",
        "_commit_hash", "_name_or_path", "add_cross_attention", "architectures",
        "attention_dropout", "attn_implementation", "bad_words_ids", "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward", "cross_attention_hidden_size", "decoder_start_token_id",
        "diversity_penalty", "do_sample", "dropout", "dtype", "early_stopping",
        "encoder_no_repeat_ngram_size", "eos_token_id", "exponential_decay_length_penalty",
        "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label",
        "initializer_factor", "initializer_range", "is_decoder", "is_encoder_decoder", "label2id",
        "length_penalty", "logit_scale_init_value", "max_length", "min_length",
        "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences",
        "output_attentions", "output_hidden_states", "output_scores", "pad_token_id", "prefix",
        "problem_type", "remove_invalid_values", "repetition_penalty", "return_dict",
        "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params",
        "temperature", "tf_legacy_loss", "tie_encoder_decoder", "tie_word_embeddings",
        "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript", "transformers_version",
        "typical_p", "use_bfloat16", "use_cache",
    ]
}
