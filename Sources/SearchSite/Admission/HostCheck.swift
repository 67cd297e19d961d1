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
