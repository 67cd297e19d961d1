import CKernels

/// Memory for weights and between results, on cache lines.
final class PackedStorage: Sendable {
    nonisolated(unsafe) let base: UnsafeMutableRawPointer

    init(byteCount: Int) {
        base = .allocate(byteCount: byteCount, alignment: 64)
    }

    deinit { base.deallocate() }
}

/// A matrix in fp32, `[outputs, inputs]`, packed as the kernels read it. Immutable once made.
///
/// What it computes for a row does not depend on the other rows, as it may with BLAS.
struct PackedMatrix: @unchecked Sendable {
    private let storage: PackedStorage
    private let matrix: ck_float_matrix

    /// Packs a matrix; nil where the processor has no kernel, or a part would not be whole slices.
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`
    ///   - slices: the number of equal parts that ``outputs(_:)`` takes (queries, keys and values: 3).
    init?(_ weight: UnsafePointer<Float>, inputs: Int, outputs: Int, slices: Int) {
        let isa = ck_isa_in_use()
        let slice = ck_float_slice(outputs / slices, isa)
        guard slice > 0, slices == 1 || (outputs / slices).isMultiple(of: slice) else { return nil }
        let byteCount = ck_float_packed_size(inputs, outputs, slice)
        storage = PackedStorage(byteCount: byteCount)
        matrix = ck_float_matrix(
            inputs: inputs, outputs: outputs, slice: slice, isa: isa,
            weights: storage.base.bindMemory(to: Float.self, capacity: byteCount / 4))
        withUnsafePointer(to: matrix) { ck_float_pack(weight, $0) }
    }

    private init(_ storage: PackedStorage, _ matrix: ck_float_matrix) {
        self.storage = storage
        self.matrix = matrix
    }

    /// The matrix that gives some of the outputs: whole slices.
    func outputs(_ range: Range<Int>) -> PackedMatrix {
        precondition(range.lowerBound.isMultiple(of: matrix.slice))
        var part = matrix
        part.outputs = range.count
        part.weights += range.lowerBound * matrix.inputs
        return PackedMatrix(storage, part)
    }

    /// Rows multiplied by a slice of the weights before the next slice: few enough to stay in the second-level
    /// cache, enough to amortise reading the weights.
    static let rowsAtOnce = 192

    /// x: `[rows, inputs]`, dense  bias: `[outputs]`  out: `[rows, outputs]`
    func linear(
        _ x: UnsafePointer<Float>, rows: Int, bias: UnsafePointer<Float>?,
        to out: UnsafeMutablePointer<Float>, epilogue: ck_epilogue
    ) {
        withUnsafePointer(to: matrix) { matrix in
            for start in stride(from: 0, to: rows, by: Self.rowsAtOnce) {
                ck_float_linear(
                    x + start * self.matrix.inputs, min(Self.rowsAtOnce, rows - start), matrix,
                    bias, out + start * self.matrix.outputs, epilogue)
            }
        }
    }
}
