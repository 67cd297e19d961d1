import CKernels
import Foundation
import TestSupport
import Testing

extension ck_int8_kind {
    /// The largest quantised activation and weight.
    fileprivate var last: Int { self == CK_INT8_WIDE ? 65_535 : self == CK_INT7 ? 127 : 255 }
    fileprivate var largestWeight: Int { self == CK_INT7 ? 63 : 127 }
}

/// A quantised matrix and quantised rows, with the memory that the kernels ask for.
private final class Operands {
    var matrix: ck_int8_matrix
    var rows: ck_int8_rows
    private var blocks: [UnsafeMutableRawPointer] = []

    init(
        rows count: Int, inputs: Int, outputs: Int, kind: ck_int8_kind = CK_INT8,
        isa: ck_isa = ck_isa_in_use()
    ) {
        let padded = (outputs + 63) / 64 * 64
        // Wider than needed and not a multiple of a register: rows need no alignment.
        let stride = (inputs + 7) / 8 * 8 + 4
        var blocks: [UnsafeMutableRawPointer] = []
        func take<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
            let bytes = max(count, 1) * MemoryLayout<T>.stride
            let block = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
            // Nothing may depend on what memory held before.
            block.initializeMemory(as: UInt8.self, repeating: 0xA5, count: bytes)
            blocks.append(block)
            return block.bindMemory(to: T.self, capacity: max(count, 1))
        }
        matrix = ck_int8_matrix(
            inputs: inputs, outputs: outputs, kind: kind, isa: isa,
            weights: take(UInt8.self, ck_int8_packed_size(inputs, outputs, kind, isa)),
            scales: take(Float.self, padded), sums: take(Int32.self, padded))
        rows = ck_int8_rows(
            stride: stride, values: take(Int16.self, count * stride),
            scales: take(Float.self, count), zeros: take(Int32.self, count))
        self.blocks = blocks
    }

    deinit { for block in blocks { block.deallocate() } }

    func pack(_ weight: [Float]) {
        withUnsafePointer(to: matrix) { ck_int8_pack(weight, $0) }
    }

    func quantize(_ x: [Float], rows count: Int) {
        withUnsafePointer(to: matrix) { matrix in
            withUnsafePointer(to: rows) { ck_int8_quantize(x, count, matrix, $0) }
        }
    }

    func linear(
        rows count: Int, bias: [Float]?, from start: [Float], _ end: ck_epilogue
    ) -> [Float] {
        var out = start
        withUnsafePointer(to: matrix) { matrix in
            withUnsafePointer(to: rows) { rows in
                if let bias {
                    ck_int8_linear(rows, count, matrix, bias, &out, end)
                } else {
                    ck_int8_linear(rows, count, matrix, nil, &out, end)
                }
            }
        }
        return out
    }

    /// Value less zero point.
    func value(_ row: Int, _ input: Int) -> Int32 {
        withUnsafePointer(to: matrix) { matrix in
            withUnsafePointer(to: rows) { ck_int8_value($0, matrix, row, input) }
        }
    }

    func weight(_ output: Int, _ input: Int) -> Int32 {
        withUnsafePointer(to: matrix) { ck_int8_weight($0, output, input) }
    }
}

/// Quantisation and integer products against their definitions, each instruction set forced in turn.
@Suite struct Int8KernelTests {
    static let sets = KernelTests.sets
    static let kinds = [CK_INT8, CK_INT8_WIDE, CK_INT7]

    private static func integers(_ count: Int, _ range: ClosedRange<Int>, _ seed: UInt64) -> [Int] {
        var random = SplitMix(state: seed)
        return (0..<count).map { _ in Int.random(in: range, using: &random) }
    }

    private static func floats(_ count: Int, _ seed: UInt64) -> [Float] {
        var random = SplitMix(state: seed)
        return (0..<count).map { _ in Float(random.next() >> 40) * 0x1p-23 - 1 }
    }

