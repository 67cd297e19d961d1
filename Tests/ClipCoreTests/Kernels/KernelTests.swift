import CKernels
import TestSupport
import Testing

/// The vectorised passes against ``Reference``, at odd sizes.
@Suite struct KernelTests {
    static let applied = [CK_APPLY_QUICK_GELU, CK_APPLY_GELU, CK_APPLY_GELU_TANH]
    static let rows = [1, 3, 17]
    static let widths = [1, 5, 16, 50, 64, 77, 768, 3072]

    /// Inputs that break careless arithmetic.
    enum Kind: CaseIterable {
        case ordinary, extreme, equal, largeMean, tiny

        func values(_ count: Int, _ seed: UInt64) -> [Float] {
            var random = SplitMix(state: seed)
            func draw() -> Float { Float(random.next() >> 40) * 0x1p-23 - 1 }
            return (0..<count).map { _ in
                switch self {
                case .ordinary: 3 * draw()
                case .extreme: draw() < 0 ? -1e4 : 1e4
                case .equal: 7.25
                case .largeMean: 1000 + draw()
                case .tiny: 1e-30 * draw()
                }
            }
        }
    }

    private func worst(_ a: [Float], _ b: [Float], _ floor: Float) -> Float {
        zip(a, b).map { abs($0 - $1) / max(abs($1), floor) }.max() ?? 0
    }

    /// The instruction sets that this processor has.
    static let sets = (0..<CK_ISA_COUNT.rawValue).map { ck_isa(rawValue: $0) }.filter(ck_isa_has)

    @Test(arguments: sets) func linearHalf(_ isa: ck_isa) {
        var largest: Float = 0
        for (rows, inputs, outputs) in [
            (1, 1, 1), (1, 512, 64), (3, 5, 3), (4, 16, 4), (5, 50, 5), (17, 64, 7), (77, 77, 9),
            (2, 768, 66), (6, 3072, 13), (9, 4100, 8), (40, 512, 16),
        ] {
            let x = Kind.ordinary.values(rows * inputs, 4)
            // Odd offsets: tensors in files are not aligned.
            let weight: [UInt8] =
                [0]
                + Kind.ordinary.values(inputs * outputs, 5).flatMap { value in
                    withUnsafeBytes(of: Float16(value / 8).bitPattern.littleEndian, Array.init)
                }
            let start = Kind.ordinary.values(rows * outputs, 6)
            weight.withUnsafeBytes { bytes in
                let plain = Reference.linearHalf(
                    x, rows: rows, bytes.baseAddress! + 1, inputs: inputs, outputs: outputs)
                for accumulate in [false, true] {
                    var ours = start
                    ck_linear_half(
                        x, rows, bytes.baseAddress! + 1, inputs, outputs, &ours, outputs,
                        accumulate, isa)
                    let expected = accumulate ? zip(plain, start).map { $0 + $1 } : plain
                    largest = max(largest, worst(ours, expected, Float(inputs).squareRoot()))
                    // In parts of 16 outputs, as threads share them: the same bits.
                    var parts = start
                    for first in stride(from: 0, to: outputs, by: 16) {
                        parts.withUnsafeMutableBufferPointer {
                            ck_linear_half(
                                x, rows, bytes.baseAddress! + 1 + 2 * first * inputs, inputs,
                                min(16, outputs - first), $0.baseAddress! + first, outputs,
                                accumulate, isa)
                        }
                    }
                    #expect(parts == ours)
                }
            }
        }
        print("kernels: linear with fp16 weights, \(String(cString: ck_isa_name(isa))): \(largest)")
        #expect(largest < 1e-6)
    }

