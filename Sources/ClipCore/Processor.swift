import CKernels

/// An instruction set that the kernels are written for. Of one architecture, each includes those before it.
public enum InstructionSet: String, CaseIterable, Sendable {
    case sse
    case avx2
    case avx2VNNI = "avx2-vnni"
    case avx512
    case avx512VNNI = "avx512-vnni"
    case neon
    case neonDot = "neon-dot"
    case neonI8MM = "neon-i8mm"

    /// The set that the kernels use: the best of this processor, up to the limit.
    public static var inUse: InstructionSet { Self(ck_isa_in_use()) }

    /// Keeps the kernels of this process to a set and those before it. Call it before a model is loaded.
    /// OpenBLAS has its own switch, the environment variable `OPENBLAS_CORETYPE`.
    public static func limit(to set: InstructionSet) { ck_isa_limit(set.kernel) }

    /// Whether int8 and int7 are known to be faster than fp32 with it.
    public var speedsUpIntegers: Bool { ![.sse, .neon].contains(self) }

    /// Whether layers in fp32 have kernels with it; else BLAS multiplies.
    public var hasFloatKernels: Bool { ck_float_slice(64, kernel) > 0 }

    private init(_ isa: ck_isa) {
        self = Self(rawValue: String(cString: ck_isa_name(isa))) ?? .sse
    }

    private var kernel: ck_isa {
        let sets = (0..<CK_ISA_COUNT.rawValue).map(ck_isa.init(rawValue:))
        return sets.first { String(cString: ck_isa_name($0)) == rawValue } ?? CK_ISA_PLAIN
    }
}
