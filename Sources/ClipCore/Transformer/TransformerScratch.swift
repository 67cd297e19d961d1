/// Working memory of one tower for one thread, of a fixed size. Reused from call to call and never
/// shared between threads.
final class TransformerScratch {
    /// Residual stream, `[rows, width]`.
    let x: UnsafeMutablePointer<Float>
    /// Layer norm's output and the attention's, `[rows, width]`.
    let normed: UnsafeMutablePointer<Float>
    /// Queries, keys and values, `[rows, 3 × width]`.
    let qkv: UnsafeMutablePointer<Float>
    /// One head's attention scores, `[length, length]`.
    let scores: UnsafeMutablePointer<Float>
    /// The MLP's hidden layer, `[rows, 4 × width]`.
    let hidden: UnsafeMutablePointer<Float>

    /// Room for one matrix in fp32, `[4 × width, width]`, if it was asked for.
    let panel: UnsafeMutablePointer<Float>?

    /// Room for quantised activations, if it was asked for.
    let int8: Int8Scratch?

    let rows: Int
    private let storage: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - rows: tokens of all sequences together.
    ///   - length: tokens of one sequence.
    ///   - hasPanel: whether fp16 matrices will have to be widened.
    ///   - int8: for int8 matrices; at least as many rows, as wide as the hidden layer.
    init(
        _ tower: ClipConfiguration.Transformer, rows: Int, length: Int, hasPanel: Bool = false,
        int8: Int8Scratch? = nil
    ) {
        self.rows = rows
        self.int8 = int8
        let width = tower.width
        let counts = [
            rows * width, rows * width, rows * 3 * width, length * length,
            rows * tower.hiddenWidth, hasPanel ? tower.hiddenWidth * width : 0,
        ].map { ($0 + 15) / 16 * 16 }
        let base = UnsafeMutableRawPointer.allocate(
            byteCount: counts.reduce(0, +) * 4, alignment: 64)
        var offset = 0
        let parts = counts.map { count in
            defer { offset += count * 4 }
            return (base + offset).bindMemory(to: Float.self, capacity: count)
        }
        panel = hasPanel ? parts[5] : nil
        storage = base
        (x, normed, qkv, scores, hidden) = (parts[0], parts[1], parts[2], parts[3], parts[4])
    }

    deinit {
        storage.deallocate()
    }
}
