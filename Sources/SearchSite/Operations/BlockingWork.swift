import NIOPosix
import Synchronization

/// A few threads for work that blocks or computes for long (decoding, encoding, fetching from the
/// store), and a bounded queue before them. What does not fit is refused at once instead of late.
final class BlockingWork: Sendable {
    /// Refused because the queue is full.
    struct Overload: Error {}

    private let pool: NIOThreadPool
    private let capacity: Int
    /// Running and waiting.
    private let count = Atomic(0)

    /// - Parameters:
    ///   - threads: pieces of work done at once.
    ///   - waiting: pieces that may wait.
    init(threads: Int, waiting: Int) {
        pool = NIOThreadPool(numberOfThreads: threads)
        capacity = threads + waiting
        pool.start()
    }

    deinit { pool.shutdownGracefully { _ in } }

    /// Pieces of work that run or wait.
    var load: Int { count.load(ordering: .relaxed) }

    /// Runs a piece of work on one of the threads.
    /// - Throws: ``Overload``, or what the work throws.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value
    {
        guard count.wrappingAdd(1, ordering: .relaxed).newValue <= capacity else {
            count.wrappingSubtract(1, ordering: .relaxed)
            throw Overload()
        }
        defer { count.wrappingSubtract(1, ordering: .relaxed) }
        return try await pool.runIfActive(body)
    }
}

/// Counts what goes on at the same time, up to a limit.
final class Permits: Sendable {
    private let limit: Int
    private let taken = Atomic(0)

    init(_ limit: Int) { self.limit = limit }

    var inUse: Int { taken.load(ordering: .relaxed) }

    /// - Returns: `nil` when all are taken. What comes back gives its permit back when it goes.
    func take() -> Permit? {
        guard taken.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
            taken.wrappingSubtract(1, ordering: .relaxed)
            return nil
        }
        return Permit(self)
    }

    final class Permit: Sendable {
        private let permits: Permits
        fileprivate init(_ permits: Permits) { self.permits = permits }
        deinit { permits.taken.wrappingSubtract(1, ordering: .relaxed) }
    }
}
