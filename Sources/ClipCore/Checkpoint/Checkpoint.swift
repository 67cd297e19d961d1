/// A model file: its tensors by name, still on disk.
///
/// Reads OpenAI's TorchScript archives as they are, `torch.save` archives and safetensors. The file
/// is mapped, so opening costs a few milliseconds and only tensors that are asked for are read.
///
///     let checkpoint = try Checkpoint(path: "models/ViT-B-32.pt")
///     let encoder = try TextEncoder(checkpoint)
public struct Checkpoint: Sendable {
    /// The file as the caller named it.
    public var path: String { file.path }
    /// Sizes of the model, derived from tensor shapes.
    public let configuration: ClipConfiguration

    private let file: MappedFile
    private let tensors: [String: TensorLayout]

    /// - Throws: ``CheckpointError``, one sentence naming the file and the fault: it cannot be opened,
    ///   is truncated, corrupt or hostile, or holds another kind of model.
    public init(path: String) throws(CheckpointError) {
        file = try MappedFile(path: path)
        do {
            tensors = Self.unprefixed(try Self.readTensors(file.bytes))
            configuration = try ClipConfiguration(tensors.mapValues(\.shape))
            try Self.checkExpansion(tensors, fileSize: file.bytes.count)
        } catch {
            throw CheckpointError(file: path, fault: error.message)
        }
    }

    private static func readTensors(
        _ bytes: UnsafeRawBufferPointer
    ) throws(CheckpointFault) -> [String: TensorLayout] {
        if ZipArchive.recognises(bytes) { return try TorchArchive.tensors(bytes) }
        if SafeTensors.recognises(bytes) { return try SafeTensors.tensors(bytes) }
        if bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) {
            throw CheckpointFault(
                "is in the format that torch.save wrote before PyTorch 1.6; load and save it again with a newer PyTorch"
            )
        }
        throw CheckpointFault(
            "is not a model file: neither a PyTorch archive nor safetensors")
    }

    /// Training checkpoints keep the model under a name (`state_dict`, `model`) or a wrapper's
    /// prefix (`module` for data parallel training); the part that holds the model is kept.
    private static func unprefixed(
        _ tensors: [String: TensorLayout]
    ) -> [String: TensorLayout] {
        let marker = "visual.conv1.weight"
        guard tensors[marker] == nil,
            let found = tensors.keys.filter({ $0.hasSuffix("." + marker) }).min(by: {
                ($0.utf8.count, $0) < ($1.utf8.count, $1)
            })
        else { return tensors }
        let prefix = found.dropLast(marker.count)
        var kept: [String: TensorLayout] = [:]
        for (name, layout) in tensors where name.hasPrefix(prefix) {
            kept[String(name.dropFirst(prefix.count))] = layout
        }
        return kept
    }

    /// Strides of zero let a tiny file claim enormous tensors. Memory must stay in proportion to the
    /// file: real models have at most one element for each byte. Views may overlap a little beyond
    /// that, as they do in small models made for tests.
    private static let maximumOverlap = 32 << 20

    private static func checkExpansion(
        _ tensors: [String: TensorLayout], fileSize: Int
    ) throws(CheckpointFault) {
        var total = 0
        for (name, layout) in tensors {
            let (sum, overflow) = total.addingReportingOverflow(layout.count)
            guard !overflow, sum <= fileSize + maximumOverlap else {
                throw CheckpointFault(
                    "is corrupt or hostile: the tensor \(quoted(name)) claims more elements than the file can hold"
                )
            }
            total = sum
        }
    }

    /// A tensor that must be there, with this shape.
    package func tensor(
        _ name: String, shape: [Int]
    ) throws(CheckpointError) -> Tensor {
        guard let layout = tensors[name] else {
            throw CheckpointError(file: path, fault: "has no tensor \(quoted(name))")
        }
        guard layout.shape == shape else {
            throw CheckpointError(
                file: path,
                fault: "the tensor \"\(name)\" has the shape \(layout.shape), expected \(shape)")
        }
        return Tensor(name: name, layout: layout, file: file)
    }

    /// Calls `body` for each tensor of numbers that are trained (fractions, at least one dimension),
    /// ordered by name, with a few of its elements; see ``Tensor/sample(limit:)``.
    package func forEachSample(
        limit: Int, _ body: (_ name: String, _ shape: [Int], _ elements: [Float]) -> Void
    ) {
        for (name, layout) in tensors.sorted(by: { $0.key < $1.key })
        where layout.type.isFraction && !layout.shape.isEmpty {
            let tensor = Tensor(name: name, layout: layout, file: file)
            body(name, layout.shape, tensor.sample(limit: limit))
        }
    }

    /// Names of all tensors, for messages and tests.
    package var tensorNames: [String] { tensors.keys.sorted() }

    /// Layout of a tensor, for tests.
    package func layout(_ name: String) -> TensorLayout? { tensors[name] }
}
