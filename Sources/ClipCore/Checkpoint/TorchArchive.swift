/// The tensors of a PyTorch zip archive by dotted path: a TorchScript module as OpenAI publishes it,
/// or what `torch.save` writes (a state dict, a dictionary around one, or a whole module).
///
/// Format: `torch/csrc/jit/docs/serialization.md` in PyTorch; `data.pkl` holds the objects, and each
/// storage is an entry `data/KEY` beside it.
enum TorchArchive {
    /// OpenAI's pickles take about 40 kB, those of training checkpoints a few megabytes at most.
    private static let maximumPickle = 16 << 20

    static func read(
        _ bytes: UnsafeRawBufferPointer
    ) throws(CheckpointError) -> Checkpoint.Archive {
        let zip = try ZipArchive(bytes)
        guard
            let main = zip.entries.keys.filter({ $0.hasSuffix("/data.pkl") }).min(by: {
                // The shortest path: a TorchScript archive may carry further pickles of its own.
                ($0.utf8.count, $0) < ($1.utf8.count, $1)
            }), let pickleEntry = zip.entries[main]
        else {
            throw CheckpointError(
                "is a zip archive but holds no PyTorch model (no data.pkl, stored uncompressed)")
        }
        let root = String(main.dropLast("data.pkl".count))

        if let order = zip.entries[root + "byteorder"],
            bytes[try zip.range(of: order)].elementsEqual("big".utf8)
        {
            throw CheckpointError("was saved on a big-endian machine, which is not supported")
        }
        let pickleBytes = UnsafeRawBufferPointer(rebasing: bytes[try zip.range(of: pickleEntry)])
        guard pickleBytes.count <= maximumPickle else {
            throw CheckpointError(
                "is corrupt or hostile: its pickle is larger than any model needs")
        }
        guard ZipArchive.checksum(pickleBytes) == pickleEntry.checksum else {
            throw CheckpointError("is corrupt: the checksum of its pickle is wrong")
        }
        let pickle = try Pickle(pickleBytes)
        var walk = ModuleWalk(pickle: pickle, zip: zip, root: root)
        try walk.run()
        let isTorchScript = zip.entries.keys.contains {
            $0 == root + "constants.pkl" || $0.hasPrefix(root + "code/")
        }
        return Checkpoint.Archive(
            tensors: walk.tensors, isQuickGELU: isTorchScript && !hasOtherGELU(pickle))
    }

    /// Whether a TorchScript archive has an activation that OpenAI's has not: its classes keep the names
    /// of the modules that were traced, such as `GELU` or transformers' `GELUActivation`.
    private static func hasOtherGELU(_ pickle: Pickle) -> Bool {
        pickle.values.contains { value in
            guard case .global(_, let name) = value, let name = pickle.string(name) else {
                return false
            }
            return name != "QuickGELU" && name.uppercased().contains("GELU")
        }
    }
}

/// Walks the object tree of a pickle and collects tensors by dotted path.
private struct ModuleWalk {
    let pickle: Pickle
    let zip: ZipArchive
    let root: String
    var tensors: [String: TensorLayout] = [:]

    /// Objects may share children or contain themselves, so steps and depth are bounded.
    private static let maximumSteps = 200_000
    private static let maximumDepth = 64

    mutating func run() throws(CheckpointError) {
        var pending: [(reference: Pickle.Reference, path: String, depth: Int)] = [
            (pickle.root, "", 0)
        ]
        var steps = 0
        while let (reference, path, depth) = pending.popLast() {
            if let layout = try tensor(reference, path) {
                // Members are visited from the last to the first, and a later one replaces an
                // earlier one of the same name.
                if tensors[path] == nil { tensors[path] = layout }
                continue
            }
            guard depth < Self.maximumDepth else { continue }
            for (key, value) in pickle.members(reference) {
                steps += 1
                guard steps <= Self.maximumSteps else {
                    throw CheckpointError("is corrupt or hostile: it has more parts than any model")
                }
                guard let name = pickle.string(key) else { continue }
                // A module pickled whole keeps its parts in these; they are not part of the path.
                let isHolder = ["_modules", "_parameters", "_buffers"].contains(name)
                let below = isHolder ? path : path.isEmpty ? name : "\(path).\(name)"
                guard below.utf8.count <= 256 else { continue }
                pending.append((value, below, depth + 1))
            }
        }
    }

    /// The tensor that a value rebuilds, or nil when it is something else.
    private func tensor(
        _ reference: Pickle.Reference, _ path: String
    ) throws(CheckpointError) -> TensorLayout? {
        var reference = reference
        // A parameter wraps a tensor, once.
        if let object = pickle.object(reference),
            pickle.globalName(object.callee)?.hasPrefix("torch._utils._rebuild_parameter") == true,
            let inner = pickle.tuple(object.arguments)?.first
        {
            reference = inner
        }
        guard let object = pickle.object(reference),
            let callee = pickle.globalName(object.callee),
            callee.hasPrefix("torch._utils._rebuild_tensor")
        else { return nil }

        // storage, offset, size, stride, …; version 3 adds the dtype as the seventh.
        guard let arguments = pickle.tuple(object.arguments), arguments.count >= 4,
            case .persistent(let identification) = pickle[arguments[0]],
            let storage = pickle.tuple(identification), storage.count >= 5,
            let storageClass = pickle.globalName(storage[1]),
            let key = pickle.string(storage[2]),
            let offset = pickle.int(arguments[1]),
            let shape = sizes(arguments[2]), let strides = sizes(arguments[3])
        else { throw CheckpointError("is corrupt: the tensor \(quoted(path)) is damaged") }

        var className = storageClass.split(separator: ".").last.map(String.init) ?? ""
        var type = ElementType(storageClass: className)
        if className == "UntypedStorage", arguments.count >= 7,
            let name = pickle.globalName(arguments[6])
        {
            className = String(name.dropFirst("torch.".count))
            type = ElementType(torchName: className)
        }
        guard let type else {
            throw CheckpointError(
                "the tensor \(quoted(path)) has elements of an unsupported type (\(quoted(className)))"
            )
        }
        guard let entry = zip.entries["\(root)data/\(key)"] else {
            throw CheckpointError(
                "is corrupt: the data of the tensor \(quoted(path)) is missing or compressed")
        }
        let range = try zip.range(of: entry)
        let layout = try? TensorLayout(
            type: type, shape: shape, strides: strides, offset: offset, storage: range)
        guard let layout else {
            throw CheckpointError(
                "is corrupt: the tensor \(quoted(path)) reaches outside its storage")
        }
        return layout
    }

    private func sizes(_ reference: Pickle.Reference) -> [Int]? {
        guard let tuple = pickle.tuple(reference), tuple.count <= 8 else { return nil }
        let sizes = tuple.compactMap(pickle.int)
        return sizes.count == tuple.count ? sizes : nil
    }
}
