/// A JSON value, written without white space (RFC 8259).
package enum JSON {
    case string(String)
    case number(Double)
    /// With the digits that read back as the same fp32.
    case float(Float)
    case integer(Int)
    case bool(Bool)
    case array([JSON])
    /// Members in the order given.
    case object([(String, JSON)])
    case null

    /// The members of an object that are known: those that are nil are left out.
    package static func members(_ members: KeyValuePairs<String, JSON?>) -> [(String, JSON)] {
        members.compactMap { name, value in value.map { (name, $0) } }
    }

    /// What is known of a picture, as every answer to programs says it.
    package static func members(_ facts: PictureFacts) -> [(String, JSON)] {
        members([
            "width": facts.width.map(JSON.integer), "height": facts.height.map(JSON.integer),
            "taken_at": facts.takenAt.map(JSON.string), "camera": facts.camera.map(JSON.string),
        ])
    }

    package var text: String {
        switch self {
        case .string(let text): Self.quoted(text)
        case .number(let value): value.isFinite ? "\(value)" : "null"
        case .float(let value): value.isFinite ? "\(value)" : "null"
        case .integer(let value): "\(value)"
        case .bool(let value): "\(value)"
        case .null: "null"
        case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
        case .object(let members):
            "{" + members.map { "\(Self.quoted($0)):\($1.text)" }.joined(separator: ",") + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\0"..<" ", "\u{7F}":
                result += (scalar.value < 16 ? "\\u000" : "\\u00") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
