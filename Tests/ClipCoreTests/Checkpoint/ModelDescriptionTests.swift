import ClipCore
import Foundation
import Testing

/// What is refused because it is not understood, and in which words.
@Suite struct ModelDescriptionTests {
    typealias W = PickleWriter

    private func fault(_ path: String, _ activation: Activation? = nil) -> String {
        do throws(CheckpointError) {
            _ = try Checkpoint(path: path, activation: activation)
            return ""
        } catch {
            return error.description
        }
    }

    private func archive(_ shapes: [(String, [Int])]) -> [UInt8] {
        ZipWriter.torch(W.zeros(shapes))
    }

    /// A copy of a fixture's folder with changes to its configuration, each at a path of keys.
    private func withConfiguration<R>(
        of fixture: String, file: String, _ changes: [(path: [String], value: Any?)],
        _ body: (String) throws -> R
    ) throws -> R {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("model-\(UUID().uuidString)")
        try FileManager.default.copyItem(
            at: LayoutTests.folder.appendingPathComponent(fixture), to: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        let url = folder.appendingPathComponent(file)
        func change(_ object: Any?, _ path: ArraySlice<String>, _ value: Any?) -> Any? {
            guard let key = path.first else { return value }
            var object = object as? [String: Any] ?? [:]
            object[key] = change(object[key], path.dropFirst(), value)
            return object
        }
        var json: Any? = try JSONSerialization.jsonObject(with: Data(contentsOf: url))
        for (path, value) in changes { json = change(json, path[...], value) }
        try JSONSerialization.data(withJSONObject: json!).write(to: url)
        return try body(folder.path)
    }

    // MARK: - The activation

    @Test func bareStateDictsAreRefused() throws {
        try withTemporaryFile(archive(clipShapes())) { path in
            #expect(fault(path).contains("set CLIP_ACTIVATION to quick_gelu or gelu"))
            #expect(fault(path, .gelu) == "")
            let configuration = try Checkpoint(path: path, activation: .gelu).configuration
            #expect(configuration.vision.activation == .gelu)
            #expect(configuration.text.activation == .gelu)
            #expect(configuration.deviations != nil)
        }
    }

    /// A state dict of OpenAI's archives has scalars that OpenCLIP's do not.
    @Test func openAIsScalarsMeanQuickGELU() throws {
        let scalars = ["input_resolution", "context_length", "vocab_size"].map { ($0, [Int]()) }
        try withTemporaryFile(archive(clipShapes() + scalars)) { path in
            let configuration = try Checkpoint(path: path).configuration
            #expect(configuration.vision.activation == .quickGELU)
            #expect(configuration.deviations == nil)
            #expect(fault(path, .gelu).contains("CLIP_ACTIVATION says gelu"))
        }
    }

    @Test func torchScriptMeansQuickGELU() throws {
        let checkpoint = try Checkpoint(path: CheckpointFixtures.path("torchscript.pt"))
        #expect(checkpoint.configuration.vision.activation == .quickGELU)
    }

    /// Traced models of OpenCLIP and transformers are not OpenAI's: nothing tells how their images are
    /// prepared.
    @Test(arguments: [
        ("", true), ("QuickGELU", true), ("GELU", false), ("GELUActivation", false),
    ])
    func torchScriptOfOtherModels(_ activation: String, _ isOpenAIs: Bool) throws {
        let global = ("activation", Array("c__torch__.modules\n\(activation)\n".utf8))
        let members = clipShapes().map {
            ($0.0, W.tensor(shape: $0.1, strides: [Int](repeating: 0, count: $0.1.count)))
        }
        let traced = ZipWriter.archive([
            .init(
                name: "m/data.pkl", data: W.dictionary(members + (activation == "" ? [] : [global]))
            ),
            .init(name: "m/data/0", data: [UInt8](repeating: 0, count: 64)),
            .init(name: "m/constants.pkl", data: []),
        ])
        try withTemporaryFile(traced) { path in
            #expect(
                fault(path).contains("set CLIP_ACTIVATION") == !isOpenAIs, "\(fault(path))")
            #expect(fault(path, isOpenAIs ? .quickGELU : .gelu) == "")
        }
    }

    @Test func aConfigurationBesideAFileCounts() throws {
        let file = LayoutTests.path("gelu/open_clip_pytorch_model.bin")
        #expect(try Checkpoint(path: file).configuration.text.activation == .gelu)
        #expect(fault(file, .quickGELU).contains("as open_clip_config.json shows"))
    }

