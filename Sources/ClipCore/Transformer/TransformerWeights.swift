import CKernels

/// Weights of one tower in fp32. Immutable once loaded, so threads share it.
///
/// A matrix is kept as upstream keeps it, `W: [out, in]` row-major, and used as `y = x Wᵀ + b`.
final class WeightBuffer: Sendable {
    private nonisolated(unsafe) var tensors: [PackedStorage] = []

    fileprivate func append(_ tensor: Tensor) throws(CheckpointError) -> UnsafePointer<Float> {
        let storage = PackedStorage(byteCount: 4 * tensor.count)
        let floats = storage.base.bindMemory(to: Float.self, capacity: tensor.count)
        try tensor.copy(to: UnsafeMutableBufferPointer(start: floats, count: tensor.count))
        tensors.append(storage)
        return UnsafePointer(floats)
    }
}

/// A layer norm (Ba et al. 2016).
struct NormWeights: @unchecked Sendable {
    /// `[width]`
    let weight: UnsafePointer<Float>
    /// `[width]`
    let bias: UnsafePointer<Float>
    /// Added to the variance.
    let epsilon: Float

    /// x, out: `[rows, width]`; `out` may be `x`.
    func callAsFunction(
        _ x: UnsafePointer<Float>, rows: Int, width: Int, to out: UnsafeMutablePointer<Float>
    ) {
        ck_layer_norm(x, rows, width, width, weight, bias, epsilon, out)
    }
}

/// A linear layer: `weight: [out, in]`, `bias: [out]`, or none.
struct LinearWeights: @unchecked Sendable {
    /// Where the matrix is and how its elements are stored.
    enum Matrix {
        case float(UnsafePointer<Float>)
        /// fp32, packed when it was loaded.
        case packed(PackedMatrix)
        /// fp16 in the mapped file, not aligned. For few rows, reading two bytes a weight once beats
        /// widening all of them first. A product is spread over `threads`.
        case half(UnsafeRawPointer, threads: Int)
        /// Quantised when it was loaded.
        case int8(Int8Matrix)
    }

    let weight: Matrix
    let bias: UnsafePointer<Float>?
    let inputs: Int
    let outputs: Int

    /// The layer that gives some of the outputs.
    func outputs(_ range: Range<Int>) -> LinearWeights {
        let offset = range.lowerBound * inputs
        let part: Matrix =
            switch weight {
            case .float(let pointer): .float(pointer + offset)
            case .packed(let matrix): .packed(matrix.outputs(range))
            case .half(let pointer, let threads): .half(pointer + 2 * offset, threads: threads)
            case .int8(let matrix): .int8(matrix.outputs(range))
            }
        return LinearWeights(
            weight: part, bias: bias.map { $0 + range.lowerBound }, inputs: inputs,
            outputs: range.count)
    }
}

/// One residual attention block; the names are upstream's.
struct BlockWeights: Sendable {
    let ln1: NormWeights
    /// Queries, keys and values stacked: `[3 × width, width]`.
    let inProj: LinearWeights
    /// `[width, width]`
    let outProj: LinearWeights
    let ln2: NormWeights
    /// `[hidden width, width]`
    let cFc: LinearWeights
    /// `[width, hidden width]`
    let cProj: LinearWeights
}

/// How the matrices of linear layers are kept.
enum MatrixStorage {
    case float
    /// fp16 stays in the mapped file; other types become fp32.
    case half(threads: Int)
    case integers(ck_int8_kind)
}

/// Loads the tensors of a tower.
struct WeightLoader {
    let buffer = WeightBuffer()
    private let tensors: [String: Tensor]
    private let storage: MatrixStorage
    private let epsilon: Float

    /// Checks that all tensors are there before memory is allocated: the sizes that a file states count
    /// only when it has the data.
    /// - Parameters:
    ///   - shapes: every tensor that will be loaded, with its shape.
    ///   - epsilon: of the tower's layer norms.
    ///   - storage: how matrices of linear layers are kept. For `.half` the checkpoint must outlive the
    ///     weights.
    /// - Throws: ``CheckpointError`` when one is missing or misshapen.
    init(
        _ checkpoint: Checkpoint, _ shapes: [(name: String, shape: [Int])], epsilon: Float,
        storage: MatrixStorage
    ) throws(CheckpointError) {
        var tensors: [String: Tensor] = [:]
        for (name, shape) in shapes {
            tensors[name] = try checkpoint.tensor(name, shape: shape)
        }
        self.tensors = tensors
        self.epsilon = epsilon
        self.storage = storage
    }

