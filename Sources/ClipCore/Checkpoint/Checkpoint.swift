import FoundationEssentials

/// A model on disk: its tensors by name, and the description of its architecture.
///
/// Reads OpenAI's TorchScript archives as they are, `torch.save` archives and safetensors, with the
/// tensor names of OpenAI, OpenCLIP or Hugging Face's transformers. The file is mapped, so opening
/// costs a few milliseconds and only tensors that are asked for are read.
///
///     let checkpoint = try Checkpoint(path: "models/ViT-B-32.pt")
///     let encoder = try TextEncoder(checkpoint)
public struct Checkpoint: Sendable {
    /// The file or directory as the caller named it.
    public let path: String
    public let configuration: ClipConfiguration

    private let file: MappedFile
    private let sentencePiece: SentencePieceTokenizer?
    private let markers: ClipTokenizer.Markers
    /// By OpenAI's names.
    private let tensors: [String: [TensorLayout]]

    /// - Parameters:
    ///   - path: a file of weights, or a directory with one and its configuration.
    ///   - activation: for weights whose activation nothing else tells; see MODEL.md, "Which models".
    /// - Throws: ``CheckpointError``, one sentence naming the file and the fault: it cannot be opened,
    ///   is truncated, corrupt or hostile, or holds a model that is not understood completely.
    public init(path: String, activation: Activation? = nil) throws(CheckpointError) {
        self.path = path
        var weights = path
        do throws(CheckpointError) {
            weights = try Self.weightsFile(path)
            file = try MappedFile(path: weights)
            let archive = try Self.readTensors(file.bytes)
            try Self.checkExpansion(archive.tensors, fileSize: file.bytes.count)
            let model = try ModelTensors(archive.tensors)
            let folder = Self.folder(weights)
            let description = try Self.describe(
                model, archive.isQuickGELU, folder: folder, activation: activation)
            configuration = try ClipConfiguration(
                model.tensors.mapValues(Tensor.shape), description)
            try Self.checkTensors(model.tensors, configuration)
            tensors = model.tensors
            switch description.tokenizer {
            case .clip(let markers):
                self.markers = markers
                sentencePiece = nil
            case .files(let name, let cleaning):
                markers = .openAI
                let tokenizer = try SentencePieceTokenizer(folder: folder, name: name, cleaning)
                guard tokenizer.highestID < configuration.vocabularySize else {
                    throw CheckpointError(
                        "has a vocabulary of \(configuration.vocabularySize) tokens, but its tokenizer gives ids up to \(tokenizer.highestID)"
                    )
                }
                sentencePiece = tokenizer
            }
        } catch {
            throw error.naming(weights)
        }
    }

    /// The tokenizer that the model was trained with.
    /// - Throws: ``CheckpointError`` when the model's vocabulary is not that of CLIP's tokenizer.
    public func tokenizer() throws(CheckpointError) -> any Tokenizer {
        if let sentencePiece { return sentencePiece }
        guard configuration.vocabularySize == ClipTokenizer.vocabularySize else {
            throw CheckpointError(
                file: path,
                fault:
                    "has a vocabulary of \(configuration.vocabularySize) tokens, but CLIP's tokenizer has \(ClipTokenizer.vocabularySize)"
            )
        }
        return ClipTokenizer(markers)
    }

    /// What tensors do not show and yet changes embeddings, as a text that is the same for the same
    /// model; nil for OpenAI's rules.
    public var deviations: String? {
        guard let sentencePiece else { return configuration.deviations }
        return "\(configuration.deviations ?? "");\(sentencePiece.summary)"
    }

    /// The folder of a file of weights.
    private static func folder(_ weights: String) -> String {
        guard let slash = weights.lastIndex(of: "/") else { return "." }
        return slash == weights.startIndex ? "/" : String(weights[..<slash])
    }

    // MARK: - Opening

    /// The weights that a directory holds, by the names under which OpenCLIP and transformers publish
    /// them.
    private static func weightsFile(_ path: String) throws(CheckpointError) -> String {
        var isDirectory = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        guard exists, isDirectory else { return path }
        func has(_ name: String) -> Bool {
            FileManager.default.fileExists(atPath: "\(path)/\(name)")
        }
        let openCLIP = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        let transformers = ["model.safetensors", "pytorch_model.bin"]
        let names =
            has(ModelDescription.openCLIPFile) ? openCLIP + transformers : transformers + openCLIP
        if let name = names.first(where: has) { return "\(path)/\(name)" }
        if let name = transformers.first(where: { has($0 + ".index.json") }) {
            throw CheckpointError(
                "holds a model in several files (\(name).index.json), which is not supported; save it in one"
            )
        }
        if has(ModelDescription.adapterFile) {
            throw CheckpointError(
                "holds an adapter (LoRA) without its model; merge it into the model")
        }
        throw CheckpointError(
            "is a directory without a model: none of \(names.joined(separator: ", ")) is there; name the file of weights instead"
        )
    }

    /// What a file of weights holds.
    struct Archive {
        var tensors: [String: TensorLayout]
        /// Whether it is a TorchScript archive, as OpenAI's are, without another activation than theirs.
        var isQuickGELU = false
    }

    private static func readTensors(
        _ bytes: UnsafeRawBufferPointer
    ) throws(CheckpointError) -> Archive {
        if ZipArchive.recognises(bytes) { return try TorchArchive.read(bytes) }
        if let what = OtherFile.describe(bytes) { throw CheckpointError(what) }
        if SafeTensors.recognises(bytes) {
            return Archive(tensors: try SafeTensors.tensors(bytes))
        }
        throw CheckpointError("is not a model file: neither a PyTorch archive nor safetensors")
    }

