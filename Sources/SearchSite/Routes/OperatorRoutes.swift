import HTTPTypes
import Hummingbird
import ImageSearch
import Synchronization

extension SearchSite {
    /// `GET /health`, `/ready` and `/metrics`, for monitoring.
    func addOperatorRoutes(to router: Router<SiteContext>) {
        let ok = JSON.object([("status", .string("ok"))])
        router.getAndHead("/health") { _, _ in Self.json(ok) }
        router.getAndHead("/ready") { _, context in
            do {
                try await health.check()
                return Self.json(ok)
            } catch SearchError.overloaded {
                // Busy, and working.
                return Self.json(ok)
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
            Response(metrics.text, "text/plain; version=0.0.4; charset=utf-8")
        }
    }

    static func json(_ value: JSON) -> Response { Response(value.text, "application/json") }
}

/// Whether searches can be answered, checked at most twice a second: monitoring must not take the places
/// of visitors.
final class HealthCheck: Sendable {
    private struct State {
        var task: Task<Void, any Error>?
        /// When the result is too old; nil during the check.
        var end: ContinuousClock.Instant?
    }

    private static let lifetime = Duration.milliseconds(500)

    private let search: any PictureSearch
    private let state = Mutex(State())

    init(_ search: any PictureSearch) {
        self.search = search
    }

    /// - Throws: what the search's own check throws.
    func check() async throws {
        let task = state.withLock { state in
            if let task = state.task, state.end.map({ $0 > .now }) ?? true { return task }
            let task = Task { [self] in
                defer { self.state.withLock { $0.end = .now + Self.lifetime } }
                try await search.checkHealth()
            }
            (state.task, state.end) = (task, nil)
            return task
        }
        try await task.value
    }
}
