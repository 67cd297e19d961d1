import HTTPTypes
import Hummingbird

/// Lets in who may come in: under an allowed name, with the credentials, not too often, and not sent by
/// another site.
struct Gate: RouterMiddleware {
    let hosts: AllowedHosts
    let access: AccessRule?
    let rateLimit: RateLimit?
    let clients: ClientAddress
    let metrics: Metrics

    /// For whatever watches over the site; they tell nothing that needs guarding.
    private static let open: Set<String> = ["/health", "/ready"]
    /// What costs little and is part of a page counts for no rate limit.
    private static let uncounted = ["/assets/", "/favicon", "/health", "/ready", "/thumbnails/"]

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
        guard hosts.allows(request.head.authority) else { throw .misdirected }
        if let rateLimit, !Self.uncounted.contains(where: path.hasPrefix),
            let seconds = rateLimit.take(clients.of(request, peer: context.peer))
        {
            throw .tooManyRequests(seconds: seconds)
        }
        if let access, !Self.open.contains(path), !access.allows(request.headers[.authorization]) {
            context.logger.notice(
                "credentials refused",
                metadata: ["client": "\(clients.of(request, peer: context.peer))"])
            throw .unauthorized(challenge: access.challenge)
        }
        // A form of another site would make this visitor's browser search; browsers tell (W3C Fetch
        // Metadata, section 2.4). Links from elsewhere are welcome.
        if request.method == .post, request.headers[.secFetchSite] == "cross-site" {
            throw .fromElsewhere
        }
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
