import CKernels

/// Working memory of one tower for one thread, of a fixed size. Reused from call to call and never
/// shared between threads.
final class TransformerScratch {
    /// Residual stream, `[rows, width]`.
    let x: UnsafeMutablePointer<Float>
    /// Layer norm's output and the attention's, `[rows, width]`.
    let normed: UnsafeMutablePointer<Float>
    /// Queries, keys and values, `[rows, 3 × width]`.
    let qkv: UnsafeMutablePointer<Float>
    /// One head's keys, values and scores, as the kernel keeps them.
    let attention: UnsafeMutablePointer<Float>
    /// The MLP's hidden layer, `[rowsAtOnce, hidden width]`; also the pooled tokens' queries.
    let hidden: UnsafeMutablePointer<Float>

    /// Room for quantised activations, if it was asked for.
    let int8: Int8Scratch?

    let rows: Int
    /// Rows that go through a block's second half together: as many as keep their hidden layer in the
    /// caches, or all where BLAS multiplies.
    let rowsAtOnce: Int
    private let storage: PackedStorage

    /// - Parameters:
    ///   - rows: tokens of all sequences together.
    ///   - length: tokens of one sequence.
    ///   - int8: for int8 matrices; as wide as the hidden layer.
    init(
        _ tower: ClipConfiguration.Transformer, rows: Int, length: Int,
        int8: Int8Scratch? = nil
    ) {
        self.rows = rows
        self.int8 = int8
        let isPacked = int8 != nil || InstructionSet.inUse.hasFloatKernels
        rowsAtOnce = isPacked ? min(rows, PackedMatrix.rowsAtOnce) : rows
        let width = tower.width
        let counts = [
            rows * width, rows * width, rows * 3 * width,
            ck_attention_scratch(length, tower.headWidth),
            max(rowsAtOnce * tower.hiddenWidth, rows / length * width),
        ].map { ($0 + 15) / 16 * 16 }
        storage = PackedStorage(byteCount: counts.reduce(0, +) * 4)
        var next = storage.base
        let parts = counts.map { count in
            defer { next += count * 4 }
            return next.bindMemory(to: Float.self, capacity: count)
        }
        (x, normed, qkv, attention, hidden) = (parts[0], parts[1], parts[2], parts[3], parts[4])
    }
}
