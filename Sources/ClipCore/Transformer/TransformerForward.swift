import CKernels

/// The residual attention blocks of one tower, as upstream's `clip.model.Transformer`.
///
///     x = x + attention(ln_1(x))
///     x = x + mlp(ln_2(x)),  mlp(v) = c_proj(activation(c_fc(v)))
///
/// Of each sequence's result only one token is pooled (the class token of a picture, the end token of a
/// text), so the last block computes queries, attention and MLP for that token alone; keys and values
/// are needed of all. Nothing else can tell the difference.
enum TransformerForward {
    /// Runs all blocks on `scratch.x`.
    ///
    /// - Parameters:
    ///   - sequences: independent sequences, one after another in `x`.
    ///   - length: tokens of each sequence; x: `[sequences × length, width]`.
    ///   - pooled: the token of each sequence whose result is wanted. With `causal`, the last one.
    ///   - causal: whether a token sees only itself and those before it.
    /// - Returns: in `scratch.x`, the pooled tokens: `[sequences, width]`.
    static func run(
        _ blocks: [BlockWeights], _ tower: ClipConfiguration.Transformer,
        sequences: Int, length: Int, pooled: Int, causal: Bool, _ scratch: TransformerScratch
    ) {
        let rows = sequences * length
        precondition(rows <= scratch.rows)
        precondition(causal ? pooled == length - 1 : (0..<length).contains(pooled))
        for block in blocks.dropLast() {
            GEMM.linear(
                norm: block.ln1, scratch.x, rows: rows, block.inProj, normed: scratch.normed,
                to: scratch.qkv, panel: scratch.panel, int8: scratch.int8)
            attention(tower, sequences: sequences, length: length, causal: causal, scratch)
            finish(block, tower, rows: rows, scratch)
        }
        if let last = blocks.last {
            runLast(last, tower, sequences: sequences, length: length, pooled: pooled, scratch)
        }
    }

    /// The second half of a block, from the attention's output in `scratch.normed`: output
    /// projection, residual, MLP, residual. x: `[rows, width]`
    private static func finish(
        _ block: BlockWeights, _ tower: ClipConfiguration.Transformer, rows: Int,
        _ scratch: TransformerScratch
    ) {
        for start in stride(from: 0, to: rows, by: scratch.rowsAtOnce) {
            let count = min(scratch.rowsAtOnce, rows - start)
            let x = scratch.x + start * tower.width
            let normed = scratch.normed + start * tower.width
            GEMM.linear(
                normed, rows: count, block.outProj, to: x, epilogue: .add, panel: scratch.panel,
                int8: scratch.int8)
            GEMM.linear(
                norm: block.ln2, x, rows: count, block.cFc, normed: normed,
                to: scratch.hidden, epilogue: .activate(tower.activation), panel: scratch.panel,
                int8: scratch.int8)
            GEMM.linear(
                scratch.hidden, rows: count, block.cProj, to: x, epilogue: .add,
                panel: scratch.panel, int8: scratch.int8)
        }
    }

    /// The last block, for the pooled tokens alone; leaves them in `scratch.x`, `[sequences, width]`.
    private static func runLast(
        _ block: BlockWeights, _ tower: ClipConfiguration.Transformer,
        sequences: Int, length: Int, pooled: Int, _ scratch: TransformerScratch
    ) {
        let rows = sequences * length
        let width = tower.width
        let queryLayer = block.inProj.outputs(0..<width)
        let keyValueLayer = block.inProj.outputs(width..<3 * width)
        // Keys and values of all tokens, [rows, 2 × width].
        GEMM.linear(
            norm: block.ln1, scratch.x, rows: rows, keyValueLayer, normed: scratch.normed,
            to: scratch.qkv, panel: scratch.panel, int8: scratch.int8)
        // The pooled rows move to the front; a row never lands on one that is still to move.
        for sequence in 0..<sequences {
            let source = (sequence * length + pooled) * width
            (scratch.x + sequence * width).update(from: scratch.x + source, count: width)
        }
        let queries = scratch.hidden
        GEMM.linear(
            norm: block.ln1, scratch.x, rows: sequences, queryLayer, normed: scratch.normed,
            to: queries, panel: scratch.panel, int8: scratch.int8)

        let headWidth = tower.headWidth
        let scale = 1 / Float(headWidth).squareRoot()
        for sequence in 0..<sequences {
            for head in 0..<tower.heads {
                let keys = scratch.qkv + sequence * length * 2 * width + head * headWidth
                let row = sequence * width + head * headWidth
                GEMM.scores(
                    queries: queries + row, count: 1, keys: keys, length: length, width: headWidth,
                    queryStride: width, keyStride: 2 * width, scale: scale, to: scratch.scores)
                ck_softmax(scratch.scores, 1, length, length, false)
                GEMM.attend(
                    scratch.scores, count: 1, values: keys + width, length: length,
                    width: headWidth, stride: 2 * width, to: scratch.normed + row, outStride: width)
            }
        }
        finish(block, tower, rows: sequences, scratch)
    }

    /// Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2), from `scratch.qkv`
    /// to `scratch.normed`. A row of `qkv` holds queries, keys and values, each head by head.
    private static func attention(
        _ tower: ClipConfiguration.Transformer, sequences: Int, length: Int, causal: Bool,
        _ scratch: TransformerScratch
    ) {
        let width = tower.width
        let headWidth = tower.headWidth
        let scale = 1 / Float(headWidth).squareRoot()
        for sequence in 0..<sequences {
            for head in 0..<tower.heads {
                let queries = scratch.qkv + sequence * length * 3 * width + head * headWidth
                GEMM.scores(
                    queries: queries, count: length, keys: queries + width, length: length,
                    width: headWidth, queryStride: 3 * width, keyStride: 3 * width, scale: scale,
                    to: scratch.scores)
                ck_softmax(scratch.scores, length, length, length, causal)
                GEMM.attend(
                    scratch.scores, count: length, values: queries + 2 * width, length: length,
                    width: headWidth, stride: 3 * width,
                    to: scratch.normed + sequence * length * width + head * headWidth,
                    outStride: width)
            }
        }
    }
}