    /// A packed layer against its definition, and each row the same bits whatever is computed beside it.
    @Test(arguments: sets) func linearFloat(_ isa: ck_isa) {
        var largest: Float = 0
        for (rows, inputs, outputs) in [
            (1, 1, 64), (7, 64, 192), (6, 50, 48), (17, 77, 24), (3, 768, 16), (2, 3072, 64),
            (7, 20, 70), (5, 33, 4),
        ] {
            let slice = ck_float_slice(outputs, isa)
            guard slice > 0 else { continue }
            let x = Kind.ordinary.values(rows * inputs, 20)
            let weight = Kind.ordinary.values(outputs * inputs, 21)
            let bias = Kind.ordinary.values(outputs, 22)
            let start = Kind.ordinary.values(rows * outputs, 23)
            let packed = UnsafeMutableBufferPointer<Float>.allocate(
                capacity: ck_float_packed_size(inputs, outputs, slice) / 4)
            defer { packed.deallocate() }
            let matrix = ck_float_matrix(
                inputs: inputs, outputs: outputs, slice: slice, isa: isa,
                weights: packed.baseAddress)
            func linear(_ x: [Float], _ out: [Float], _ bias: [Float]?, _ end: ck_epilogue)
                -> [Float]
            {
                var out = out
                withUnsafePointer(to: matrix) {
                    let rows = x.count / inputs
                    if let bias {
                        ck_float_linear(x, rows, $0, bias, &out, end)
                    } else {
                        ck_float_linear(x, rows, $0, nil, &out, end)
                    }
                }
                return out
            }
            withUnsafePointer(to: matrix) { ck_float_pack(weight, $0) }
            for bias in [bias, nil] {
                let products = (0..<rows * outputs).map { index in
                    let (row, output) = index.quotientAndRemainder(dividingBy: outputs)
                    return (0..<inputs).reduce(Double(bias?[output] ?? 0)) {
                        $0 + Double(x[row * inputs + $1]) * Double(weight[output * inputs + $1])
                    }
                }
                let applied = Self.applied.map { end in
                    (end, products.map { Reference.activation($0, end) })
                }
                for (end, expected) in [
                    (CK_STORE, products), (CK_ADD, zip(products, start).map { $0 + Double($1) }),
                ] + applied {
                    let ours = linear(x, start, bias, end)
                    largest = max(
                        largest, worst(ours, expected.map { Float($0) }, Float(inputs).squareRoot())
                    )
                    for row in 0..<rows {
                        let alone = linear(
                            Array(x[row * inputs..<(row + 1) * inputs]),
                            Array(start[row * outputs..<(row + 1) * outputs]), bias, end)
                        #expect(alone == Array(ours[row * outputs..<(row + 1) * outputs]))
                    }
                }
            }
        }
        print("kernels: packed fp32, \(String(cString: ck_isa_name(isa))): \(largest)")
        #expect(largest < 1e-5)
    }

    @Test(arguments: Kind.allCases) func layerNorm(_ kind: Kind) {
        var largest: Float = 0
        for rows in Self.rows {
            for width in Self.widths {
                for (stride, epsilon) in [(width, Float(1e-5)), (width + 3, 1e-6)] {
                    let x = kind.values(rows * stride, 1)
                    let weight = Kind.ordinary.values(width, 2)
                    let bias = Kind.ordinary.values(width, 3)
                    var ours = [Float](repeating: .nan, count: rows * width)
                    ck_layer_norm(x, rows, width, stride, weight, bias, epsilon, &ours)
                    let plain = Reference.layerNorm(
                        x, rows: rows, width: width, stride: stride, weight: weight, bias: bias,
                        epsilon: epsilon)
                    largest = max(largest, worst(ours, plain, 1))
                    if stride == width {
                        var inPlace = x
                        inPlace.withUnsafeMutableBufferPointer {
                            ck_layer_norm(
                                $0.baseAddress, rows, width, width, weight, bias, epsilon,
                                $0.baseAddress)
                        }
                        #expect(inPlace == ours)
                    }
                }
            }
        }
        print("kernels: layer norm, \(kind): \(largest)")
        // A mean of 1000 leaves fp32 some 6e-5 for the deviations from it.
        #expect(largest < (kind == .largeMean ? 5e-3 : 1e-5))
    }

    @Test(arguments: Kind.allCases, applied)
    func activations(_ kind: Kind, _ activation: ck_epilogue) {
        var largest: Float = 0
        for rows in Self.rows {
            for width in Self.widths {
                let bias = Kind.ordinary.values(width, 5)
                let x = kind.values(rows * width, 4)
                var ours = x
                ck_bias_activation(&ours, rows, width, bias, activation)
                let plain = x.indices.map {
                    Float(Reference.activation(Double(x[$0] + bias[$0 % width]), activation))
                }
                largest = max(largest, worst(ours, plain, 1e-3))
            }
        }
        print("kernels: activation \(activation.rawValue), \(kind): \(largest)")
        #expect(largest < 1e-5)
    }

    /// At every hundredth from -12 to 12, and with values of the scalar formula in fp32.
    @Test(arguments: applied)
    func activationsAlongTheLine(_ activation: ck_epilogue) {
        let x = (-1200...1200).map { Float($0) / 100 }
        var ours = x
        ck_bias_activation(&ours, 1, x.count, [Float](repeating: 0, count: x.count), activation)
        let largest = zip(x, ours).map {
            abs(Double($1) - Reference.activation(Double($0), activation))
        }.max()!
        print("kernels: activation \(activation.rawValue), largest difference \(largest)")
        #expect(largest < 2e-6)
    }

