import FoundationEssentials

/// The tokenizer that `tokenizer_config.json` and the files beside it describe, as transformers loads it
/// with `AutoTokenizer`.
extension SentencePieceTokenizer {
    /// - Parameters:
    ///   - folder: of the weights.
    ///   - name: the repository that a configuration names, for messages.
    ///   - cleaning: what is done to a text before the tokenizer gets it.
    /// - Throws: ``CheckpointError``: a file is missing, damaged or not understood completely.
    init(folder: String, name: String?, _ cleaning: TextCleaning) throws(CheckpointError) {
        func failure(_ fault: String) -> CheckpointError {
            CheckpointError(file: folder, fault: fault)
        }
        guard Model.isAvailable else {
            throw failure(
                "needs SentencePiece for its texts, which this program was built without; build it with the trait SentencePiece"
            )
        }
        guard var config = try ConfigurationSection(file: "\(folder)/tokenizer_config.json") else {
            let from = name.map { " (those of \($0))" } ?? ""
            throw failure(
                "holds no tokenizer_config.json; put the model's tokenizer files\(from) beside the weights"
            )
        }
        let kind = try config.choice("tokenizer_class", Kind.classes)
        guard let kind else { throw config.failure("does not say tokenizer_class") }

        // OpenCLIP never asks for one.
        guard
            config.take("model_input_names") == .array([.string("input_ids")]) || cleaning != .none
        else {
            throw config.failure(
                "does not set model_input_names to [\"input_ids\"], so transformers masks the padding of texts, which SigLIP was not trained with"
            )
        }
        let isCanonical = cleaning == .openCLIP(.canonicalize)
        var rules = Rules(cleaning: cleaning == .none ? [] : [cleaning], padding: 0)
        if kind == .sigLIP {
            try config.expect("do_lower_case", .bool(true))
            rules.cleaning.append(.sigLIP)
        } else if kind == .sigLIP2 {
            rules.cleaning.append(.lowercase)
        }
        config.ignore(["do_lower_case"])

        let (begins, ends) = (try config.flag("add_bos_token"), try config.flag("add_eos_token"))
        let isGemma = kind == .gemma || kind == .sigLIP2
        let names =
            isGemma
            ? ["tokenizer.model", "spiece.model"] : ["spiece.model", "tokenizer.model"]
        var special: [String: String] = [:]
        for token in ["pad_token", "bos_token", "eos_token", "unk_token"] {
            special[token] = try config.token(token)
        }
        let model: Model
        let files = names.map { "\(folder)/\($0)" }
        if kind != .fast, let file = files.first(where: FileManager.default.fileExists(atPath:)) {
            model = try Self.model(file)
            func id(_ token: String, _ usual: String) throws(CheckpointError) -> Int32 {
                let piece = special[token] ?? usual
                guard let id = model.id(piece) else {
                    throw CheckpointError(
                        file: file, fault: "has no piece \(quoted(piece)) for \(token)")
                }
                return id
            }
            if begins ?? isGemma { rules.prefix = [try id("bos_token", "<bos>")] }
            if ends ?? !isGemma { rules.suffix = [try id("eos_token", isGemma ? "<eos>" : "</s>")] }
        } else {
            guard kind != .sigLIP else {
                throw failure("holds no spiece.model, which SiglipTokenizer needs")
            }
            let file = "\(folder)/tokenizer.json"
            guard FileManager.default.fileExists(atPath: file) else {
                throw failure(
                    "holds none of tokenizer.json, \(names.joined(separator: ", ")); put the model's tokenizer files beside the weights"
                )
            }
            let converted = try TokenizerFile(
                path: file, matchesTokens: !isCanonical, splitsWords: kind == .t5)
            guard let opened = converted.serialized.withUnsafeBytes({ Model($0) }) else {
                throw CheckpointError(
                    file: file, fault: "is damaged: SentencePiece refuses its vocabulary")
            }
            model = opened
            (rules.prefix, rules.suffix) = (converted.prefix, converted.suffix)
            if converted.isLowercase { rules.cleaning.append(.lowercase) }
            for (setting, isSet, ids) in [
                ("add_bos_token", begins, rules.prefix), ("add_eos_token", ends, rules.suffix),
            ] where isSet != nil && isSet == ids.isEmpty {
                throw config.failure("the setting \(setting) contradicts tokenizer.json")
            }
        }
        let padding = special["pad_token"] ?? kind.padding
        guard let padding, let id = model.id(padding) else {
            throw config.failure("names no pad_token of its vocabulary")
        }
        rules.padding = id
        rules.padsLeft =
            try config.choice("padding_side", [(.string("left"), true), (.string("right"), false)])
            ?? isGemma
        try config.expect("truncation_side", .string("right"))
        try config.expect("sp_model_kwargs", .object([:]))
        config.ignore(Self.withoutEffect)
        try config.finish()
        self.init(model, rules)
    }

    private enum Kind {
        case sigLIP, sigLIP2, gemma, t5
        /// What tokenizer.json says.
        case fast

        /// The classes of transformers that are understood.
        static let classes: [(JSONValue, Kind)] = [
            (.string("SiglipTokenizer"), .sigLIP), (.string("Siglip2Tokenizer"), .sigLIP2),
            (.string("Siglip2TokenizerFast"), .sigLIP2), (.string("GemmaTokenizer"), .gemma),
            (.string("GemmaTokenizerFast"), .gemma), (.string("T5Tokenizer"), .t5),
            (.string("T5TokenizerFast"), .t5), (.string("PreTrainedTokenizerFast"), .fast),
            (.string("TokenizersBackend"), .fast),
        ]

        /// The padding token where the configuration names none.
        var padding: String? { self == .sigLIP ? "</s>" : self == .fast ? nil : "<pad>" }
    }

    private static func model(_ path: String) throws(CheckpointError) -> Model {
        let file = try MappedFile(path: path)
        guard let model = Model(file.bytes) else {
            throw CheckpointError(file: path, fault: "is not a SentencePiece model")
        }
        return model
    }

    /// Settings that change no ids: names, lengths that callers replace, how ids become text again.
    private static let withoutEffect: Set<String> = [
        "added_tokens_decoder", "additional_special_tokens", "auto_map", "backend",
        "clean_up_tokenization_spaces", "cls_token", "errors", "extra_ids",
        "extra_special_tokens", "image_processor_type", "is_local", "legacy", "local_files_only",
        "mask_token", "max_length", "model_max_length",
        "model_specific_special_tokens", "name_or_path",
        "pad_to_multiple_of", "pad_token_type_id", "processor_class", "sep_token",
        "spaces_between_special_tokens", "special_tokens_map_file", "stride", "tokenizer_file",
        "trust_remote_code",
        "truncation_strategy", "unk_id", "use_default_system_prompt", "vocab_file",
    ]
}

extension ConfigurationSection {
    /// A special token: its text, or an object with it.
    fileprivate mutating func token(_ name: String) throws(CheckpointError) -> String? {
        guard let value = take(name), value != .null else { return nil }
        if case .string(let text) = value { return text }
        if case .object(let token) = value, case .string(let text)? = token["content"] {
            return text
        }
        throw failure("the setting \(name) = \(value.shown) is not supported")
    }
}
