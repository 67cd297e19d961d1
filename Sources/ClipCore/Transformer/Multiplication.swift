import CKernels
import COpenBLAS

/// What becomes of a linear layer's output `y = x Wᵀ + b`.
enum LinearEnd {
    /// `out = y`
    case store
    /// `out += y`: the end of a residual branch.
    case add
    /// `out = quick_gelu(y)`
    case quickGELU
}

/// Matrix products through BLAS, on row-major fp32 matrices.
///
/// Each calling thread multiplies on its own: pictures side by side beat one product spread over
/// all cores (DESIGN and SPEED.md), so OpenBLAS is told to start no threads.
enum Multiplication {
    /// Makes OpenBLAS compute on the calling thread. Idempotent; encoders call it when they load.
    static func useCallingThread() {
        openblas_set_num_threads(1)
    }

    /// A linear layer with its bias.
    /// x: `[rows, inputs]`  W: `[outputs, inputs]`  out: `[rows, outputs]`
    ///
    /// - Parameters:
    ///   - panel: room for the matrix in fp32, for layers whose weights are fp16.
    ///   - int8: room for the activations, for layers whose weights are int8.
    static func linear(
        _ x: UnsafePointer<Float>, rows: Int, _ layer: LinearWeights,
        to out: UnsafeMutablePointer<Float>, end: LinearEnd = .store,
        panel: UnsafeMutablePointer<Float>? = nil, int8: Int8Scratch? = nil
    ) {
        switch layer.weight {
        case .int8(let matrix):
            guard let int8 else { preconditionFailure("no room for int8 activations") }
            matrix.linear(x, rows: rows, bias: layer.bias, to: out, end: end, int8)
            return
        case .float(let weight):
            linear(
                x, rows: rows, weight, inputs: layer.inputs, outputs: layer.outputs, to: out,
                accumulate: end == .add)
        case .half(let weight) where rows <= rowsWorthWidening || panel == nil:
            ck_linear_half(
                x, rows, weight, layer.inputs, layer.outputs, out, end == .add, CK_ISA_BEST)
        case .half(let weight):
            ck_float_from_half(weight, panel, layer.inputs * layer.outputs)
            linear(
                x, rows: rows, panel!, inputs: layer.inputs, outputs: layer.outputs, to: out,
                accumulate: end == .add)
        }
        guard let bias = layer.bias else { return }
        switch end {
        case .store, .add: ck_add_bias(out, rows, layer.outputs, bias)
        case .quickGELU: ck_bias_quick_gelu(out, rows, layer.outputs, bias)
        }
    }

    /// A linear layer after a layer norm.
    /// x: `[rows, inputs]`  normed: the same, may be overwritten
    static func linear(
        norm: NormWeights, _ x: UnsafePointer<Float>, rows: Int, _ layer: LinearWeights,
        normed: UnsafeMutablePointer<Float>, to out: UnsafeMutablePointer<Float>,
        end: LinearEnd = .store, panel: UnsafeMutablePointer<Float>? = nil,
        int8: Int8Scratch? = nil
    ) {
        if case .int8(let matrix) = layer.weight, let int8 {
            matrix.linear(
                x, rows: rows, norm: norm, bias: layer.bias, to: out, end: end, int8)
            return
        }
        ck_layer_norm(x, rows, layer.inputs, layer.inputs, norm.weight, norm.bias, normed)
        linear(normed, rows: rows, layer, to: out, end: end, panel: panel, int8: int8)
    }

    /// Beyond so many rows, widening a matrix for BLAS pays; see SPEED.md. With AVX-512 that is beyond
    /// any text.
    static let rowsWorthWidening = ck_best_isa() == CK_ISA_V4 ? 96 : 24

    /// The same for a matrix in fp32.
    static func linear(
        _ x: UnsafePointer<Float>, rows: Int, _ weight: UnsafePointer<Float>, inputs: Int,
        outputs: Int, to out: UnsafeMutablePointer<Float>, accumulate: Bool = false
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows), blasint(outputs),
            blasint(inputs), 1, x, blasint(inputs), weight, blasint(inputs), accumulate ? 1 : 0,
            out,
            blasint(outputs))
    }

    /// `out = x P`. x: `[rows, inputs]`  P: `[inputs, outputs]`  out: `[rows, outputs]`
    static func projection(
        _ x: UnsafePointer<Float>, rows: Int, _ matrix: UnsafePointer<Float>, inputs: Int,
        outputs: Int, to out: UnsafeMutablePointer<Float>
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(rows), blasint(outputs),
            blasint(inputs), 1, x, blasint(inputs), matrix, blasint(outputs), 0, out,
            blasint(outputs))
    }

    /// Attention scores of one head: `scores = scale · Q Kᵀ`.
    /// Q: `[count, width]`, `queryStride` elements between rows  K: `[length, width]`, `keyStride`
    /// between rows  scores: `[count, length]`
    static func scores(
        queries: UnsafePointer<Float>, count: Int, keys: UnsafePointer<Float>, length: Int,
        width: Int, queryStride: Int, keyStride: Int, scale: Float,
        to scores: UnsafeMutablePointer<Float>
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, blasint(count), blasint(length),
            blasint(width), scale, queries, blasint(queryStride), keys, blasint(keyStride), 0,
            scores, blasint(length))
    }

    /// Weighted sum of one head's values: `out = S V`.
    /// S: `[count, length]`  V: `[length, width]`, `stride` elements between rows
    /// out: `[count, width]`, `outStride` between rows
    static func attend(
        _ scores: UnsafePointer<Float>, count: Int, values: UnsafePointer<Float>, length: Int,
        width: Int, stride: Int, to out: UnsafeMutablePointer<Float>, outStride: Int
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(count), blasint(width),
            blasint(length), 1, scores, blasint(length), values, blasint(stride), 0, out,
            blasint(outStride))
    }
}