    /// Integers that survive quantisation unchanged are multiplied exactly: each row spans all values and each
    /// output all weights, so that both scales are 1.
    private func checkProduct(
        _ isa: ck_isa, rows: Int, inputs: Int, outputs: Int, kind: ck_int8_kind, q: [Int], w: [Int]
    ) {
        let operands = Operands(
            rows: rows, inputs: inputs, outputs: outputs, kind: kind, isa: isa)
        operands.pack(w.map(Float.init))
        // What lies between a row's end and the next group of inputs is multiplied by zero.
        for row in 0..<rows { operands.rows.scales[row] = 1 }
        operands.quantize(q.map(Float.init), rows: rows)
        var expected: [Float] = []
        for row in 0..<rows {
            #expect(operands.rows.scales[row] == 1)
            for output in 0..<outputs {
                var sum = 0
                for input in 0..<inputs {
                    sum += q[row * inputs + input] * w[output * inputs + input]
                }
                // One rounding; of sums beyond 24 bits the kernels round the upper part first.
                expected.append(
                    kind == CK_INT8_WIDE
                        ? Float(sum >> 8) * 256 + Float(sum & 255) : Float(sum))
            }
        }
        let ours = operands.linear(
            rows: rows, bias: nil, from: [Float](repeating: .nan, count: expected.count), CK_STORE)
        #expect(
            ours == expected,
            "\(rows) × \(inputs) × \(outputs), kind \(kind.rawValue), set \(isa.rawValue)")
    }

    @Test(arguments: sets, kinds) func productIsExact(_ isa: ck_isa, _ kind: ck_int8_kind) {
        let (last, most) = (kind.last, kind.largestWeight)
        for (rows, inputs, outputs) in [
            (1, 2, 1), (1, 3072, 65), (2, 2, 64), (3, 5, 3), (4, 64, 128), (5, 7, 63), (6, 4, 130),
            (7, 766, 5), (17, 77, 100), (50, 64, 192), (77, 130, 66), (3, 514, 2), (2, 1027, 3),
        ] {
            var w = Self.integers(inputs * outputs, -most...most, 1)
            for output in 0..<outputs {
                w[output * inputs] = output.isMultiple(of: 2) ? most : -most
            }
            var q = Self.integers(rows * inputs, 0...last, 2)
            for row in 0..<rows {
                // Any zero point.
                let zero = row * 7919 % (last + 1)
                q[row * inputs] = 0
                q[row * inputs + 1] = last
                for input in 0..<inputs { q[row * inputs + input] -= zero }
            }
            checkProduct(
                isa, rows: rows, inputs: inputs, outputs: outputs, kind: kind, q: q, w: w)
        }
    }

    /// The largest sums there can be: where an instruction saturates, or 32 bits overflow.
    @Test(arguments: sets, kinds) func productHoldsExtremes(_ isa: ck_isa, _ kind: ck_int8_kind) {
        let (last, most) = (kind.last, kind.largestWeight)
        for inputs in [1, 2, 8, 3072, CK_INT8_MAX_INPUTS] {
            for sign in [most, -most] {
                for value in [last, -last] {
                    checkProduct(
                        isa, rows: 2, inputs: inputs, outputs: 2, kind: kind,
                        q: [Int](repeating: value, count: 2 * inputs),
                        w: [Int](repeating: sign, count: 2 * inputs))
                }
            }
        }
    }

    @Test(arguments: kinds) func weightsAreQuantisedToTheNearestStep(_ kind: ck_int8_kind) {
        for (inputs, outputs) in [(1, 1), (5, 3), (64, 64), (77, 65), (768, 130)] {
            var weight = Self.floats(inputs * outputs, 3)
            for input in 0..<inputs { weight[input] = 0 }  // an output of zeros
            if outputs > 2 {
                for input in 0..<inputs { weight[2 * inputs + input] *= 1e-30 }
                weight[inputs] = 1e6  // a weight that takes all the range
            }
            let operands = Operands(rows: 1, inputs: inputs, outputs: outputs, kind: kind)
            operands.pack(weight)
            for output in 0..<outputs {
                let row = weight[output * inputs..<(output + 1) * inputs]
                let largest = row.map(abs).max()!
                let scale = operands.matrix.scales[output]
                #expect(
                    abs(scale - largest / Float(kind.largestWeight)) <= 1e-6 * scale || largest == 0
                )
                var sum: Int32 = 0
                var worst: Float = 0
                for (input, exact) in row.enumerated() {
                    let w = operands.weight(output, input)
                    worst = max(worst, abs(exact - scale * Float(w)))
                    sum += w
                }
                #expect(worst <= 0.50001 * scale)
                #expect(operands.matrix.sums[output] == sum)
            }
        }
    }

    @Test(arguments: KernelTests.Kind.allCases, kinds)
    func rowsAreQuantisedToTheNearestStep(_ inputs: KernelTests.Kind, _ kind: ck_int8_kind) {
        for rows in [1, 3, 17] {
            for width in [1, 5, 16, 50, 64, 77, 768, 3072] {
                var x = inputs.values(rows * width, 10)
                if width > 4 { x[3] = 0 }
                let operands = Operands(rows: rows, inputs: width, outputs: 1, kind: kind)
                operands.quantize(x, rows: rows)
                for row in 0..<rows {
                    let scale = operands.rows.scales[row]
                    let line = x[row * width..<(row + 1) * width]
                    let range = max(line.max()!, 0) - min(line.min()!, 0)
                    #expect(abs(scale - range / Float(kind.last)) <= 1e-6 * scale)
                    var worst = 0.0
                    for (input, exact) in line.enumerated() {
                        let step = operands.value(row, input)
                        worst = max(worst, abs(Double(exact) - Double(scale) * Double(step)))
                        if exact == 0 { #expect(step == 0) }
                    }
                    // The zero point is a whole number, so an end of the range may lose half a step
                    // more; and of 16 bits fp32 leaves a few hundredths of a step to chance.
                    #expect(worst <= 1.02 * Double(scale), "\(inputs), \(width)")
                }
            }
        }
    }

    /// What is not finite must not come out as a harmless number.
    @Test(arguments: kinds) func whatIsNotFiniteStaysSo(_ kind: ck_int8_kind) {
        for bad in [Float.nan, .infinity, -.infinity] {
            for width in [1, 16, 50] {
                for place in [0, width / 2, width - 1] {
                    var x = [Float](repeating: 1, count: 2 * width)
                    x[place] = bad
                    let operands = Operands(rows: 2, inputs: width, outputs: 3, kind: kind)
                    operands.pack([Float](repeating: 0.5, count: 3 * width))
                    operands.quantize(x, rows: 2)
                    let out = operands.linear(
                        rows: 2, bias: nil, from: [Float](repeating: 0, count: 6), CK_STORE)
                    #expect(out[..<3].allSatisfy { !$0.isFinite })
                    #expect(out[3...].allSatisfy { $0.isFinite })
                }
            }
        }
        // The range of these is not finite, they are.
        let operands = Operands(rows: 1, inputs: 2, outputs: 1, kind: kind)
        operands.quantize([.greatestFiniteMagnitude, -.greatestFiniteMagnitude], rows: 1)
        #expect(operands.rows.scales[0].isFinite)
        #expect(operands.value(0, 0) - operands.value(0, 1) > kind.last - 5)
    }

    /// The layer's ends against fp64 on the same integers.
    @Test(arguments: sets, kinds)
    func linearIsItsDefinition(_ isa: ck_isa, _ kind: ck_int8_kind) {
        var largest = 0.0
        for (rows, inputs, outputs) in [
            (1, 3, 1), (3, 64, 64), (17, 77, 100), (50, 128, 65), (7, 768, 192),
        ] {
            let x = Self.floats(rows * inputs, 20)
            let weight = Self.floats(inputs * outputs, 21)
            let bias = Self.floats(outputs, 22)
            let start = Self.floats(rows * outputs, 23)
            let operands = Operands(
                rows: rows, inputs: inputs, outputs: outputs, kind: kind, isa: isa)
            operands.pack(weight)
            operands.quantize(x, rows: rows)
            var products: [Double] = []
            for row in 0..<rows {
                for output in 0..<outputs {
                    var sum = 0
                    for input in 0..<inputs {
                        sum += Int(operands.value(row, input) * operands.weight(output, input))
                    }
                    products.append(
                        Double(sum) * Double(operands.rows.scales[row])
                            * Double(operands.matrix.scales[output]))
                }
            }
            for end in [
                CK_STORE, CK_ADD, CK_APPLY_QUICK_GELU, CK_APPLY_GELU, CK_APPLY_GELU_TANH,
            ] {
                for bias in [bias, nil] {
                    let ours = operands.linear(rows: rows, bias: bias, from: start, end)
                    for place in ours.indices {
                        var value = products[place]
                        value += bias.map { Double($0[place % outputs]) } ?? 0
                        switch end {
                        case CK_ADD: value += Double(start[place])
                        case CK_APPLY_QUICK_GELU, CK_APPLY_GELU, CK_APPLY_GELU_TANH:
                            value = Reference.activation(value, end)
                        default: break
                        }
                        largest = max(largest, abs(Double(ours[place]) - value))
                    }
                }
            }
        }
        print("kernels: int8 linear, set \(isa.rawValue), kind \(kind.rawValue): \(largest)")
        #expect(largest < 1e-5)
    }

    /// Against the exact product: what quantisation costs, and what 16 bits save when a few inputs are
    /// large.
    @Test func sixteenBitsSaveTheSmallInputs() {
        let (rows, inputs, outputs) = (17, 768, 64)
        var x = Self.floats(rows * inputs, 30)
        let weight = Self.floats(inputs * outputs, 31)
        func error(_ kind: ck_int8_kind) -> Double {
            let operands = Operands(rows: rows, inputs: inputs, outputs: outputs, kind: kind)
            operands.pack(weight)
            operands.quantize(x, rows: rows)
            let ours = operands.linear(
                rows: rows, bias: nil, from: [Float](repeating: 0, count: rows * outputs),
                CK_STORE)
            var error = 0.0
            var size = 0.0
            for row in 0..<rows {
                for output in 0..<outputs {
                    var exact = 0.0
                    for input in 0..<inputs {
                        exact +=
                            Double(x[row * inputs + input])
                            * Double(weight[output * inputs + input])
                    }
                    let difference = Double(ours[row * outputs + output]) - exact
                    error += difference * difference
                    size += exact * exact
                }
            }
            return (error / size).squareRoot()
        }
        let even = error(CK_INT8)
        for row in 0..<rows {
            for input in 0..<inputs where ![3, 400, 767].contains(input) {
                x[row * inputs + input] /= 40
            }
        }
        let (narrow, wide) = (error(CK_INT8), error(CK_INT8_WIDE))
        print("kernels: int8, error \(even); with large inputs \(narrow), in 16 bits \(wide)")
        #expect(even < 0.008)
        #expect(wide < 0.008)
        #expect(narrow > 3 * wide)
    }

    @Test(arguments: kinds) func layerNormIsFusedExactly(_ kind: ck_int8_kind) {
        for (rows, width) in [(1, 64), (3, 77), (17, 768)] {
            let x = Self.floats(rows * width, 40)
            let scale = Self.floats(width, 41)
            let bias = Self.floats(width, 42)
            var normed = x
            ck_layer_norm(x, rows, width, width, scale, bias, 1e-5, &normed)
            let separate = Operands(rows: rows, inputs: width, outputs: 1, kind: kind)
            let fused = Operands(rows: rows, inputs: width, outputs: 1, kind: kind)
            separate.quantize(normed, rows: rows)
            var row = [Float](repeating: 0, count: width)
            withUnsafePointer(to: fused.matrix) { matrix in
                withUnsafePointer(to: fused.rows) {
                    ck_int8_layer_norm_quantize(x, rows, scale, bias, 1e-5, &row, matrix, $0)
                }
            }
            for r in 0..<rows {
                #expect(fused.rows.scales[r] == separate.rows.scales[r])
                #expect(fused.rows.zeros[r] == separate.rows.zeros[r])
                #expect((0..<width).allSatisfy { fused.value(r, $0) == separate.value(r, $0) })
            }
        }
    }
}
