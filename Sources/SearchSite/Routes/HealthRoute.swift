import HTTPTypes
import Hummingbird
import ImageSearch

extension SearchSite {
    /// `GET /health`, for whatever watches over the site.
    func addHealthRoute(to router: Router<SiteContext>) {
        router.getAndHead("/health") { request, context in
            var health = Health(status: "ok", reason: nil)
            var status = HTTPResponse.Status.ok
            do {
                try await search.checkHealth()
            } catch {
                health = Health(status: "unavailable", reason: showsReasons ? "\(error)" : nil)
                logger.warning("health check failed", metadata: ["error": "\(error)"])
                status = .serviceUnavailable
            }
            var response = try health.response(from: request, context: context)
            response.status = status
            response.headers[.cacheControl] = "no-store"
            return response
        }
    }
}

private struct Health: ResponseEncodable {
    let status: String
    let reason: String?
}
