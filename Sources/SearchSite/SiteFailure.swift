import HTTPTypes

/// An answer that is not what was asked for, in words for a page or a program.
struct SiteFailure: Error {
    let status: HTTPResponse.Status
    /// A few words.
    let heading: String
    /// One or two sentences for the visitor.
    let message: String
    /// What the operator needs to know, if it differs.
    var operatorDetail: String?
    /// What was searched for, to keep it in the search box.
    var search: SearchState?
    var headers = HTTPFields()

    static let notFound = SiteFailure(
        status: .notFound, heading: "There is no such page",
        message: "The address may be mistyped. You can search from here.")

    static let noSuchPicture = SiteFailure(
        status: .notFound, heading: "There is no such picture",
        message: "It may have been removed since the search. You can search again from here.")

    static let internalError = SiteFailure(
        status: .internalServerError, heading: "Something went wrong",
        message: "The page could not be made. Please try again.")

    static let nothingToSearchFor = SiteFailure(
        status: .badRequest, heading: "There is nothing to search for",
        message: "Give a text in q, the key of a stored picture in image_key, or a picture.")

    static let overloaded = SiteFailure(
        status: .serviceUnavailable, heading: "Too many searches at once",
        message: "Your search was not started. Please try again in a moment.",
        headers: [.retryAfter: "2"])

    static let starting = SiteFailure(
        status: .serviceUnavailable, heading: "The search is starting",
        message: "The model is being loaded. Please try again in a moment.",
        headers: [.retryAfter: "5"])

    static func methodNotAllowed(allowed: String) -> SiteFailure {
        SiteFailure(
            status: .methodNotAllowed, heading: "This does not work here",
            message: "This address answers \(allowed) requests only.",
            headers: [.allow: allowed])
    }

    static func tooLarge(limit: Int) -> SiteFailure {
        SiteFailure(
            status: .contentTooLarge, heading: "This picture is too large",
            message: "The largest picture file that is searched with has "
                + "\(ByteCount.text(limit)). A smaller copy finds the same pictures.")
    }

    static let noForm = SiteFailure(
        status: .unsupportedMediaType, heading: "This cannot be searched for",
        message: "A picture has to come as multipart/form-data, in a field named picture.")

    /// - Parameter reason: what the search threw, in words for the operator, if the page may
    ///   say it.
    static func searchUnavailable(reason: String?) -> SiteFailure {
        SiteFailure(
            status: .serviceUnavailable, heading: "The search is not available right now",
            message: "Your text was not searched for. Please try again in a moment.",
            operatorDetail: reason,
            headers: [.retryAfter: "2"])
    }
}

/// A number of bytes for people.
enum ByteCount {
    /// "874 bytes", "12 kB", "3.4 MB": decimal units, as file managers and networks have them.
    static func text(_ bytes: Int) -> String {
        switch bytes {
        case ..<1_000: return bytes == 1 ? "1 byte" : "\(bytes) bytes"
        case ..<999_500: return "\((bytes + 500) / 1_000) kB"
        case ..<9_950_000:
            let tenths = (bytes + 50_000) / 100_000
            return "\(tenths / 10).\(tenths % 10) MB"
        case ..<999_500_000: return "\((bytes + 500_000) / 1_000_000) MB"
        default:
            let tenths = bytes / 100_000_000 + (bytes % 100_000_000 >= 50_000_000 ? 1 : 0)
            return "\(tenths / 10).\(tenths % 10) GB"
        }
    }
}