    /// Finds out what the tensors do not show: from the configuration beside the weights, from the kind
    /// of archive, or from what the caller says. Nothing is guessed.
    private static func describe(
        _ model: ModelTensors, _ isQuickGELU: Bool, folder: String, activation: Activation?
    ) throws(CheckpointError) -> ModelDescription {
        func checked(_ description: ModelDescription) throws(CheckpointError) -> ModelDescription {
            guard let activation,
                activation != description.vision.activation
                    || activation != description.text.activation
            else { return description }
            throw CheckpointError(
                "was trained with \(description.vision.activation.rawValue), as \(description.file ?? "its format") shows, but CLIP_ACTIVATION says \(activation.rawValue); unset it"
            )
        }
        if isQuickGELU, model.layout == .openAI, model.architecture == .clip {
            return try checked(.openAI)
        }
        let isHuggingFace = model.layout == .huggingFace
        let found =
            isHuggingFace
            ? try ModelDescription(transformers: folder)
            : try ModelDescription(openCLIP: "\(folder)/\(ModelDescription.openCLIPFile)")
        if let found {
            guard found.architecture == model.architecture else {
                throw CheckpointError(
                    "holds a \(model.architecture.name) model, but \(found.file ?? "") beside it describes a \(found.architecture.name) model"
                )
            }
            return try checked(found)
        }
        let companions =
            isHuggingFace
            ? "config.json and preprocessor_config.json" : "open_clip_config.json"
        guard model.architecture == .clip else {
            throw CheckpointError(
                "is a SigLIP model; put its \(companions) and its tokenizer's files beside it"
            )
        }
        // OpenAI's archives state these; OpenCLIP's files do not.
        let scalars = ["input_resolution", "context_length", "vocab_size"]
        if scalars.allSatisfy({ model.tensors[$0] != nil }) { return try checked(.openAI) }
        if let activation { return ModelDescription(activation: activation) }
        throw CheckpointError(
            "does not say whether it was trained with QuickGELU (OpenAI, MetaCLIP, DFN) or GELU (LAION, DataComp), and with the wrong one every embedding is wrong; put its \(companions) beside it, or set CLIP_ACTIVATION to quick_gelu or gelu"
        )
    }

    /// Every tensor of the model must be known, and every tensor that is needed must be there.
    private static func checkTensors(
        _ tensors: [String: [TensorLayout]], _ configuration: ClipConfiguration
    ) throws(CheckpointError) {
        let needed = configuration.visionTensors + configuration.textTensors
        let names = Set(needed.map(\.name))
        // Names what there is too much of first: it tells what kind of model this is.
        let unknown = tensors.keys.filter { !names.contains($0) && !ModelTensors.isIgnored($0) }
        if let name = unknown.min() { throw ModelTensors.unknown(name) }
        for (name, shape) in needed {
            try check(tensors[name], name, shape)
            guard tensors[name]?.allSatisfy(\.type.isFraction) == true else {
                throw CheckpointError(
                    "the tensor \"\(name)\" holds integers; quantised weights are not supported")
            }
        }
    }

    private static func check(
        _ parts: [TensorLayout]?, _ name: String, _ shape: [Int]
    ) throws(CheckpointError) {
        guard let parts else { throw CheckpointError("has no tensor \(quoted(name))") }
        let found = Tensor.shape(of: parts)
        guard found == shape else {
            throw CheckpointError(
                "the tensor \"\(name)\" has the shape \(found), expected \(shape)")
        }
    }

    /// Strides of zero let a tiny file claim enormous tensors. Memory must stay in proportion to the
    /// file: real models have at most one element for each byte. Views may overlap a little beyond
    /// that, as they do in small models made for tests.
    private static let maximumOverlap = 32 << 20

    private static func checkExpansion(
        _ tensors: [String: TensorLayout], fileSize: Int
    ) throws(CheckpointError) {
        var total = 0
        for (name, layout) in tensors {
            let (sum, overflow) = total.addingReportingOverflow(layout.count)
            guard !overflow, sum <= fileSize + maximumOverlap else {
                throw CheckpointError(
                    "is corrupt or hostile: the tensor \(quoted(name)) claims more elements than the file can hold"
                )
            }
            total = sum
        }
    }

    // MARK: - Tensors

    /// A tensor that must be there, with this shape.
    package func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> Tensor {
        do {
            try Self.check(tensors[name], name, shape)
        } catch {
            throw error.naming(path)
        }
        return Tensor(name: name, parts: tensors[name]!, file: file)
    }

    /// Calls `body` for each tensor of numbers that are trained (fractions, at least one dimension),
    /// ordered by name, with a few of its elements; see ``Tensor/sample(limit:)``.
    package func forEachSample(
        limit: Int, _ body: (_ name: String, _ shape: [Int], _ elements: [Float]) -> Void
    ) {
        for (name, parts) in tensors.sorted(by: { $0.key < $1.key })
        where parts[0].type.isFraction && !parts[0].shape.isEmpty {
            let tensor = Tensor(name: name, parts: parts, file: file)
            body(name, tensor.shape, tensor.sample(limit: limit))
        }
    }

    /// A tensor of any shape and type, for tests.
    package func tensor(_ name: String) -> Tensor? {
        tensors[name].map { Tensor(name: name, parts: $0, file: file) }
    }
}
