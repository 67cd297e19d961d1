/// A fixed number of threads, each with something of its own (a database connection), and a queue of
/// jobs.
final class SearchThreads<Resource>: Sendable {
    private let jobs: BoundedQueue<@Sendable (Resource) -> Void>
    /// Whoever waited so long in the queue is told to come again: the answer would come too late, and
    /// others wait behind.
    private let longestWait: Duration

    /// - Parameter maximumWaiting: jobs that may wait; more are refused at once rather than late.
    init(
        count: Int, maximumWaiting: Int, longestWait: Duration = .seconds(10),
        resource: @escaping @Sendable () -> Resource
    ) throws {
        self.longestWait = longestWait
        jobs = BoundedQueue(capacity: maximumWaiting)
        for _ in 0..<count {
            // Threads end when the queue is finished; nobody needs to wait for them.
            try WorkerThread.start { [jobs] in
                let resource = resource()
                while let job = jobs.pop() { job(resource) }
            }
        }
    }

    deinit {
        jobs.finish()
    }

    func run<T: Sendable>(
        _ body: @escaping @Sendable (Resource) throws -> T
    ) async throws -> T {
        // Cancelling (a server that shuts down) ends the wait, while the thread goes on by itself.
        let waiting = Waiting<T>()
        let latest = ContinuousClock.now + longestWait
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                waiting.begin(continuation)
                let isQueued = jobs.offer { resource in
                    guard !waiting.hasEnded else { return }
                    guard ContinuousClock.now < latest else {
                        return waiting.end(.failure(SearchError.overloaded))
                    }
                    waiting.end(Result { try body(resource) })
                }
                if !isQueued { waiting.end(.failure(SearchError.overloaded)) }
            }
        } onCancel: {
            waiting.end(.failure(CancellationError()))
        }
    }
}

/// A continuation that the first of several ends.
private final class Waiting<T: Sendable>: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<T, any Error>)
        case ended
        /// Ended before the wait began.
        case endedEarly(Result<T, any Error>)
    }

    private let state = Monitor(State.new)

    func begin(_ continuation: CheckedContinuation<T, any Error>) {
        let early: Result<T, any Error>? = state.update { state in
            if case .endedEarly(let result) = state {
                state = .ended
                return result
            }
            state = .waiting(continuation)
            return nil
        }
        if let early { continuation.resume(with: early) }
    }

    /// Whether nobody waits any more.
    var hasEnded: Bool {
        state.read { state in
            switch state {
            case .ended, .endedEarly: true
            case .new, .waiting: false
            }
        }
    }

    func end(_ result: Result<T, any Error>) {
        let continuation: CheckedContinuation<T, any Error>? = state.update { state in
            switch state {
            case .new:
                state = .endedEarly(result)
                return nil
            case .waiting(let continuation):
                state = .ended
                return continuation
            case .ended, .endedEarly: return nil
            }
        }
        continuation?.resume(with: result)
    }
}
