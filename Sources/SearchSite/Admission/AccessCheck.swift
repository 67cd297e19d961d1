import Bytes
import FoundationEssentials
import HTTPTypes
import Hummingbird

/// An option of the site that cannot be used; one sentence that names it.
public struct SiteOptionError: Error, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// What has to hold before a request reaches its route.
protocol AdmissionCheck: Sendable {
    /// - Throws: what the client is told instead of an answer.
    func check(_ request: Request, _ context: SiteContext) throws(SiteFailure)
}

/// Makes the checks in their order, and counts what they refuse.
struct Admission: RouterMiddleware {
    let checks: [any AdmissionCheck]
    let metrics: Metrics

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        do {
            for check in checks { try check.check(request, context) }
        } catch {
            metrics.count(.refused, [("reason", "\(error.status.code)")])
            throw error
        }
        return try await next(request, context)
    }
}

/// The names under which the site answers (the `Host` field, RFC 9110, 7.2). Probes ask by address.
///
/// A page of another site can make its own name lead to this machine's loopback address, and then read
/// the answers as its own (DNS rebinding). The name gives it away.
public struct AllowedHosts: AdmissionCheck {
    /// `nil` allows every name.
    private var names: Set<String>?

    init() {}

    /// - Parameters:
    ///   - names: host names and IP addresses without scheme and port. If there are none, a site that
    ///     listens on the loopback address allows the loopback names, any other allows all.
    ///   - host: the address that the site listens on.
    /// - Throws: ``SiteOptionError`` for a name that no `Host` field can match.
    public init(_ names: [String], host: String) throws(SiteOptionError) {
        guard !names.isEmpty || Self.isLoopback(host) else { return }
        self.names = Set(try names.map(Self.normalized))
        if Self.isLoopback(host) {
            self.names?.formUnion(["localhost", "127.0.0.1", "[::1]", host])
        }
    }

    /// Whether only this machine can reach a site that listens on `host`.
    public static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }

    private static func normalized(_ name: String) throws(SiteOptionError) -> String {
        if name.contains(":") {
            let bare =
                name.hasPrefix("[") && name.hasSuffix("]") ? name.dropFirst().dropLast() : name[...]
            if IPAddress(bare) != nil { return "[\(bare.lowercased())]" }
            throw SiteOptionError(
                "--allowed-host \(name): give the name alone, without https:// and without a port")
        }
        guard name.utf8.allSatisfy(PercentEncoding.isUnreserved), !name.isEmpty else {
            throw SiteOptionError("--allowed-host \(name): this is not a host name")
        }
        return name.lowercased()
    }

    func check(_ request: Request, _ context: SiteContext) throws(SiteFailure) {
        guard let names, !request.isProbe else { return }
        guard let authority = request.head.authority, names.contains(Self.name(in: authority))
        else {
            throw SiteFailure(
                status: .misdirectedRequest, heading: "This site does not answer to that name",
                message: "Its operator can allow the name with --allowed-host.")
        }
    }

    /// The name in lower case, without the port.
    static func name(in authority: some StringProtocol) -> String {
        // The port follows the last colon outside an IPv6 address's brackets.
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            return authority[..<colon].lowercased()
        }
        return authority.lowercased()
    }
}

/// Refuses forms of other sites, which would make this visitor's browser search. Browsers say where a
/// request comes from (W3C Fetch Metadata, section 2.4); links from elsewhere are welcome.
struct CrossSiteCheck: AdmissionCheck {
    func check(_ request: Request, _ context: SiteContext) throws(SiteFailure) {
        guard request.method != .post || !Self.isFromElsewhere(request) else {
            throw SiteFailure(
                status: .forbidden, heading: "This was sent by another site",
                message: "Searches with a picture have to start on this site's own pages.")
        }
    }

    /// Browsers without `Sec-Fetch-Site` send `Origin` with every POST (RFC 6454, 7.3). Programs send
    /// neither. The port is not compared, since proxies may have changed it.
    private static func isFromElsewhere(_ request: Request) -> Bool {
        if let site = request.headers[.secFetchSite] { return site == "cross-site" }
        guard let origin = request.headers[.origin] else { return false }
        guard let scheme = origin.firstRange(of: "://") else { return true }
        return AllowedHosts.name(in: origin[scheme.upperBound...])
            != request.head.authority.map { AllowedHosts.name(in: $0) }
    }
}

extension Request {
    /// Whether it is a monitoring probe's, whose answer needs no protection.
    var isProbe: Bool { uri.path == "/health" || uri.path == "/ready" }
}

/// Who may use the site, as `WEB_AUTH` says: `basic:USER:PASSWORD` (RFC 7617) or `bearer:TOKEN`
/// (RFC 6750).
public struct AccessRule: Sendable {
    /// For the `WWW-Authenticate` field of a 401.
    let challenge: String
    /// Of the whole credentials; neither they nor their length are kept.
    private let digest: [UInt8]
    private let scheme: String

    /// - Throws: ``SiteOptionError`` for a text of neither form, and for an empty part.
    public init(_ setting: String) throws(SiteOptionError) {
        let parts = setting.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        scheme = parts[0].lowercased()
        let credentials = setting.dropFirst(parts[0].count + 1)
        switch scheme {
        case "basic" where parts.count == 3 && !parts[1].isEmpty && !parts[2].isEmpty:
            challenge = "Basic realm=\"Picture Search\", charset=\"UTF-8\""
            digest = SHA256.digest(of: Data(credentials.utf8).base64EncodedString().utf8)
        // The characters of a token68 (RFC 9110, 11.2); others could never be sent.
        case "bearer"
        where !credentials.isEmpty
            && credentials.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }:
            challenge = "Bearer realm=\"Picture Search\""
            digest = SHA256.digest(of: credentials.utf8)
        default:
            throw SiteOptionError(
                "WEB_AUTH cannot be used: write basic:USER:PASSWORD or bearer:TOKEN")
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
struct AccessCheck: AdmissionCheck {
    let access: AccessRule
    let clients: ClientAddress
    /// Credentials that one address may get wrong: ten, then one a second.
    let failures: RateLimit

    func check(_ request: Request, _ context: SiteContext) throws(SiteFailure) {
        if request.isProbe { return }
        let credentials = request.headers[.authorization]
        let client = clients.group(of: request, peer: context.peer)
        // A client that guesses too often is refused before the next guess is looked at.
        if credentials != nil, let seconds = failures.take(client, 0, leaving: 1) {
            throw .tooManyRequests(seconds: seconds)
        }
        guard !access.allows(credentials) else { return }
        if credentials != nil {
            _ = failures.take(client)
            context.logger.notice("credentials refused", metadata: ["client": "\(client)"])
        }
        throw SiteFailure(
            status: .unauthorized, heading: "This site asks who you are",
            message: "Reload the page and enter the user name and password that you were given.",
            headers: [.wwwAuthenticate: access.challenge])
    }
}
