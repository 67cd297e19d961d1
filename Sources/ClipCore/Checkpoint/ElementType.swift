/// How a tensor's elements are stored.
package enum ElementType: String, Sendable {
    case float16, bfloat16, float32, float64
    case int8, uint8, int16, int32, int64
    case bool

    /// Bytes an element takes.
    package var size: Int {
        switch self {
        case .int8, .uint8, .bool: 1
        case .float16, .bfloat16, .int16: 2
        case .float32, .int32: 4
        case .float64, .int64: 8
        }
    }

    /// Whether elements are floating-point numbers, as trained ones are.
    var isFraction: Bool {
        switch self {
        case .float16, .bfloat16, .float32, .float64: true
        default: false
        }
    }

    /// By the name of PyTorch's storage class, such as `HalfStorage`.
    init?(storageClass name: String) {
        guard name.hasSuffix("Storage") else { return nil }
        self.init(torchName: name.dropLast("Storage".count).lowercased())
    }

    /// By the name of a `torch.dtype`, such as `bfloat16`, or of a C type that PyTorch uses beside it.
    init?(torchName name: String) {
        switch name {
        case "half": self = .float16
        case "float": self = .float32
        case "double": self = .float64
        case "char": self = .int8
        case "byte": self = .uint8
        case "short": self = .int16
        case "int": self = .int32
        case "long": self = .int64
        default: self.init(rawValue: name)
        }
    }

    /// By the name that the safetensors format gives, such as `BF16`.
    init?(safetensorsName name: String) {
        guard let type = Self.safetensorsNames[name] else { return nil }
        self = type
    }

    private static let safetensorsNames: [String: ElementType] = [
        "F16": .float16, "BF16": .bfloat16, "F32": .float32, "F64": .float64, "I8": .int8,
        "U8": .uint8, "I16": .int16, "I32": .int32, "I64": .int64, "BOOL": .bool,
    ]
}
