import HTTPTypes
import Hummingbird
import ImageSearch

extension SearchSite {
    /// `GET /health`, `/ready` and `/metrics`, for whatever watches over the site.
    func addOperatorRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/health") { _, _ in
            Self.json(.object([("status", .string("ok"))]))
        }
        router.getAndHead("/ready") { _, context in
            do {
                try await health.check()
                return Self.json(.object([("status", .string("ok"))]))
            } catch SearchError.overloaded {
                // Busy, and at work.
                return Self.json(.object([("status", .string("ok"))]))
            } catch {
                context.logger.warning("not ready: \(error)")
                var members: [(String, JSON)] = [("status", .string("unavailable"))]
                if configuration.showsReasons { members.append(("reason", .string("\(error)"))) }
                var response = Self.json(.object(members))
                response.status = .serviceUnavailable
                response.headers[.retryAfter] = "2"
                return response
            }
        }
        router.getAndHead("/metrics") { _, _ in
            Response(
                status: .ok,
                headers: [
                    .contentType: "text/plain; version=0.0.4; charset=utf-8",
                    .cacheControl: "no-store",
                ],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.text)))
        }
    }

    /// An answer for programs, which is not to be kept.
    static func json(_ value: JSON) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: value.text)))
    }
}
