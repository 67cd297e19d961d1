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
