import HTTPTypes
import Hummingbird
import ImageSearch
import Synchronization

extension SearchSite {
    /// `GET /health`, `/ready` and `/metrics`, for monitoring.
    func addOperatorRoutes(to router: Router<SiteContext>) {
        let ok = [("status", JSON.string("ok"))]
        router.getAndHead("/health") { _, _ in Self.json(ok) }
        router.getAndHead("/ready") { _, context in
            do {
                try await health.value().get()
                return Self.json(ok)
            } catch SearchError.overloaded {
                // Busy, and working.
                return Self.json(ok)
            } catch {
                context.logger.warning("not ready: \(error)")
                let reason = configuration.showsReasons ? JSON.string("\(error)") : nil
                var response = Self.json(
                    JSON.members(["status": .string("unavailable"), "reason": reason]))
                response.status = .serviceUnavailable
                response.headers[.retryAfter] = "2"
                return response
            }
        }
        router.getAndHead("/metrics") { _, _ in
            Response(metrics.text(readings), "text/plain; version=0.0.4; charset=utf-8")
        }
    }

    private var readings: [Metric: Int] {
        let thumbnails = pictures.statistics
        let texts = statistics()
        let all: [Metric: Int?] = [
            .searches: searches.shares, .encodings: encodings.load, .uploads: uploads.shares,
            .textHits: texts?.hits, .textMisses: texts?.misses, .textEntries: texts?.count,
            .thumbnailHits: thumbnails.hits, .thumbnailMisses: thumbnails.misses,
            .thumbnailBytes: thumbnails.cost,
        ]
        return all.compactMapValues(\.self)
    }

    static func json(_ members: [(String, JSON)]) -> Response {
        Response(JSON.object(members).text, "application/json")
    }
}

/// A value that is asked for again only when it is older than a given time, and by one caller at a
/// time: monitoring, for example, must not take the places of visitors.
final class Refreshed<Value: Sendable>: Sendable {
    private struct State {
        var task: Task<Value, Never>?
        /// When the value is too old; nil while it is being asked for.
        var end: ContinuousClock.Instant?
    }

    private let lifetime: Duration
    private let ask: @Sendable () async -> Value
    private let state = Mutex(State())

    init(every lifetime: Duration, ask: @escaping @Sendable () async -> Value) {
        self.lifetime = lifetime
        self.ask = ask
    }

    func value() async -> Value {
        let task = state.withLock { state in
            if let task = state.task, state.end.map({ $0 > .now }) ?? true { return task }
            let task = Task { [self] in
                let value = await ask()
                self.state.withLock { $0.end = .now + lifetime }
                return value
            }
            (state.task, state.end) = (task, nil)
            return task
        }
        return await task.value
    }
}
