import CKernels
import Foundation

/// The formulas of the kernels, written for reading and computed in fp64.
enum Reference {
    /// x: `[rows, inputs]`  weight: `[outputs, inputs]`, unaligned fp16  result: `[rows, outputs]`
    static func linearHalf(
        _ x: [Float], rows: Int, _ weight: UnsafeRawPointer, inputs: Int, outputs: Int
    ) -> [Float] {
        (0..<rows * outputs).map { index in
            let (row, output) = index.quotientAndRemainder(dividingBy: outputs)
            return Float(
                (0..<inputs).reduce(0.0) { sum, k in
                    let half = weight.loadUnaligned(
                        fromByteOffset: 2 * (output * inputs + k), as: UInt16.self)
                    return sum + Double(x[row * inputs + k]) * Double(ck_half_to_float(half))
                })
        }
    }

    /// x: `[rows, width]` with `stride` elements between rows  result: `[rows, width]`, dense
    static func layerNorm(
        _ x: [Float], rows: Int, width: Int, stride: Int, weight: [Float], bias: [Float],
        epsilon: Float
    ) -> [Float] {
        (0..<rows).flatMap { row in
            let line = x[row * stride..<row * stride + width].map(Double.init)
            let mean = line.reduce(0, +) / Double(width)
            let variance = line.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
            return (0..<width).map {
                Float(
                    (line[$0] - mean) / (variance + Double(epsilon)).squareRoot()
                        * Double(weight[$0])
                        + Double(bias[$0]))
            }
        }
    }

    /// `torch.nn.GELU`, its tanh approximation, and OpenAI's QuickGELU.
    static func activation(_ v: Double, _ kind: ck_epilogue) -> Double {
        switch kind {
        case CK_APPLY_GELU: v * erfc(-v / 2.0.squareRoot()) / 2
        case CK_APPLY_GELU_TANH:
            v / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (v + 0.044715 * v * v * v)))
        default: v / (1 + exp(-1.702 * v))
        }
    }

    /// One head. queries, keys, values: `[length, width]`, `stride` elements between rows
    /// result: `[length, width]`, dense
    static func attention(
        queries: [Float], keys: [Float], values: [Float], length: Int, width: Int, stride: Int,
        causal: Bool
    ) -> [Float] {
        (0..<length).flatMap { row in
            let scores = (0...(causal ? row : length - 1)).map { key in
                (0..<width).reduce(0) {
                    $0 + Double(queries[row * stride + $1]) * Double(keys[key * stride + $1])
                } / Double(width).squareRoot()
            }
            let maximum = scores.max()!
            let weights = scores.map { exp($0 - maximum) }
            let sum = weights.reduce(0, +)
            return (0..<width).map { column in
                Float(
                    weights.indices.reduce(0) {
                        $0 + weights[$1] * Double(values[$1 * stride + column])
                    } / sum)
            }
        }
    }
}
