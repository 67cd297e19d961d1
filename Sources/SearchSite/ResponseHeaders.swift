import HTTPTypes
import Hummingbird

/// What every answer carries, whatever made it: the headers that keep a browser from doing more
/// than was meant, and no body for HEAD.
struct ResponseHeaders: RouterMiddleware {
    /// Whether the site answers over TLS itself.
    let isSecure: Bool

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        var headers = response.headers
        headers[.xContentTypeOptions] = "nosniff"
        // A page's address holds what was searched for; the store of the pictures, another origin,
        // has no business knowing it.
        headers[.referrerPolicy] = "no-referrer"
        headers[.xFrameOptions] = "DENY"
        headers[.crossOriginOpenerPolicy] = "same-origin"
        headers[.crossOriginResourcePolicy] = "same-origin"
        headers[.permissionsPolicy] = "camera=(), geolocation=(), microphone=()"
        if headers[.contentSecurityPolicy] == nil {
            headers[.contentSecurityPolicy] = "default-src 'none'; frame-ancestors 'none'; sandbox"
        }
        if isSecure { headers[.strictTransportSecurity] = "max-age=31536000" }
        response.headers = headers
        // A 304 and an answer to HEAD keep their Content-Length but have no body (RFC 9110, 8.6).
        return request.method == .head ? response.createHeadResponse() : response
    }
}

extension HTTPField.Name {
    static let crossOriginOpenerPolicy = Self("Cross-Origin-Opener-Policy")!
    static let crossOriginResourcePolicy = Self("Cross-Origin-Resource-Policy")!
    static let permissionsPolicy = Self("Permissions-Policy")!
    static let referrerPolicy = Self("Referrer-Policy")!
    static let xFrameOptions = Self("X-Frame-Options")!
}