    /// Loads one of the tensors that were asked for.
    func tensor(_ name: String) throws(CheckpointError) -> UnsafePointer<Float> {
        try buffer.append(stored(name))
    }

    private func stored(_ name: String) -> Tensor {
        guard let tensor = tensors[name] else { preconditionFailure("\(name) was not asked for") }
        return tensor
    }

    func norm(_ name: String) throws(CheckpointError) -> NormWeights {
        NormWeights(
            weight: try tensor("\(name).weight"), bias: try tensor("\(name).bias"),
            epsilon: epsilon)
    }

    /// - Parameters:
    ///   - bias: its name, nil for a layer without one.
    ///   - isWide: whether its activations get 16 bits, where they are integers.
    ///   - slices: into how many equal parts its outputs are taken apart.
    func linear(
        _ weight: String, _ bias: String?, isWide: Bool = false, slices: Int = 1
    ) throws(CheckpointError) -> LinearWeights {
        let source = stored(weight)
        let outputs = source.shape[0]
        let inputs = source.count / outputs
        return LinearWeights(
            weight: try matrix(
                source, inputs: inputs, outputs: outputs, isWide: isWide, slices: slices),
            bias: try bias.map(tensor), inputs: inputs, outputs: outputs)
    }

    private func matrix(
        _ source: Tensor, inputs: Int, outputs: Int, isWide: Bool, slices: Int
    ) throws(CheckpointError) -> LinearWeights.Matrix {
        if case .half(let threads) = storage, let halves = source.mappedHalves {
            return .half(halves, threads: threads)
        }
        // What is packed need not stay.
        let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: inputs * outputs)
        defer { floats.deallocate() }
        try source.copy(to: floats)
        let weight = floats.baseAddress!
        if case .integers(let kind) = storage,
            Int8Matrix.canHold(inputs: inputs, outputs: outputs, slices: slices)
        {
            return .int8(
                Int8Matrix(
                    weight, inputs: inputs, outputs: outputs, kind: isWide ? CK_INT8_WIDE : kind))
        }
        if let matrix = PackedMatrix(weight, inputs: inputs, outputs: outputs, slices: slices) {
            return .packed(matrix)
        }
        return .float(try buffer.append(source))
    }

    /// All blocks of a tower.
    /// - Parameter prefix: `visual.transformer` or `transformer`.
    func blocks(
        _ prefix: String, _ tower: ClipConfiguration.Transformer
    ) throws(CheckpointError) -> [BlockWeights] {
        var blocks: [BlockWeights] = []
        for layer in 0..<tower.layers {
            let name = "\(prefix).resblocks.\(layer)"
            blocks.append(try block(name, ln1: "\(name).ln_1", tower))
        }
        return blocks
    }

    /// - Parameters:
    ///   - name: what precedes the names of its tensors.
    ///   - ln1: the name of the layer norm before its attention.
    func block(
        _ name: String, ln1: String, _ tower: ClipConfiguration.Transformer
    ) throws(CheckpointError) -> BlockWeights {
        let ln1 = try norm(ln1)
        let ln2 = try norm("\(name).ln_2")
        let isWide1 = Outliers.areBehind(weight: ln1.weight, bias: ln1.bias, width: tower.width)
        let isWide2 = Outliers.areBehind(weight: ln2.weight, bias: ln2.bias, width: tower.width)
        func linear(_ layer: String, isWide: Bool) throws(CheckpointError) -> LinearWeights {
            try self.linear("\(name).\(layer).weight", "\(name).\(layer).bias", isWide: isWide)
        }
        return BlockWeights(
            ln1: ln1,
            inProj: try self.linear(
                "\(name).attn.in_proj_weight", "\(name).attn.in_proj_bias", isWide: isWide1,
                slices: 3),
            outProj: try linear("attn.out_proj", isWide: isWide1),
            ln2: ln2,
            cFc: try linear("mlp.c_fc", isWide: isWide2),
            cProj: try linear("mlp.c_proj", isWide: isWide2))
    }
}
