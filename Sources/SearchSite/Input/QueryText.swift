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