    /// Against the definition, and each query the same bits when it comes alone.
    @Test(arguments: sets, [false, true]) func attention(_ isa: ck_isa, _ causal: Bool) {
        var largest: Float = 0
        for (length, width, kind) in [
            (1, 64, Kind.ordinary), (5, 3, .ordinary), (50, 64, .ordinary), (77, 80, .ordinary),
            (197, 72, .ordinary), (33, 64, .equal), (50, 64, .largeMean), (20, 16, .extreme),
        ] {
            let stride = width + 3
            let queries = Kind.ordinary.values(length * stride, 6)
            let keys = kind.values(length * stride, 7)
            let values = Kind.ordinary.values(length * stride, 8)
            func attention(_ rows: Range<Int>, causal: Bool) -> [Float] {
                var out = [Float](repeating: 7, count: rows.count * stride)
                let scratch = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: 4 * ck_attention_scratch(length, width), alignment: 64)
                defer { scratch.deallocate() }
                var shape = ck_attention_shape(
                    count: rows.count, length: length, width: width, query_stride: stride,
                    stride: stride, out_stride: stride, causal: causal, isa: isa)
                ck_attention(
                    &shape, Array(queries[(rows.lowerBound * stride)...]), keys, values,
                    scratch.bindMemory(to: Float.self).baseAddress, &out)
                // What lies between the rows is not touched.
                #expect((0..<rows.count).allSatisfy { out[$0 * stride + width] == 7 })
                return (0..<rows.count).flatMap { out[$0 * stride..<$0 * stride + width] }
            }
            let ours = attention(0..<length, causal: causal)
            let plain = Reference.attention(
                queries: queries, keys: keys, values: values, length: length, width: width,
                stride: stride, causal: causal)
            largest = max(largest, worst(ours, plain, kind == .largeMean ? 100 : 1))
            let last = attention(length - 1..<length, causal: false)
            #expect(last == Array(ours.suffix(width)))
        }
        print(
            "kernels: attention, \(String(cString: ck_isa_name(isa))), causal \(causal): \(largest)"
        )
        #expect(largest < 1e-5)
    }

    @Test func notANumberIsNotSwallowed() {
        for width in [1, 16, 50] {
            var soft = [Float](repeating: 1, count: width)
            soft[width - 1] = .nan
            for activation in Self.applied {
                var active = soft
                ck_bias_activation(
                    &active, 1, width, [Float](repeating: 0, count: width), activation)
                #expect(active[width - 1].isNaN)
            }
            // One key, not finite: its score is not, and neither is what comes of it.
            var shape = ck_attention_shape(
                count: 1, length: 1, width: width, query_stride: width, stride: width,
                out_stride: width, causal: false, isa: ck_isa_in_use())
            var scratch = [Float](repeating: 0, count: ck_attention_scratch(1, width))
            var out = [Float](repeating: 0, count: width)
            ck_attention(&shape, soft, soft, soft, &scratch, &out)
            #expect(out.contains { $0.isNaN })
        }
    }

    @Test func addBias() {
        for rows in Self.rows {
            for width in Self.widths {
                let x = Kind.ordinary.values(rows * width, 7)
                let bias = Kind.ordinary.values(width, 8)
                var ours = x
                ck_add_bias(&ours, rows, width, bias)
                #expect(ours == x.indices.map { x[$0] + bias[$0 % width] })
            }
        }
    }

    @Test func unitLength() {
        for width in Self.widths {
            for kind in Kind.allCases {
                var x = kind.values(width, 9)
                let before = x
                ck_l2_normalize(&x, width)
                let length = before.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                for (ours, input) in zip(x, before) {
                    #expect(abs(Double(ours) - Double(input) / length) < 2e-7)
                }
            }
        }
        var zero: [Float] = [0, 0, 0]
        ck_l2_normalize(&zero, 3)
        #expect(zero == [0, 0, 0])
    }

    /// All halves, against Swift's own conversion, from an odd address too.
    @Test func everyHalf() {
        var bytes: [UInt8] = [0]
        for half in UInt16.min...UInt16.max { bytes += littleEndian(half) }
        var floats = [Float](repeating: 0, count: 65_536)
        bytes.withUnsafeBytes { ck_float_from_half($0.baseAddress! + 1, &floats, 65_536) }
        var wrong = 0
        for half in UInt16.min...UInt16.max {
            let expected = Float(Float16(bitPattern: half))
            let single = ck_half_to_float(half)
            let row = floats[Int(half)]
            if expected.isNaN {
                wrong += single.isNaN && row.isNaN ? 0 : 1
            } else {
                wrong += single.bitPattern == expected.bitPattern ? 0 : 1
                wrong += row.bitPattern == expected.bitPattern ? 0 : 1
            }
        }
        #expect(wrong == 0)
    }

    /// A bfloat16 is the upper half of a float.
    @Test func everyBfloat() {
        var bytes: [UInt8] = [0]
        for upper in UInt16.min...UInt16.max { bytes += littleEndian(upper) }
        var floats = [Float](repeating: 0, count: 65_536)
        bytes.withUnsafeBytes { ck_float_from_bfloat($0.baseAddress! + 1, &floats, 65_536) }
        #expect(floats.indices.allSatisfy { floats[$0].bitPattern == UInt32($0) << 16 })
    }

    @Test func findsWhatIsNotFinite() {
        for count in [1, 7, 16, 33] {
            let good = [Float](repeating: -.greatestFiniteMagnitude, count: count)
            #expect(ck_all_finite(good, count))
            for at in 0..<count {
                for bad in [Float.infinity, -.infinity, .nan] {
                    var x = good
                    x[at] = bad
                    #expect(!ck_all_finite(x, count))
                }
            }
        }
        #expect(ck_all_finite([], 0))
    }
}
