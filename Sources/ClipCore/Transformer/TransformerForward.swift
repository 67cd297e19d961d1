import CKernels

/// The residual attention blocks of one tower, as upstream's `clip.model.Transformer`.
///
///     x = x + attention(ln_1(x))
///     x = x + mlp(ln_2(x)),  mlp(v) = c_proj(activation(c_fc(v)))
///
/// Where only one token of each sequence is pooled (CLIP's class token, a text's end token), the last
/// block computes queries, attention and MLP for that token alone; keys and values are needed of all.
enum TransformerForward {
    /// Runs all blocks on `scratch.x`.
    ///
    /// - Parameters:
    ///   - sequences: independent sequences, one after another in `x`.
    ///   - length: tokens of each sequence; x: `[sequences × length, width]`.
    ///   - pooled: the token of each sequence whose result is wanted, nil for all. With `causal`, the
    ///     last one.
    ///   - causal: whether a token sees only itself and those before it.
    /// - Returns: in `scratch.x`, the pooled tokens: `[sequences, width]`, or all of them.
    static func run(
        _ blocks: [BlockWeights], _ tower: ClipConfiguration.Transformer,
        sequences: Int, length: Int, pooled: Int?, causal: Bool, _ scratch: TransformerScratch
    ) {
        let rows = sequences * length
        precondition(rows <= scratch.rows)
        for block in pooled == nil ? blocks[...] : blocks.dropLast() {
            GEMM.linear(
                norm: block.ln1, scratch.x, rows: rows, block.inProj, normed: scratch.normed,
                to: scratch.qkv, int8: scratch.int8)
            attend(
                scratch.qkv, queryStride: 3 * tower.width, count: length,
                keys: scratch.qkv + tower.width, stride: 3 * tower.width, tower,
                sequences: sequences, length: length, causal: causal, scratch)
            finish(block, tower, rows: rows, scratch)
        }
        if let pooled, let last = blocks.last {
            precondition(causal ? pooled == length - 1 : (0..<length).contains(pooled))
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
                normed, rows: count, block.outProj, to: x, epilogue: CK_ADD,
                int8: scratch.int8)
            GEMM.linear(
                norm: block.ln2, x, rows: count, block.cFc, normed: normed,
                to: scratch.hidden, epilogue: tower.activation.epilogue,
                int8: scratch.int8)
            GEMM.linear(
                scratch.hidden, rows: count, block.cProj, to: x, epilogue: CK_ADD,
                int8: scratch.int8)
        }
    }

    /// The last block, for the pooled tokens alone; leaves them in `scratch.x`, `[sequences, width]`.
    private static func runLast(
        _ block: BlockWeights, _ tower: ClipConfiguration.Transformer,
        sequences: Int, length: Int, pooled: Int, _ scratch: TransformerScratch
    ) {
        let width = tower.width
        computeKeysAndValues(block, tower, rows: sequences * length, scratch)
        // The pooled rows move to the front; a row never lands on one that is still to move.
        for sequence in 0..<sequences {
            let source = (sequence * length + pooled) * width
            (scratch.x + sequence * width).update(from: scratch.x + source, count: width)
        }
        let queries = scratch.hidden
        GEMM.linear(
            norm: block.ln1, scratch.x, rows: sequences, block.inProj.outputs(0..<width),
            normed: scratch.normed, to: queries, int8: scratch.int8)
        attend(
            queries, queryStride: width, count: 1, keys: scratch.qkv, stride: 2 * width, tower,
            sequences: sequences, length: length, causal: false, scratch)
        finish(block, tower, rows: sequences, scratch)
    }

    /// SigLIP's attention pooling (big_vision's `MAPHead`, timm's `AttentionPoolLatent`): one learned
    /// query attends to all tokens after `ln_post`, then an MLP follows.
    ///
    ///     y = out_proj(attention(query, ln_post(x)));  y = y + mlp(ln_2(y))
    ///
    /// - Parameters:
    ///   - block: with `ln_post` in place of `ln_1`.
    ///   - latent: what the query is computed from, `[width]`.
    /// - Returns: in `scratch.x`, `[sequences, width]`.
    static func pool(
        _ block: BlockWeights, latent: UnsafePointer<Float>,
        _ tower: ClipConfiguration.Transformer, sequences: Int, length: Int,
        _ scratch: TransformerScratch
    ) {
        let width = tower.width
        computeKeysAndValues(block, tower, rows: sequences * length, scratch)
        let query = scratch.hidden
        GEMM.linear(
            latent, rows: 1, block.inProj.outputs(0..<width), to: query,
            int8: scratch.int8)
        attend(
            query, queryStride: 0, count: 1, keys: scratch.qkv, stride: 2 * width, tower,
            sequences: sequences, length: length, causal: false, scratch)
        // No residual goes into the pooled token.
        scratch.x.update(repeating: 0, count: sequences * width)
        finish(block, tower, rows: sequences, scratch)
    }

    /// Keys and values of all tokens of `scratch.x` to `scratch.qkv`, `[rows, 2 × width]`.
    private static func computeKeysAndValues(
        _ block: BlockWeights, _ tower: ClipConfiguration.Transformer, rows: Int,
        _ scratch: TransformerScratch
    ) {
        GEMM.linear(
            norm: block.ln1, scratch.x, rows: rows,
            block.inProj.outputs(tower.width..<3 * tower.width), normed: scratch.normed,
            to: scratch.qkv, int8: scratch.int8)
    }

    /// Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2) of `count` queries a
    /// sequence, to `scratch.normed`, `[sequences × count, width]`. Each head has its columns of all.
    /// queries: `[sequences × count, width]`, `queryStride` elements between rows
    /// keys: `[sequences × length, 2 × width]`, keys and values, `stride` elements between rows
    private static func attend(
        _ queries: UnsafePointer<Float>, queryStride: Int, count: Int,
        keys: UnsafePointer<Float>, stride: Int, _ tower: ClipConfiguration.Transformer,
        sequences: Int, length: Int, causal: Bool, _ scratch: TransformerScratch
    ) {
        let width = tower.width
        let shape = ck_attention_shape(
            count: count, length: length, width: tower.headWidth, query_stride: queryStride,
            stride: stride, out_stride: width, causal: causal, isa: ck_isa_in_use())
        withUnsafePointer(to: shape) { shape in
            for sequence in 0..<sequences {
                let queries = queries + sequence * count * queryStride
                let keys = keys + sequence * length * stride
                let out = scratch.normed + sequence * count * width
                for head in 0..<tower.heads {
                    let column = head * tower.headWidth
                    ck_attention(
                        shape, queries + column, keys + column, keys + width + column,
                        scratch.attention, out + column)
                }
            }
        }
    }
}
