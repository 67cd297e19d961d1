import Bytes
import FoundationEssentials
import HTTPTypes
import Hummingbird

/// An option of the site that cannot be used; one sentence that names it.
public struct SiteOptionError: Error, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The names under which the site answers (the `Host` field, RFC 9110, 7.2).
///
/// A page of another site can make its own name lead to this machine's loopback address, and then read
/// the answers as its own (DNS rebinding). The name gives it away.
public struct AllowedHosts: Sendable {
    /// `nil` allows every name.
    private let names: Set<String>?

    private static let loopback: Set<String> = ["localhost", "127.0.0.1", "[::1]"]

    /// - Parameters:
    ///   - names: host names and IP addresses without scheme and port. If there are none, a site that
    ///     listens on the loopback address allows the loopback names, any other allows all.
    ///   - host: the address that the site listens on.
    /// - Throws: ``SiteOptionError`` for a name that no `Host` field can match.
    init(_ names: [String], host: String) throws(SiteOptionError) {
        guard !names.isEmpty || Self.isLoopback(host) else {
            self.names = nil
            return
        }
        var allowed: Set<String> = []
        for name in names { allowed.insert(try Self.normalized(name)) }
        if Self.isLoopback(host) { allowed.formUnion(Self.loopback.union([host])) }
        self.names = allowed
    }

    private init() { names = nil }

    static let all = AllowedHosts()

    static func isLoopback(_ host: String) -> Bool {
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
        let isName = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard isName, !name.isEmpty else {
            throw SiteOptionError("--allowed-host \(name): this is not a host name")
        }
        return name.lowercased()
    }

    /// - Parameter authority: the `Host` field, with or without a port.
    func allows(_ authority: String?) -> Bool {
        guard let names else { return true }
        guard let authority else { return false }
        return names.contains(Self.name(in: authority))
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

/// Answers only under allowed names. Probes ask by address.
struct HostCheck: RouterMiddleware {
    let hosts: AllowedHosts
    let refusals: Refusals

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        guard request.isProbe || hosts.allows(request.head.authority) else {
            throw refusals.counted(.misdirected)
        }
        return try await next(request, context)
    }
}

/// Refuses forms of other sites, which would make this visitor's browser search. Browsers say where a
/// request comes from (W3C Fetch Metadata, section 2.4); links from elsewhere are welcome.
struct CrossSiteCheck: RouterMiddleware {
    let refusals: Refusals

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        guard request.method != .post || !Self.isFromElsewhere(request) else {
            throw refusals.counted(.fromElsewhere)
        }
        return try await next(request, context)
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

/// Counts what the admission middleware refuses.
struct Refusals: Sendable {
    let metrics: Metrics

    func counted(_ failure: SiteFailure) -> SiteFailure {
        metrics.count(.refused, [("reason", "\(failure.status.code)")])
        return failure
    }
}

extension Request {
    /// Whether it is a monitoring probe's, whose answer needs no protection.
    var isProbe: Bool { uri.path == "/health" || uri.path == "/ready" }
}

extension SiteFailure {
    fileprivate static let misdirected = SiteFailure(
        status: .misdirectedRequest, heading: "This site does not answer to that name",
        message: "Its operator can allow the name with --allowed-host.")

    fileprivate static let fromElsewhere = SiteFailure(
        status: .forbidden, heading: "This was sent by another site",
        message: "Searches with a picture have to start on this site's own pages.")
}

extension HTTPField.Name {
    static let secFetchSite = Self("Sec-Fetch-Site")!
}

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
