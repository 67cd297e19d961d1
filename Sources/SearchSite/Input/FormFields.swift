import Bytes

/// The fields of an `application/x-www-form-urlencoded` text: a form's body or an address's query
/// (URL Standard, 5.1).
struct FormFields {
    /// Names and values in the order in which they came, percent-decoded and otherwise unchecked.
    private(set) var fields: [(name: [UInt8], value: [UInt8])] = []

    /// More fields than any page has; the rest is ignored.
    private static let maximumCount = 256

    /// - Parameter text: the encoded fields.
    init(_ text: some Collection<UInt8>) {
        for field in text.split(separator: UInt8(ascii: "&"), maxSplits: Self.maximumCount)
            .prefix(Self.maximumCount)
        {
            let equals = field.firstIndex(of: UInt8(ascii: "=")) ?? field.endIndex
            append(
                name: PercentEncoding.decode(field[..<equals], plusIsSpace: true),
                value: PercentEncoding.decode(field[equals...].dropFirst(), plusIsSpace: true))
        }
    }

    init() {}

    mutating func append(name: [UInt8], value: [UInt8]) {
        guard fields.count < Self.maximumCount else { return }
        fields.append((name, value))
    }

    /// - Throws: ``SiteFailure`` with status 400 that names the first field not in `names`.
    func checkNames(_ names: Set<String>) throws(SiteFailure) {
        for field in fields {
            let name = String(decoding: field.name, as: UTF8.self)
            guard names.contains(name) else {
                throw .badAddress(
                    "There is no parameter \(name.prefix(40)); /openapi.json lists them.")
            }
        }
    }

    /// The first field with a name; `nil` when no field has it.
    func first(_ name: String) -> [UInt8]? {
        fields.first { $0.name.elementsEqual(name.utf8) }?.value
    }

    /// All fields with a name.
    func all(_ name: String) -> [[UInt8]] {
        fields.filter { $0.name.elementsEqual(name.utf8) }.map(\.value)
    }
}

/// A text from a visitor, checked.
struct QueryText {
    /// As typed, not empty, without white space around it.
    let text: String

    /// Unicode code points; far beyond the 77 tokens that CLIP reads, and still a small page.
    static let maximumLength = 1_000

    /// - Parameter bytes: the decoded field.
    /// - Returns: `nil` when there is nothing but white space.
    /// - Throws: ``SiteFailure`` for bytes that are not UTF-8 or contain NUL, and for long texts.
    init?(bytes: [UInt8]) throws(SiteFailure) {
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw .badText("The text is not valid UTF-8.")
        }
        guard !bytes.contains(0) else {
            throw .badText("The text contains a NUL character.")
        }
        let isSpace = { (scalar: Unicode.Scalar) in scalar.properties.isWhitespace }
        let scalars = decoded.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return nil }
        let trimmed = scalars[first...last]
        guard trimmed.count <= Self.maximumLength else {
            throw .badText(
                "The text has \(trimmed.count) characters; the longest that is searched for has "
                    + "\(Self.maximumLength).")
        }
        text = String(trimmed)
    }
}

extension SiteFailure {
    static func badText(_ message: String) -> SiteFailure {
        SiteFailure(
            status: .badRequest, heading: "This text cannot be searched for", message: message)
    }

    static func badAddress(_ message: String) -> SiteFailure {
        SiteFailure(
            status: .badRequest, heading: "This address leads nowhere", message: message)
    }
}
