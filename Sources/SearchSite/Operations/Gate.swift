import HTTPTypes
import Hummingbird

/// Lets in who may come in: under an allowed name, with the credentials, not too often, and not sent by
/// another site.
struct Gate: RouterMiddleware {
    let hosts: AllowedHosts
    let access: AccessRule?
    let rateLimit: RateLimit?
    /// For small pictures, of which a page has many.
    let thumbnailLimit: RateLimit?
    let clients: ClientAddress
    let metrics: Metrics

    /// For whatever watches over the site; they tell nothing that needs guarding.
    private static let open: Set<String> = ["/health", "/ready"]
    /// What costs little and is part of a page counts for no rate limit.
    private static let uncounted = ["/assets/", "/favicon", "/health", "/ready"]
    /// Credentials that one address may get wrong: ten, then one a second.
    private let failures = RateLimit(perMinute: 60)

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        do {
            try check(request, context)
        } catch {
            metrics.count(MetricName.refused, [("reason", "\(error.status.code)")])
            throw error
        }
        return try await next(request, context)
    }

    private func check(_ request: Request, _ context: SiteContext) throws(SiteFailure) {
        let path = request.uri.path
        // Probes ask by address.
        guard Self.open.contains(path) || hosts.allows(request.head.authority) else {
            throw .misdirected
        }
        let client = clients.group(of: request, peer: context.peer)
        if let access, !Self.open.contains(path) {
            try check(request.headers[.authorization], of: client, access, context)
        }
        let limit =
            path.hasPrefix(PicturePath.thumbnailPrefix)
            ? thumbnailLimit
            : Self.uncounted.contains(where: path.hasPrefix) ? nil : rateLimit
        if let seconds = limit?.take(client) { throw .tooManyRequests(seconds: seconds) }
        // A form of another site would make this visitor's browser search; browsers tell (W3C Fetch
        // Metadata, section 2.4). Links from elsewhere are welcome.
        if request.method == .post, Self.isFromElsewhere(request) { throw .fromElsewhere }
    }
}

extension Gate {
    /// Browsers without `Sec-Fetch-Site` send `Origin` with every POST (RFC 6454, 7.3). Programs send
    /// neither. The port is not compared, since proxies may have changed it.
    private static func isFromElsewhere(_ request: Request) -> Bool {
        if let site = request.headers[.secFetchSite] { return site == "cross-site" }
        guard let origin = request.headers[.origin] else { return false }
        guard let scheme = origin.firstRange(of: "://") else { return true }
        return AllowedHosts.name(in: origin[scheme.upperBound...])
            != request.head.authority.map { AllowedHosts.name(in: $0) }
    }

    /// Whoever guesses too often is refused before the next guess is looked at.
    private func check(
        _ credentials: String?, of client: String, _ access: AccessRule, _ context: SiteContext
    ) throws(SiteFailure) {
        if credentials != nil, let seconds = failures.wait(client) {
            throw .tooManyRequests(seconds: seconds)
        }
        guard !access.allows(credentials) else { return }
        if credentials != nil {
            _ = failures.take(client)
            context.logger.notice("credentials refused", metadata: ["client": "\(client)"])
        }
        throw .unauthorized(challenge: access.challenge)
    }
}

extension SiteFailure {
    fileprivate static let misdirected = SiteFailure(
        status: .misdirectedRequest, heading: "This site does not go by that name",
        message: "Whoever runs it can allow the name with --allowed-host.")

    fileprivate static let fromElsewhere = SiteFailure(
        status: .forbidden, heading: "This was sent by another site",
        message: "Searches with a picture have to start on this site's own pages.")

    fileprivate static func unauthorized(challenge: String) -> SiteFailure {
        SiteFailure(
            status: .unauthorized, heading: "This site asks who you are",
            message: "Reload the page and give the user name and password that you were given.",
            headers: [.wwwAuthenticate: challenge])
    }

    fileprivate static func tooManyRequests(seconds: Int) -> SiteFailure {
        SiteFailure(
            status: .tooManyRequests, heading: "That was a lot of searches",
            message:
                "Please wait \(seconds == 1 ? "a second" : "\(seconds) seconds"), then try again.",
            headers: [.retryAfter: "\(seconds)"])
    }
}

extension HTTPField.Name {
    static let secFetchSite = Self("Sec-Fetch-Site")!
}
