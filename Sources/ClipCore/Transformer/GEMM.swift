import CKernels
import COpenBLAS
import Dispatch

extension Activation {
    /// What a linear layer does with its product `y = x Wᵀ + b`: `out = activation(y)`.
    var epilogue: ck_epilogue {
        switch self {
        case .quickGELU: CK_APPLY_QUICK_GELU
        case .gelu: CK_APPLY_GELU
        case .geluTanh: CK_APPLY_GELU_TANH
        }
    }
}

/// OpenBLAS's threads, a setting of the whole process, which no initialiser changes.
public enum BLASThreads {
    /// Makes OpenBLAS compute on the calling thread instead of starting threads of its own. A program that
    /// encodes on a thread per core calls it once, at its start.
    public static func useCallingThread() {
        openblas_set_num_threads(1)
    }
}

/// Matrix products through BLAS, on row-major fp32 matrices.
///
/// Each calling thread should multiply on its own: images side by side beat one product spread over all
/// cores (SPEED.md), so programs call ``BLASThreads/useCallingThread()``.
enum GEMM {
    /// A linear layer with its bias.
    /// x: `[rows, inputs]`  W: `[outputs, inputs]`  out: `[rows, outputs]`
    ///
    /// - Parameter int8: room for the activations, for layers whose weights are int8.
    static func linear(
        _ x: UnsafePointer<Float>, rows: Int, _ layer: LinearWeights,
        to out: UnsafeMutablePointer<Float>, epilogue: ck_epilogue = CK_STORE,
        int8: Int8Scratch? = nil
    ) {
        switch layer.weight {
        case .int8(let matrix):
            guard let int8 else { preconditionFailure("no room for int8 activations") }
            matrix.linear(x, rows: rows, bias: layer.bias, to: out, epilogue: epilogue, int8)
            return
        case .packed(let matrix):
            matrix.linear(x, rows: rows, bias: layer.bias, to: out, epilogue: epilogue)
            return
        case .float(let weight):
            let (inputs, outputs) = (blasint(layer.inputs), blasint(layer.outputs))
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows), outputs, inputs, 1,
                x, inputs, weight, inputs, epilogue == CK_ADD ? 1 : 0, out, outputs)
        case .half(let weight, let threads):
            // Whole tiles of outputs, and no part too small to be worth waking a thread.
            let part =
                rows < 16 ? layer.outputs : max(128, (layer.outputs / threads + 15) / 16 * 16)
            // Each thread writes outputs of its own.
            nonisolated(unsafe) let (x, weight, out) = (x, weight, out)
            DispatchQueue.concurrentPerform(iterations: (layer.outputs + part - 1) / part) {
                let start = $0 * part
                ck_linear_half(
                    x, rows, weight + 2 * start * layer.inputs, layer.inputs,
                    min(part, layer.outputs - start), out + start, layer.outputs,
                    epilogue == CK_ADD, ck_isa_in_use())
            }
        }
        if let bias = layer.bias { ck_bias_activation(out, rows, layer.outputs, bias, epilogue) }
    }

    /// A linear layer after a layer norm.
    /// x: `[rows, inputs]`  normed: the same, may be overwritten
    static func linear(
        norm: NormWeights, _ x: UnsafePointer<Float>, rows: Int, _ layer: LinearWeights,
        normed: UnsafeMutablePointer<Float>, to out: UnsafeMutablePointer<Float>,
        epilogue: ck_epilogue = CK_STORE, int8: Int8Scratch? = nil
    ) {
        if case .int8(let matrix) = layer.weight, let int8 {
            matrix.linear(
                x, rows: rows, norm: norm, bias: layer.bias, to: out, epilogue: epilogue, int8)
            return
        }
        norm(x, rows: rows, width: layer.inputs, to: normed)
        linear(normed, rows: rows, layer, to: out, epilogue: epilogue, int8: int8)
    }

    /// `out = x P`. x: `[rows, inputs]`  P: `[inputs, outputs]`  out: `[rows, outputs]`
    ///
    /// One row at a time: how BLAS rounds one depends on how many there are.
    static func projection(
        _ x: UnsafePointer<Float>, rows: Int, _ matrix: UnsafePointer<Float>, inputs: Int,
        outputs: Int, to out: UnsafeMutablePointer<Float>
    ) {
        for row in 0..<rows {
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasNoTrans, 1, blasint(outputs), blasint(inputs), 1,
                x + row * inputs, blasint(inputs), matrix, blasint(outputs), 0,
                out + row * outputs, blasint(outputs))
        }
    }
}
