/// Weights of one tower in fp32, in one allocation. Immutable once loaded, so threads share it.
///
/// A matrix is kept as upstream keeps it, `W: [out, in]` row-major, and used as `y = x Wᵀ + b`.
final class WeightBuffer: Sendable {
    private nonisolated(unsafe) let storage: UnsafeMutableBufferPointer<Float>
    private nonisolated(unsafe) var used = 0

    /// - Parameter count: fp32 elements.
    init(count: Int) {
        // 64 bytes: a cache line, and the widest SIMD register.
        let raw = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(count, 1) * 4, alignment: 64)
        storage = raw.bindMemory(to: Float.self)
    }

    deinit {
        storage.deallocate()
    }

    /// Loads a tensor behind those loaded before.
    fileprivate func append(_ tensor: Tensor) throws(CheckpointError) -> UnsafePointer<Float> {
        let count = tensor.layout.count
        precondition(used + count <= storage.count)
        let part = UnsafeMutableBufferPointer(rebasing: storage[used..<used + count])
        try tensor.copy(to: part)
        // The next tensor starts on a cache line again.
        used += (count + 15) / 16 * 16
        return UnsafePointer(part.baseAddress!)
    }
}

/// Scale and shift of a layer norm, `[width]` each.
struct NormWeights: @unchecked Sendable {
    let weight: UnsafePointer<Float>
    let bias: UnsafePointer<Float>
}

/// A linear layer: `weight: [out, in]`, `bias: [out]`.
struct LinearWeights: @unchecked Sendable {
    let weight: UnsafePointer<Float>
    let bias: UnsafePointer<Float>
    let inputs: Int
    let outputs: Int
}

/// One residual attention block; the names are upstream's.
struct BlockWeights: Sendable {
    let ln1: NormWeights
    /// Queries, keys and values stacked: `[3 × width, width]`.
    let inProjection: LinearWeights
    let outProjection: LinearWeights
    let ln2: NormWeights
    let expansion: LinearWeights
    let contraction: LinearWeights
}

/// Loads the tensors of a tower in order into one buffer.
struct WeightLoader {
    let checkpoint: Checkpoint
    let buffer: WeightBuffer

    /// - Parameter names: every tensor that will be loaded, with its shape.
    init(_ checkpoint: Checkpoint, capacity: Int) {
        self.checkpoint = checkpoint
        buffer = WeightBuffer(count: capacity)
    }

    func tensor(_ name: String, _ shape: [Int]) throws(CheckpointError) -> UnsafePointer<Float> {
        try buffer.append(try checkpoint.tensor(name, shape: shape))
    }

    func norm(_ name: String, width: Int) throws(CheckpointError) -> NormWeights {
        NormWeights(
            weight: try tensor("\(name).weight", [width]),
            bias: try tensor("\(name).bias", [width]))
    }

    func linear(
        _ weight: String, _ bias: String, inputs: Int, outputs: Int
    ) throws(CheckpointError) -> LinearWeights {
        LinearWeights(
            weight: try tensor(weight, [outputs, inputs]), bias: try tensor(bias, [outputs]),
            inputs: inputs, outputs: outputs)
    }

    /// All blocks of a tower.
    /// - Parameter prefix: `visual.transformer` or `transformer`.
    func blocks(
        _ prefix: String, _ tower: ClipConfiguration.Transformer
    ) throws(CheckpointError) -> [BlockWeights] {
        let width = tower.width
        var blocks: [BlockWeights] = []
        for layer in 0..<tower.layers {
            let block = "\(prefix).resblocks.\(layer)"
            blocks.append(
                BlockWeights(
                    ln1: try norm("\(block).ln_1", width: width),
                    inProjection: try linear(
                        "\(block).attn.in_proj_weight", "\(block).attn.in_proj_bias",
                        inputs: width, outputs: 3 * width),
                    outProjection: try linear(
                        "\(block).attn.out_proj.weight", "\(block).attn.out_proj.bias",
                        inputs: width, outputs: width),
                    ln2: try norm("\(block).ln_2", width: width),
                    expansion: try linear(
                        "\(block).mlp.c_fc.weight", "\(block).mlp.c_fc.bias",
                        inputs: width, outputs: tower.hiddenWidth),
                    contraction: try linear(
                        "\(block).mlp.c_proj.weight", "\(block).mlp.c_proj.bias",
                        inputs: tower.hiddenWidth, outputs: width)))
        }
        return blocks
    }

    /// Elements that a tower's blocks and further tensors of the given sizes take in the buffer.
    static func capacity(_ tower: ClipConfiguration.Transformer, others: [Int]) -> Int {
        let width = tower.width
        let hidden = tower.hiddenWidth
        let block =
            [3 * width * width, 3 * width, width * width, hidden * width, hidden, hidden * width]
            + [Int](repeating: width, count: 6)
        let padded = { (sizes: [Int]) in sizes.reduce(0) { $0 + ($1 + 15) / 16 * 16 } }
        return tower.layers * padded(block) + padded(others)
    }
}
