import Bytes
import Hummingbird

/// The fields of an `application/x-www-form-urlencoded` text: a form's body or an address's query
/// (URL Standard, 5.1).
struct FormFields {
    /// Names and values in the order in which they came, percent-decoded and otherwise unchecked.
    private(set) var fields: [(name: String, value: [UInt8])] = []

    /// More fields than any page has; the rest is ignored.
    private static let maximumCount = 256
    /// Bytes of a key; S3's keys have at most 1,024 (Amazon S3 User Guide, "Naming objects").
    static let maximumTextBytes = 1_024
    /// Unicode code points of words; far beyond the 77 tokens that CLIP reads, and still a small page.
    static let maximumWordsLength = 1_000

    /// - Parameter text: the encoded fields.
    init(_ text: some Collection<UInt8>) {
        for field in text.split(separator: UInt8(ascii: "&"), maxSplits: Self.maximumCount) {
            let equals = field.firstIndex(of: UInt8(ascii: "=")) ?? field.endIndex
            let name = PercentEncoding.decode(field[..<equals], plusIsSpace: true)
            append(
                name: String(decoding: name, as: UTF8.self),
                value: PercentEncoding.decode(field[equals...].dropFirst(), plusIsSpace: true))
        }
    }

    /// The fields of a request's address.
    init(of request: Request) { self.init((request.uri.query ?? "").utf8) }

    mutating func append(name: String, value: [UInt8]) {
        guard fields.count < Self.maximumCount else { return }
        fields.append((name, value))
    }

    /// - Throws: ``SiteFailure`` with status 400 that names the first field not in `names`.
    func checkNames(_ names: Set<String>) throws(SiteFailure) {
        for field in fields where !names.contains(field.name) {
            throw .badAddress(
                "There is no parameter \(field.name.prefix(40)); /openapi.json lists them.")
        }
    }

    func contains(_ name: String) -> Bool { fields.contains { $0.name == name } }

    /// The texts of all fields with a name that are not empty.
    /// - Throws: ``SiteFailure`` with status 400 for bytes that are not UTF-8 or contain NUL, and for long texts.
    func texts(_ name: String) throws(SiteFailure) -> [String] {
        try fields.filter { $0.name == name && !$0.value.isEmpty }.map {
            (field) throws(SiteFailure) in
            guard field.value.count <= Self.maximumTextBytes, !field.value.contains(0),
                let text = String(validating: field.value, as: UTF8.self)
            else {
                throw .badAddress(
                    "The field \(name) is not a text of at most \(Self.maximumTextBytes) bytes.")
            }
            return text
        }
    }

    /// What the first text of a name stands for; nil without one.
    /// - Parameters:
    ///   - meaning: what the text has to be, in words.
    ///   - parse: nil for other texts.
    /// - Throws: ``SiteFailure`` with status 400.
    func value<Value>(
        _ name: String, _ meaning: String, _ parse: (String) -> Value?
    ) throws(SiteFailure) -> Value? {
        guard let text = try texts(name).first else { return nil }
        guard let value = parse(text) else {
            throw .badAddress("The field \(name) must be \(meaning).")
        }
        return value
    }

    /// A number of decimal digits.
    /// - Throws: as ``value(_:_:_:)``.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(SiteFailure) -> Int? {
        try value(name, "a number from \(range.lowerBound) to \(range.upperBound)") { text in
            // Digits only: Swift would take "+5".
            let isNumber = text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 }
            return isNumber ? Int(text).flatMap { range ~= $0 ? $0 : nil } : nil
        }
    }

    /// The words that a visitor typed into all fields with a name, without white space around them and
    /// without empty ones.
    /// - Throws: ``SiteFailure`` with status 400 for bytes that are not UTF-8 or contain NUL, and for long words.
    func words(_ name: String) throws(SiteFailure) -> [String] {
        try fields.filter { $0.name == name }.map { (field) throws(SiteFailure) in
            guard let text = String(validating: field.value, as: UTF8.self)?.trimmed() else {
                throw .badText("The text is not valid UTF-8.")
            }
            guard !field.value.contains(0) else {
                throw .badText("The text contains a NUL character.")
            }
            let length = text.unicodeScalars.count
            guard length <= Self.maximumWordsLength else {
                throw .badText(
                    "The text has \(length) characters; the longest that is searched for has "
                        + "\(Self.maximumWordsLength).")
            }
            return text
        }.filter { !$0.isEmpty }
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
