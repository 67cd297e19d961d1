import FoundationEssentials

/// A JSON value of a configuration file.
enum JSONValue: Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Reads a whole text; nil when it is damaged, or an object has a name twice: programs differ in which
    /// of the two counts.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var scanner = JSONScanner(bytes)
        guard let value = try? scanner.tree(), scanner.isAtEnd() else { return nil }
        self = value
    }

    /// A whole number.
    var int: Int? {
        if case .number(let number) = self { Int(exactly: number) } else { nil }
    }

    /// As an error message shows it.
    var shown: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let value):
            value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
        case .string(let value): quoted(value)
        case .array: "[…]"
        case .object: "{…}"
        }
    }
}

/// Reads a JSON text in one pass, also one of many megabytes (tokenizer.json). Strings are bytes: Swift takes
/// canonically equivalent strings for equal, and a vocabulary has both.
struct JSONScanner {
    struct Fault: Error {}

    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    private var depth = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) {
            position += 1
        }
    }

    /// The first byte of the next value or sign.
    mutating func peek() throws(Fault) -> UInt8 {
        skipSpace()
        guard position < bytes.count else { throw Fault() }
        return bytes[position]
    }

    /// Whether nothing but white space is left.
    mutating func isAtEnd() -> Bool {
        skipSpace()
        return position == bytes.count
    }

    /// Consumes `sign` when it is next.
    private mutating func take(_ sign: Unicode.Scalar) throws(Fault) -> Bool {
        guard try peek() == UInt8(ascii: sign) else { return false }
        position += 1
        return true
    }

    /// Calls `body` for each member; it must read or skip the value.
    mutating func object(
        _ body: (_ name: [UInt8], inout JSONScanner) throws(Fault) -> Void
    ) throws(Fault) {
        guard try take("{"), depth < 64 else { throw Fault() }
        depth += 1
        if try !take("}") {
            repeat {
                let name = try string()
                guard try take(":") else { throw Fault() }
                try body(name, &self)
            } while try take(",")
            guard try take("}") else { throw Fault() }
        }
        depth -= 1
    }

    /// Calls `body` for each element; it must read or skip it.
    mutating func array(_ body: (inout JSONScanner) throws(Fault) -> Void) throws(Fault) {
        guard try take("["), depth < 64 else { throw Fault() }
        depth += 1
        if try !take("]") {
            repeat { try body(&self) } while try take(",")
            guard try take("]") else { throw Fault() }
        }
        depth -= 1
    }

    /// Passes over a string and gives its bytes as they are written.
    private mutating func literal() throws(Fault) -> Slice<UnsafeRawBufferPointer> {
        guard try take("\"") else { throw Fault() }
        let start = position
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard position < bytes.count else { throw Fault() }
        defer { position += 1 }
        return bytes[start..<position]
    }

    mutating func string() throws(Fault) -> [UInt8] {
        let literal = try literal()
        guard literal.contains(UInt8(ascii: "\\")) else { return Array(literal) }
        let json = Data([UInt8(ascii: "\"")] + literal + [UInt8(ascii: "\"")])
        guard let text = try? JSONDecoder().decode(String.self, from: json) else { throw Fault() }
        return Array(text.utf8)
    }

    mutating func number() throws(Fault) -> Double {
        skipSpace()
        let start = position
        while position < bytes.count, "+-.0123456789eE".utf8.contains(bytes[position]) {
            position += 1
        }
        guard let value = Double(String(decoding: bytes[start..<position], as: UTF8.self)) else {
            throw Fault()
        }
        return value
    }

    /// Passes over a value and gives its bytes.
    @discardableResult
    mutating func value() throws(Fault) -> UnsafeRawBufferPointer {
        skipSpace()
        let start = position
        switch try peek() {
        case UInt8(ascii: "{"): try object { (_, scanner) throws(Fault) in try scanner.value() }
        case UInt8(ascii: "["): try array { (scanner) throws(Fault) in try scanner.value() }
        case UInt8(ascii: "\""): _ = try literal()
        default:
            while position < bytes.count, !",]} \t\r\n".utf8.contains(bytes[position]) {
                position += 1
            }
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
    }

    /// Reads a value with all that it holds.
    mutating func tree() throws(Fault) -> JSONValue {
        switch try peek() {
        case UInt8(ascii: "{"):
            var members: [String: JSONValue] = [:]
            try object { (name, scanner) throws(Fault) in
                let value = try scanner.tree()
                let old = members.updateValue(value, forKey: String(decoding: name, as: UTF8.self))
                guard old == nil else { throw Fault() }
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { (scanner) throws(Fault) in elements.append(try scanner.tree()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(String(decoding: try string(), as: UTF8.self))
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
            switch String(decoding: try value(), as: UTF8.self) {
            case "true": return .bool(true)
            case "false": return .bool(false)
            case "null": return .null
            default: throw Fault()
            }
        default: return .number(try number())
        }
    }
}