    // MARK: - Tensors

    @Test(arguments: [
        ("visual.transformer.resblocks.0.ls_1.gamma", [64], "LayerScale"),
        ("transformer.resblocks.0.attn.lora_A.weight", [4, 64], "LoRA"),
        ("visual.conv1_alpha.weight", [64, 1, 8, 8], "Alpha-CLIP"),
        ("positional_embedding_res", [248, 64], "Long-CLIP"),
        ("visual.attn_pool.query", [4, 64], "attentional pooling"),
        ("adapter.weight", [64, 64], "not part of a supported CLIP model"),
    ])
    func unknownTensorsAreRefused(_ name: String, _ shape: [Int], _ reason: String) throws {
        try withTemporaryFile(archive(clipShapes() + [(name, shape)])) { path in
            let said = fault(path, .quickGELU)
            #expect(said.contains("\"\(name)\"") && said.contains(reason), "\(said)")
        }
    }

    @Test func otherVisionTowersOfTimmAreNamed() throws {
        try withTemporaryFile(archive([("visual.trunk.stem.0.weight", [8, 3, 4, 4])])) { path in
            #expect(fault(path).contains("a vision tower of timm that is not SigLIP's"))
        }
    }

    @Test func twoModelsAreRefused() throws {
        let both = ["model.", "model_ema."].flatMap { prefix in
            clipShapes().map { (prefix + $0.0, $0.1) }
        }
        try withTemporaryFile(archive(both)) { path in
            let said = fault(path, .quickGELU)
            #expect(
                said.contains("more than one model (\"model.visual.\" and \"model_ema.visual.\")"),
                "\(said)")
        }
    }

    @Test func aModelWithoutItsTextTowerIsRefused() throws {
        let shapes = clipShapes().filter { !$0.0.hasSuffix("0.mlp.c_proj.bias") }
        try withTemporaryFile(archive(shapes)) { path in
            #expect(fault(path, .quickGELU).contains("has no tensor"))
        }
    }

    // MARK: - Settings

    @Test(arguments: [
        (["model_cfg", "vision_cfg", "ls_init_value"], "1e-4"),
        (["model_cfg", "vision_cfg", "pool_type"], "\"avg\""),
        (["model_cfg", "vision_cfg", "no_ln_pre"], "true"),
        (["model_cfg", "vision_cfg", "attentional_pool"], "true"),
        (["model_cfg", "vision_cfg", "norm_kwargs"], "{\"eps\": 1e-3}"),
        (["model_cfg", "vision_cfg", "qk_norm"], "true"),
        (["model_cfg", "vision_cfg", "something_new"], "1"),
        (["model_cfg", "text_cfg", "no_causal_mask"], "true"),
        (["model_cfg", "text_cfg", "pool_type"], "\"last\""),
        (["model_cfg", "text_cfg", "tokenizer_kwargs"], "{\"clean\": \"canonicalize\"}"),
        (["model_cfg", "text_cfg", "proj_bias"], "true"),
        (["model_cfg", "something_new"], "true"),
        (["preprocess_cfg", "resize_mode"], "\"longest\""),
        (["preprocess_cfg", "interpolation"], "\"nearest\""),
        (["something_new"], "{}"),
    ])
    func unknownSettingsAreRefused(_ path: [String], _ value: String) throws {
        let parsed = try JSONSerialization.jsonObject(
            with: Data(value.utf8), options: .fragmentsAllowed)
        try withConfiguration(
            of: "gelu", file: "open_clip_config.json", [(path, parsed)]
        ) { folder in
            let said = fault(folder)
            #expect(said.contains("open_clip_config.json: the setting "), "\(said)")
            #expect(said.contains(path.joined(separator: ".")), "\(said)")
        }
    }

    @Test(arguments: [
        ("open_clip_config.json", "gelu", ["model_cfg", "vision_cfg", "width"], 128),
        ("open_clip_config.json", "gelu", ["model_cfg", "text_cfg", "context_length"], 64),
        ("open_clip_config.json", "gelu", ["preprocess_cfg", "size"], 64),
        ("config.json", "transformers-gelu", ["vision_config", "num_hidden_layers"], 3),
        ("preprocessor_config.json", "transformers-gelu", ["size", "shortest_edge"], 64),
    ])
    func sizesMustFit(_ file: String, _ fixture: String, _ path: [String], _ value: Int) throws {
        try withConfiguration(of: fixture, file: file, [(path, value)]) { folder in
            let said = fault(folder)
            #expect(said.contains("does not fit") && said.contains("\(value)"), "\(said)")
        }
    }

    @Test func otherKindsOfModelAreNamed() throws {
        for (path, value, reason) in [
            (
                ["model_cfg", "vision_cfg", "timm_model_name"], "convnext_base",
                "a vision tower of timm (\"convnext_base\")"
            ),
            (["model_cfg", "text_cfg", "hf_model_name"], "xlm-roberta-base", "xlm-roberta-base"),
            (
                ["model_cfg", "text_cfg", "hf_tokenizer_name"], "timm/ViT-B-16-SigLIP",
                "tokenizer \"timm/ViT-B-16-SigLIP\""
            ),
        ] {
            try withConfiguration(
                of: "gelu", file: "open_clip_config.json", [(path, value)]
            ) { #expect(fault($0).contains(reason)) }
        }
        for (kind, reason) in [
            ("siglip2", "NaFlex"), ("altclip", "a model of the kind \"altclip\""),
        ] {
            try withConfiguration(
                of: "transformers-gelu", file: "config.json", [(["model_type"], kind)]
            ) { #expect(fault($0).contains(reason)) }
        }
    }

    @Test(arguments: [
        ("config.json", ["vision_config", "layer_norm_eps"], "1e-3"),
        ("config.json", ["vision_config", "hidden_act"], "\"relu\""),
        ("config.json", ["text_config", "something_new"], "1"),
        ("config.json", ["something_new"], "1"),
        ("preprocessor_config.json", ["do_normalize"], "false"),
        ("preprocessor_config.json", ["resample"], "0"),
        ("preprocessor_config.json", ["something_new"], "1"),
        ("preprocessor_config.json", ["image_processor_type"], "\"ViTImageProcessor\""),
        ("preprocessor_config.json", ["do_pad"], "true"),
    ])
    func unknownSettingsOfTransformersAreRefused(
        _ file: String, _ path: [String], _ value: String
    ) throws {
        let parsed = try JSONSerialization.jsonObject(
            with: Data(value.utf8), options: .fragmentsAllowed)
        try withConfiguration(of: "transformers-gelu", file: file, [(path, parsed)]) { folder in
            let said = fault(folder)
            #expect(
                said.contains("\(file): the setting \(path.joined(separator: "."))"), "\(said)")
        }
    }

    /// What transformers 4.5x writes into files of CLIP, and what changes nothing.
    @Test func harmlessSettingsAreAccepted() throws {
        try withConfiguration(
            of: "transformers-gelu", file: "config.json",
            [(["_attn_implementation_autoset"], true), (["text_config", "eos_token_id"], 2)]
        ) { #expect(fault($0) == "") }
        try withConfiguration(
            of: "transformers-gelu", file: "preprocessor_config.json",
            [
                (["image_processor_type"], "CLIPImageProcessorFast"), (["size_divisor"], NSNull()),
                (["default_to_square"], false), (["do_pad"], NSNull()),
            ]
        ) { #expect(fault($0) == "") }
    }

    /// transformers 5 writes `processor_config.json`, which counts where both are there.
    @Test func imagesAsTransformers5DescribesThem() throws {
        let folder = LayoutTests.folder.appendingPathComponent("transformers-gelu")
        let images = try JSONSerialization.jsonObject(
            with: Data(contentsOf: folder.appendingPathComponent("preprocessor_config.json")))
        let expected = try Checkpoint(path: folder.path).configuration
        for isAlone in [true, false] {
            try withConfiguration(
                of: "transformers-gelu", file: "preprocessor_config.json",
                [(["image_mean"], [0.1, 0.2, 0.3])]
            ) { copy in
                let copy = URL(fileURLWithPath: copy)
                if isAlone {
                    try FileManager.default.removeItem(
                        at: copy.appendingPathComponent("preprocessor_config.json"))
                }
                let processor: [String: Any] = [
                    "image_processor": images, "processor_class": "CLIPProcessor",
                ]
                try JSONSerialization.data(withJSONObject: processor)
                    .write(to: copy.appendingPathComponent("processor_config.json"))
                #expect(try Checkpoint(path: copy.path).configuration == expected)
            }
        }
    }

    /// transformers would apply the adapter, and use the other tokenizer.
    @Test(arguments: [
        ("adapter_config.json", "{}", "holds adapter_config.json"),
        (
            "tokenizer_config.json", #"{"tokenizer_class": "BertTokenizer"}"#,
            "tokenizer_class = \"BertTokenizer\""
        ),
    ])
    func whatTransformersWouldReadBesideTheWeights(
        _ file: String, _ content: String, _ reason: String
    ) throws {
        try withConfiguration(of: "transformers-gelu", file: "config.json", []) { folder in
            try Data(content.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(file)"))
            #expect(fault(folder).contains(reason), "\(fault(folder))")
        }
    }

    /// The digests are those of the files that transformers makes of OpenAI's bpe_simple_vocab_16e6.txt.
    @Test func anotherVocabularyOfTheSameSizeIsRefused() throws {
        let spellings = Vocabulary().spellings.map { String(decoding: $0, as: UTF8.self) }
        func quoted(_ text: String) -> String {
            let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            return "\"\(escaped)\""
        }
        func list(_ texts: some Sequence<String>) -> String {
            "[\(texts.joined(separator: ","))]"
        }
        func vocabulary(_ spellings: [String]) -> String {
            "{\(spellings.enumerated().map { "\(quoted($1)):\($0)" }.joined(separator: ","))}"
        }
        let merges = (Vocabulary.firstMerge..<Vocabulary.firstMerge + Vocabulary.mergeCount).map {
            let pair = Vocabulary.pair(of: $0)
            return [spellings[pair.left], spellings[pair.right]]
        }
        let lines = merges.map { $0.joined(separator: " ") }
        let (mergesFile, vocabularyFile) = (
            "#version: 0.2\n\(lines.joined(separator: "\n"))\n", vocabulary(spellings)
        )
        #expect(
            try sha256(mergesFile)
                == "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a")
        #expect(
            try sha256(vocabularyFile)
                == "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363")
        func tokenizer(_ vocabulary: String, _ merges: [String]) -> String {
            #"{"model":{"type":"BPE","vocab":\#(vocabulary),"merges":\#(list(merges))},"version":"1.0"}"#
        }
        let older = tokenizer(vocabularyFile, lines.map(quoted))
        let newer = tokenizer(vocabularyFile, merges.map { list($0.map(quoted)) })
        var (swapped, other, fewer) = (spellings, lines, lines)
        swapped.swapAt(1000, 1001)
        other.swapAt(40_000, 40_001)
        fewer.removeLast()
        for (file, content, isOpenAI) in [
            ("merges.txt", mergesFile, true), ("vocab.json", vocabularyFile, true),
            ("merges.txt", mergesFile.replacingOccurrences(of: "\n", with: "\r\n"), true),
            ("tokenizer.json", older, true), ("tokenizer.json", newer, true),
            ("merges.txt", "#version: 0.2\n\(other.joined(separator: "\n"))\n", false),
            ("merges.txt", "#version: 0.2\n", false), ("vocab.json", vocabulary(swapped), false),
            ("vocab.json", "{}", false), ("vocab.json", "[", false),
            ("tokenizer.json", tokenizer(vocabularyFile, other.map(quoted)), false),
            ("tokenizer.json", tokenizer(vocabularyFile, fewer.map(quoted)), false),
            ("tokenizer.json", tokenizer(vocabulary(swapped), lines.map(quoted)), false),
        ] {
            try withConfiguration(of: "transformers-gelu", file: "config.json", []) { folder in
                try Data(content.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(file)"))
                let fault = fault(folder)
                #expect(
                    isOpenAI
                        ? fault == ""
                        : fault.contains("\(file): does not hold the vocabulary of OpenAI's CLIP"),
                    "\(file): \(fault)")
            }
        }
    }

    private func sha256(_ text: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
        let (input, output) = (Pipe(), Pipe())
        (process.standardInput, process.standardOutput) = (input, output)
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
        try input.fileHandleForWriting.close()
        let digest = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: digest.prefix(64), as: UTF8.self)
    }

    /// SigLIP was trained without a mask; OpenCLIP never asks for one.
    @Test func tokenizersThatMaskPaddingAreRefused() throws {
        for names in [["input_ids", "attention_mask"] as Any, NSNull()] {
            let change = [(path: ["model_input_names"], value: names as Any?)]
            try withConfiguration(
                of: "siglip2-transformers", file: "tokenizer_config.json", change
            ) { #expect(fault($0).contains("model_input_names"), "\(fault($0))") }
            try withConfiguration(
                of: "siglip2-open-clip", file: "tokenizer_config.json", change
            ) { #expect(fault($0) == "") }
        }
    }

    /// Python takes the last of two, other programs the first.
    @Test func namesThatAppearTwiceAreRefused() throws {
        try withConfiguration(of: "gelu", file: "open_clip_config.json", []) { folder in
            let url = URL(fileURLWithPath: "\(folder)/open_clip_config.json")
            let text = try String(contentsOf: url, encoding: .utf8)
            let twice = text.replacingOccurrences(
                of: "\"embed_dim\"",
                with: "\"quick_gelu\": true, \"quick_gelu\": false, \"embed_dim\"")
            #expect(twice != text)
            try Data(twice.utf8).write(to: url)
            #expect(fault(folder).contains("has a name twice"))
            try Data("version https://git-lfs.github.com/spec/v1\n".utf8).write(to: url)
            #expect(fault(folder).contains("open_clip_config.json: is a Git LFS pointer"))
        }
    }

    @Test func deviationsOfZeroAreRefused() throws {
        try withConfiguration(
            of: "gelu", file: "open_clip_config.json",
            [(["preprocess_cfg", "std"], [0.5, 0, 0.5])]
        ) { #expect(fault($0).contains("a standard deviation that is not above 0")) }
    }

    @Test func missingCompanionsAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("model-\(UUID().uuidString)")
        try FileManager.default.copyItem(
            at: LayoutTests.folder.appendingPathComponent("transformers-gelu"), to: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.removeItem(
            at: folder.appendingPathComponent("preprocessor_config.json"))
        #expect(fault(folder.path).contains("preprocessor_config.json: is missing"))
        try FileManager.default.removeItem(at: folder.appendingPathComponent("config.json"))
        #expect(fault(folder.path).contains("config.json and preprocessor_config.json beside it"))
        let weights = folder.appendingPathComponent("pytorch_model.bin")
        try FileManager.default.removeItem(at: weights)
        #expect(fault(folder.path).contains("a directory without a model"))
        try Data("{}".utf8).write(
            to: folder.appendingPathComponent("model.safetensors.index.json"))
        #expect(fault(folder.path).contains("a model in several files"))
    }

    // MARK: - Other files

    @Test(arguments: [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        ("<!DOCTYPE html>\n<html><body>404</body></html>", "a web page (HTML)"),
        ("\n  <html lang=en>", "a web page (HTML)"),
        ("GGUF\u{3}\u{0}\u{0}\u{0}rest", "a GGUF file"),
        ("\u{8}\u{8}\u{12}\u{7}pytorch", "an ONNX file"),
        (
            "{\"metadata\": {}, \"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"}}",
            "the index of a model in several files"
        ),
        ("{\"model_type\": \"clip\"}", "a JSON file"),
    ])
    func otherFilesAreNamed(_ content: String, _ what: String) throws {
        let said = try faultOfLoading(Array(content.utf8))
        #expect(said?.contains("is \(what)") == true, "\(said ?? "")")
    }

    @Test(
        arguments: [
            ([0x89, 0x48, 0x44, 0x46, 0x0D], "is an HDF5 file"),
            ([0x1F, 0x8B, 0x08, 0x00], "is compressed with gzip"),
        ] as [([UInt8], String)])
    func otherBinaryFilesAreNamed(_ start: [UInt8], _ what: String) throws {
        #expect(
            try faultOfLoading(start + [UInt8](repeating: 0, count: 600))?.contains(what) == true)
    }

    /// A copy that was padded to whole blocks is still the whole model.
    @Test(arguments: ["cuda.pt", "zip64.pt", "openclip.safetensors"])
    func trailingBytesDoNotMatter(_ name: String) throws {
        let bytes = try CheckpointFixtures.bytes(name)
        for count in [1, 511, 70_000] {
            #expect(
                try faultOfLoading(bytes + [UInt8](repeating: 0, count: count)) == nil,
                "\(count) bytes")
        }
    }
}
