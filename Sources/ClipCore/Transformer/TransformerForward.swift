import CKernels

/// The residual attention blocks of one tower, as upstream's `clip.model.Transformer`.
///
///     x = x + attention(ln_1(x))
///     x = x + mlp(ln_2(x)),  mlp(v) = W₂ · quick_gelu(W₁ v + b₁) + b₂
enum TransformerForward {
    /// Runs all blocks on `scratch.x` in place.
    ///
    /// - Parameters:
    ///   - sequences: independent sequences, one after another in `x`.
    ///   - length: tokens of each sequence; x: `[sequences × length, width]`.
    ///   - causal: whether a token sees only itself and those before it.
    static func run(
        _ blocks: [BlockWeights], _ tower: ClipConfiguration.Transformer,
        sequences: Int, length: Int, causal: Bool, _ scratch: TransformerScratch
    ) {
        let rows = sequences * length
        let width = tower.width
        precondition(rows <= scratch.rows)
        for block in blocks {
            ck_layer_norm(
                scratch.x, rows, width, width, block.ln1.weight, block.ln1.bias, scratch.normed)
            Multiplication.linear(
                scratch.normed, rows: rows, block.inProjection.weight, inputs: width,
                outputs: 3 * width, to: scratch.qkv)
            ck_add_bias(scratch.qkv, rows, 3 * width, block.inProjection.bias)
            attention(tower, sequences: sequences, length: length, causal: causal, scratch)
            addLinear(block.outProjection, scratch.normed, rows: rows, to: scratch.x)

            ck_layer_norm(
                scratch.x, rows, width, width, block.ln2.weight, block.ln2.bias, scratch.normed)
            Multiplication.linear(
                scratch.normed, rows: rows, block.expansion.weight, inputs: width,
                outputs: tower.hiddenWidth, to: scratch.hidden)
            ck_bias_quick_gelu(scratch.hidden, rows, tower.hiddenWidth, block.expansion.bias)
            addLinear(block.contraction, scratch.hidden, rows: rows, to: scratch.x)
        }
    }

    /// `out += x Wᵀ + b`: the end of a residual branch.
    private static func addLinear(
        _ linear: LinearWeights, _ x: UnsafePointer<Float>, rows: Int,
        to out: UnsafeMutablePointer<Float>
    ) {
        Multiplication.linear(
            x, rows: rows, linear.weight, inputs: linear.inputs, outputs: linear.outputs, to: out,
            accumulate: true)
        ck_add_bias(out, rows, linear.outputs, linear.bias)
    }

    /// Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2), from `scratch.qkv`
    /// to `scratch.normed`. A row of `qkv` holds queries, keys and values, each head by head.
    private static func attention(
        _ tower: ClipConfiguration.Transformer, sequences: Int, length: Int, causal: Bool,
        _ scratch: TransformerScratch
    ) {
        let width = tower.width
        let headWidth = ClipConfiguration.Transformer.headWidth
        let scale = 1 / Float(headWidth).squareRoot()
        for sequence in 0..<sequences {
            for head in 0..<tower.heads {
                let queries = scratch.qkv + sequence * length * 3 * width + head * headWidth
                Multiplication.scores(
                    queries: queries, keys: queries + width, length: length, width: headWidth,
                    stride: 3 * width, scale: scale, to: scratch.scores)
                ck_softmax(scratch.scores, length, length, length, causal)
                Multiplication.attend(
                    scratch.scores, values: queries + 2 * width, length: length, width: headWidth,
                    stride: 3 * width,
                    to: scratch.normed + sequence * length * width + head * headWidth,
                    outStride: width)
            }
        }
    }
}
