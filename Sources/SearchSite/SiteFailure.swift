import HTTPTypes

/// An answer that is not what was asked for, in words for a page.
struct SiteFailure: Error {
    let status: HTTPResponse.Status
    /// A few words.
    let heading: String
    /// One or two sentences for the visitor.
    let message: String
    /// What whoever runs the site needs to know, when that is something else.
    var operatorDetail: String?
    /// The text searched for, to keep it in the search box.
    var query = ""
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

    static func methodNotAllowed(allowed: String) -> SiteFailure {
        SiteFailure(
            status: .methodNotAllowed, heading: "This does not work here",
            message: "This address answers \(allowed) requests only.",
            headers: [.allow: allowed])
    }

    /// - Parameter reason: what the search threw, in words for whoever runs the site, if the page may
    ///   say it.
    static func searchUnavailable(reason: String?) -> SiteFailure {
        SiteFailure(
            status: .serviceUnavailable, heading: "The search is not available right now",
            message: "Your text was not searched for. Please try again in a moment.",
            operatorDetail: reason,
            headers: [.retryAfter: "10"])
    }
}
