import CKernels

/// A matrix of 8-bit integers, `[outputs, inputs]`, packed as the kernels read it. Immutable once made.
struct Int8Matrix: @unchecked Sendable {
    private let storage: Storage
    private let matrix: ck_int8_matrix

    private final class Storage {
        let bytes: UnsafeMutableRawBufferPointer

        init(byteCount: Int) {
            bytes = .allocate(byteCount: byteCount, alignment: 64)
        }

        deinit { bytes.deallocate() }
    }

    /// Whether a product with so many inputs fits in the kernels' 32-bit sums.
    static func canHold(inputs: Int) -> Bool { inputs <= CK_INT8_MAX_INPUTS }

    /// Quantises a matrix: each output gets the scale that takes its largest weight to 127.
    /// - Parameter weight: `[outputs, inputs]`, finite.
    init(_ weight: UnsafePointer<Float>, inputs: Int, outputs: Int) {
        precondition(Self.canHold(inputs: inputs))
        let panel = CK_INT8_PANEL
        let padded = (outputs + panel - 1) / panel * panel
        let packed = ck_int8_packed_size(inputs, outputs)
        storage = Storage(byteCount: packed + 8 * padded)
        let base = storage.bytes.baseAddress!
        matrix = ck_int8_matrix(
            inputs: inputs, outputs: outputs,
            weights: base.bindMemory(to: Int8.self, capacity: packed),
            scales: (base + packed).bindMemory(to: Float.self, capacity: padded),
            sums: (base + packed + 4 * padded).bindMemory(to: Int32.self, capacity: padded))
        withUnsafePointer(to: matrix) { ck_int8_pack(weight, $0) }
    }

    private init(_ storage: Storage, _ matrix: ck_int8_matrix) {
        self.storage = storage
        self.matrix = matrix
    }

    /// The matrix that gives some of the outputs: whole panels of 64.
    func outputs(_ range: Range<Int>) -> Int8Matrix {
        let panel = CK_INT8_PANEL
        precondition(range.lowerBound.isMultiple(of: panel) && range.count.isMultiple(of: panel))
        var part = matrix
        part.outputs = range.count
        part.weights += ck_int8_packed_size(matrix.inputs, range.lowerBound)
        part.scales += range.lowerBound
        part.sums += range.lowerBound
        return Int8Matrix(storage, part)
    }

    /// A linear layer. x: `[rows, inputs]`, dense  bias: `[outputs]`  out: `[rows, outputs]`
    func linear(
        _ x: UnsafePointer<Float>, rows: Int, bias: UnsafePointer<Float>?,
        to out: UnsafeMutablePointer<Float>, end: LinearEnd, _ scratch: Int8Scratch
    ) {
        precondition(rows <= scratch.rows && matrix.inputs <= scratch.width)
        let kind =
            switch end {
            case .store: CK_INT8_STORE
            case .add: CK_INT8_ADD
            case .quickGELU: CK_INT8_QUICK_GELU
            }
        withUnsafePointer(to: scratch.activations) { quantized in
            ck_int8_quantize(x, rows, matrix.inputs, quantized)
            withUnsafePointer(to: matrix) {
                ck_int8_linear(quantized, rows, $0, bias, out, kind, CK_INT8_BEST)
            }
        }
    }
}

/// Room for quantised activations, for one thread.
final class Int8Scratch {
    let rows: Int
    let width: Int
    let activations: ck_int8_rows
    private let storage: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - rows: rows that are quantised at once.
    ///   - width: the widest of them.
    init(rows: Int, width: Int) {
        self.rows = rows
        self.width = width
        let stride = (width + 63) / 64 * 64
        storage = .allocate(byteCount: rows * (stride + 8), alignment: 64)
        let scales = storage + rows * stride
        activations = ck_int8_rows(
            values: storage.bindMemory(to: UInt8.self, capacity: rows * stride), stride: stride,
            scales: scales.bindMemory(to: Float.self, capacity: rows),
            zeros: (scales + 4 * rows).bindMemory(to: Int32.self, capacity: rows))
        // What lies between a row's end and the next group of four is multiplied by zero.
        storage.initializeMemory(as: UInt8.self, repeating: 0, count: rows * stride)
    }

    deinit { storage.deallocate() }
}
