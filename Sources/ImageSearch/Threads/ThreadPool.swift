/// A pool or a limiter is full; try again in a moment.
package struct Overload: Error, CustomStringConvertible {
    package var description: String { "too many requests at once: try again in a moment" }
}

/// A few threads for blocking work (libpq, curl, BLAS), each with a resource of its own such as a
/// database connection, and a bounded queue in front of them.
///
/// Threads start when there is work for them and end with the pool.
package final class ThreadPool<Resource>: Sendable {
    private struct State {
        var threads = 0
        /// Jobs that run or wait.
        var load = 0
    }

    private let maximumThreads: Int
    private let maximumWaiting: Int
    private let longestWait: Duration?
    private let makeResource: @Sendable () -> Resource
    private let jobs = BoundedQueue<@Sendable (Resource) -> Void>(capacity: .max)
    private let state = Monitor(State())

    /// - Parameters:
    ///   - threads: jobs that run at the same time.
    ///   - waiting: jobs that may wait; more are refused at once instead of answered late.
    ///   - longestWait: a job that waited longer is refused.
    ///   - resource: made on each thread, and used only there.
    package init(
        threads: Int, waiting: Int, longestWait: Duration? = nil,
        resource: @escaping @Sendable () -> Resource
    ) {
        maximumThreads = threads
        maximumWaiting = waiting
        self.longestWait = longestWait
        makeResource = resource
    }

    deinit { jobs.finish() }

    /// Jobs that run or wait.
    package var load: Int { state.read { $0.load } }

    /// Runs a job on one of the threads. A cancelled caller stops waiting; a job that has begun runs to its end.
    ///
    /// - Throws: ``Overload``, ``ThreadError``, `CancellationError`, or what the job throws.
    package func run<Value: Sendable>(
        _ body: @escaping @Sendable (Resource) throws -> Value
    ) async throws -> Value {
        try admit()
        let latest = longestWait.map { ContinuousClock.now + $0 }
        let (results, result) = AsyncThrowingStream.makeStream(of: Value.self)
        let isAbandoned = Monitor(false)
        result.onTermination = { reason in
            if case .cancelled = reason { isAbandoned.update { $0 = true } }
        }
        jobs.push { [state] resource in
            let outcome: Result<Value, any Error>? =
                if isAbandoned.read({ $0 }) {
                    nil
                } else if let latest, latest < .now {
                    .failure(Overload())
                } else {
                    Result { try body(resource) }
                }
            // Before the answer, so that a caller that asks again finds room.
            state.update { $0.load -= 1 }
            switch outcome {
            case .success(let value):
                result.yield(value)
                result.finish()
            case .failure(let error): result.finish(throwing: error)
            case nil: break
            }
        }
        for try await value in results { return value }
        throw CancellationError()
    }

    /// Counts a job in, and starts a thread if all of them are busy and more are allowed.
    private func admit() throws {
        try state.update { state in
            guard state.load < maximumThreads + maximumWaiting else { throw Overload() }
            if state.threads <= state.load, state.threads < maximumThreads {
                do {
                    try SystemThread.start { [jobs, makeResource] in
                        let resource = makeResource()
                        while let job = jobs.pop() { job(resource) }
                    }
                    state.threads += 1
                } catch {
                    // Fewer threads than allowed still do the work.
                    guard state.threads > 0 else { throw error }
                }
            }
            state.load += 1
        }
    }
}

extension ThreadPool<Void> {
    package convenience init(threads: Int, waiting: Int, longestWait: Duration? = nil) {
        self.init(threads: threads, waiting: waiting, longestWait: longestWait, resource: {})
    }
}
