import CKernels

/// A matrix of integers of 8 or 7 bits, `[outputs, inputs]`, packed as the kernels read it. Immutable once made.
struct Int8Matrix: @unchecked Sendable {
    private let storage: PackedStorage
    private let matrix: ck_int8_matrix

    /// Whether a product fits in the kernels' 32-bit sums, and whole panels hold each of the `slices`
    /// that ``outputs(_:)`` takes (queries, keys and values).
    static func canHold(inputs: Int, outputs: Int, slices: Int) -> Bool {
        inputs <= CK_INT8_MAX_INPUTS
            && (slices == 1 || (outputs / slices).isMultiple(of: CK_INT8_PANEL))
    }

    /// Quantises a matrix: each output gets the scale that takes its largest weight to 127 (of 7 bits, 63).
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`, finite.
    ///   - kind: the bits of weights and activations.
    init(_ weight: UnsafePointer<Float>, inputs: Int, outputs: Int, kind: ck_int8_kind) {
        let isa = ck_isa_in_use()
        precondition(Self.canHold(inputs: inputs, outputs: outputs, slices: 1))
        let panel = CK_INT8_PANEL
        let padded = (outputs + panel - 1) / panel * panel
        let packed = ck_int8_packed_size(inputs, outputs, kind, isa)
        storage = PackedStorage(byteCount: packed + 8 * padded)
        let base = storage.base
        matrix = ck_int8_matrix(
            inputs: inputs, outputs: outputs, kind: kind, isa: isa, weights: base,
            scales: (base + packed).bindMemory(to: Float.self, capacity: padded),
            sums: (base + packed + 4 * padded).bindMemory(to: Int32.self, capacity: padded))
        withUnsafePointer(to: matrix) { ck_int8_pack(weight, $0) }
    }

    private init(_ storage: PackedStorage, _ matrix: ck_int8_matrix) {
        self.storage = storage
        self.matrix = matrix
    }

    /// The matrix that gives some of the outputs: whole panels of 64.
    func outputs(_ range: Range<Int>) -> Int8Matrix {
        let panel = CK_INT8_PANEL
        precondition(range.lowerBound.isMultiple(of: panel) && range.count.isMultiple(of: panel))
        var part = matrix
        part.outputs = range.count
        part.weights += ck_int8_packed_size(
            matrix.inputs, range.lowerBound, matrix.kind, matrix.isa)
        part.scales += range.lowerBound
        part.sums += range.lowerBound
        return Int8Matrix(storage, part)
    }

    /// A linear layer.
    /// x: `[rows, inputs]`, dense  bias: `[outputs]`  out: `[rows, outputs]`
    /// - Parameter norm: the layer norm that goes before it, if one does.
    func linear(
        _ x: UnsafePointer<Float>, rows: Int, norm: NormWeights? = nil,
        bias: UnsafePointer<Float>?, to out: UnsafeMutablePointer<Float>, epilogue: ck_epilogue,
        _ scratch: Int8Scratch
    ) {
        precondition(matrix.inputs <= scratch.width)
        let (inputs, outputs) = (matrix.inputs, matrix.outputs)
        withUnsafePointer(to: scratch.activations) { activations in
            withUnsafePointer(to: matrix) { matrix in
                for start in stride(from: 0, to: rows, by: scratch.rows) {
                    let count = min(scratch.rows, rows - start)
                    let x = x + start * inputs
                    if let norm {
                        ck_int8_layer_norm_quantize(
                            x, count, norm.weight, norm.bias, norm.epsilon, scratch.row, matrix,
                            activations)
                    } else {
                        ck_int8_quantize(x, count, matrix, activations)
                    }
                    ck_int8_linear(
                        activations, count, matrix, bias, out + start * outputs,
                        epilogue)
                }
            }
        }
    }
}

/// Room for quantised activations, for one thread.
final class Int8Scratch {
    /// Rows that are quantised at once.
    let rows: Int
    /// The widest row.
    let width: Int
    let activations: ck_int8_rows
    /// One row in fp32, `[width]`.
    let row: UnsafeMutablePointer<Float>
    private let storage: PackedStorage

    /// - Parameter width: the widest row.
    init(width: Int) {
        rows = PackedMatrix.rowsAtOnce
        self.width = width
        let stride = (width + 63) / 64 * 64
        let byteCount = 4 * stride + rows * (2 * stride + 8)
        storage = PackedStorage(byteCount: byteCount)
        // What lies between a row's end and the next group of inputs is multiplied by zero.
        storage.base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        var next = storage.base
        func take<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
            defer { next += count * MemoryLayout<T>.stride }
            return next.bindMemory(to: T.self, capacity: count)
        }
        row = take(Float.self, stride)
        activations = ck_int8_rows(
            stride: stride, values: take(Int16.self, rows * stride),
            scales: take(Float.self, rows), zeros: take(Int32.self, rows))
    }
}

/// Features that a layer norm makes so large that 8 bits for all of a row would leave too few steps to
/// the others ("outlier features": Dettmers et al. 2022, LLM.int8()). There they are found in the
/// activations and multiplied apart; here the layer norm's scale tells them when it is loaded, and the
/// two matrices after it get activations of 16 bits.
package enum Outliers {
    /// An outlier reaches this many times as far as the median feature.
    static let factor: Float = 2.5

    /// - Parameters:
    ///   - weight: the layer norm's scale, `[width]`.
    ///   - bias: its shift, `[width]`.
    package static func areBehind(
        weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, width: Int
    ) -> Bool {
        // Normalised values rarely exceed three deviations.
        let reach = (0..<width).map { 3 * abs(weight[$0]) + abs(bias[$0]) }.sorted()
        return reach[width - 1] > factor * reach[width / 2]
    }
}
