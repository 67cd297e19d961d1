import Bytes
import FoundationEssentials
import HTTPTypes
import Hummingbird

/// Who may use the site, as `WEB_AUTH` says: `basic:USER:PASSWORD` (RFC 7617) or `bearer:TOKEN`
/// (RFC 6750).
public struct AccessRule: Sendable {
    /// `WEB_AUTH` is of neither form.
    public struct Malformed: Error, CustomStringConvertible {
        public var description: String {
            "WEB_AUTH cannot be used: write basic:USER:PASSWORD or bearer:TOKEN"
        }
    }

    /// For the `WWW-Authenticate` field of a 401.
    let challenge: String
    /// Of the whole credentials; neither they nor their length are kept.
    private let digest: [UInt8]
    private let scheme: String

    /// - Throws: ``Malformed`` for a text of neither form, and for an empty part.
    public init(_ setting: String) throws(Malformed) {
        let parts = setting.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[1].isEmpty else { throw Malformed() }
        switch parts[0].lowercased() {
        case "basic":
            let pair = parts[1].split(
                separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].isEmpty, !pair[1].isEmpty else { throw Malformed() }
            scheme = "basic"
            challenge = "Basic realm=\"Picture Search\", charset=\"UTF-8\""
            digest = SHA256.digest(of: Data(parts[1].utf8).base64EncodedString().utf8)
        case "bearer":
            // The characters of a token68 (RFC 9110, 11.2); others could never be sent.
            guard parts[1].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw Malformed() }
            scheme = "bearer"
            challenge = "Bearer realm=\"Picture Search\""
            digest = SHA256.digest(of: parts[1].utf8)
        default: throw Malformed()
        }
    }

    /// Whether an `Authorization` field carries the credentials. The digests are compared in constant
    /// time, so that the time tells nothing about how much of a guess is right.
    func allows(_ authorization: String?) -> Bool {
        guard let authorization else { return false }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == scheme else { return false }
        let credentials = parts[1].drop { $0 == " " }
        return equalInConstantTime(SHA256.digest(of: credentials.utf8), digest)
    }
}

/// Asks for credentials, and lets no address try many.
struct AccessCheck: RouterMiddleware {
    let access: AccessRule
    let clients: ClientAddress
    let refusals: Refusals
    /// Credentials that one address may get wrong: ten, then one a second.
    let failures: RateLimit

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        if !request.isProbe { try check(request, context) }
        return try await next(request, context)
    }

    private func check(_ request: Request, _ context: SiteContext) throws(SiteFailure) {
        let credentials = request.headers[.authorization]
        let client = clients.group(of: request, peer: context.peer)
        // A client that guesses too often is refused before the next guess is looked at.
        if credentials != nil, let seconds = failures.wait(client) {
            throw refusals.counted(.tooManyRequests(seconds: seconds))
        }
        guard !access.allows(credentials) else { return }
        if credentials != nil {
            _ = failures.take(client)
            context.logger.notice("credentials refused", metadata: ["client": "\(client)"])
        }
        throw refusals.counted(.unauthorized(challenge: access.challenge))
    }
}

extension SiteFailure {
    fileprivate static func unauthorized(challenge: String) -> SiteFailure {
        SiteFailure(
            status: .unauthorized, heading: "This site asks who you are",
            message: "Reload the page and enter the user name and password that you were given.",
            headers: [.wwwAuthenticate: challenge])
    }
}
