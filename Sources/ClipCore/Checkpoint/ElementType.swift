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
        switch name {
        case "HalfStorage": self = .float16
        case "BFloat16Storage": self = .bfloat16
        case "FloatStorage": self = .float32
        case "DoubleStorage": self = .float64
        case "CharStorage": self = .int8
        case "ByteStorage": self = .uint8
        case "ShortStorage": self = .int16
        case "IntStorage": self = .int32
        case "LongStorage": self = .int64
        case "BoolStorage": self = .bool
        default: return nil
        }
    }

    /// By the name of a `torch.dtype`, such as `bfloat16`.
    init?(torchName name: String) {
        switch name {
        case "half": self = .float16
        case "float": self = .float32
        case "double": self = .float64
        default: self.init(rawValue: name)
        }
    }

    /// By the name that the safetensors format gives, such as `BF16`.
    init?(safetensorsName name: String) {
        switch name {
        case "F16": self = .float16
        case "BF16": self = .bfloat16
        case "F32": self = .float32
        case "F64": self = .float64
        case "I8": self = .int8
        case "U8": self = .uint8
        case "I16": self = .int16
        case "I32": self = .int32
        case "I64": self = .int64
        case "BOOL": self = .bool
        default: return nil
        }
    }
}
