import NIOPosix
import Synchronization

/// A few threads for work that blocks or computes for long (decoding, encoding, fetching from the
/// store) with a bounded queue. Work that does not fit is refused at once.
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

/// An amount (of bytes, or of places) that clients share. No client gets more than a part of it.
package final class Budget: Sendable {
    private struct State {
        var used = 0
        var shares = 0
        var byClient: [String: Int] = [:]
    }

    private let limit: Int
    private let perClient: Int
    private let state = Mutex(State())

    init(_ limit: Int = .max, perClient: Int = .max) {
        (self.limit, self.perClient) = (limit, perClient)
    }

    /// Shares that are held.
    package var shares: Int { state.withLock { $0.shares } }

    /// - Returns: what gives the amount back when it goes; `nil` when too little is left, over all or
    ///   for this client.
    func take(_ amount: Int = 1, for client: String = "") -> Share? {
        guard reserve(amount, client) else { return nil }
        state.withLock { $0.shares += 1 }
        return Share(self, client, amount)
    }

    private func reserve(_ amount: Int, _ client: String) -> Bool {
        state.withLock { state in
            let own = state.byClient[client, default: 0]
            guard amount <= limit - state.used, amount <= perClient - own else { return false }
            state.used += amount
            state.byClient[client] = own + amount
            return true
        }
    }

    private func release(_ amount: Int, _ client: String) {
        state.withLock { state in
            state.used -= amount
            state.shares -= 1
            let rest = state.byClient[client, default: 0] - amount
            state.byClient[client] = rest > 0 ? rest : nil
        }
    }

    final class Share: Sendable {
        private let budget: Budget
        private let client: String
        private let amount: Atomic<Int>

        fileprivate init(_ budget: Budget, _ client: String, _ amount: Int) {
            self.budget = budget
            self.client = client
            self.amount = Atomic(amount)
        }

        /// - Returns: false when too little is left; the share then stays as it was.
        func grow(by more: Int) -> Bool {
            guard budget.reserve(more, client) else { return false }
            amount.wrappingAdd(more, ordering: .relaxed)
            return true
        }

        deinit { budget.release(amount.load(ordering: .relaxed), client) }
    }
}
