import ImageSearch
import Synchronization

/// Whether searches can be answered, found out at most twice a second however many ask: whoever watches
/// over the site must not take the places of those who search.
final class HealthCheck: Sendable {
    private struct State {
        var task: Task<Void, any Error>?
        /// When the answer is too old; nil while it is being found out.
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
