import Synchronization

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

    /// Holds a place while the body runs.
    /// - Throws: ``SiteFailure/overloaded`` when there is none, or what the body throws.
    func withPermit<Value>(
        for client: String = "", _ body: () async throws -> Value
    ) async throws -> Value {
        let share = try take(for: client)
        defer { withExtendedLifetime(share) {} }
        return try await body()
    }

    /// - Returns: what gives the amount back when it goes.
    /// - Throws: ``SiteFailure/overloaded`` when too little is left, over all or for this client.
    func take(_ amount: Int = 1, for client: String = "") throws(SiteFailure) -> Share {
        guard reserve(amount, client) else { throw .overloaded }
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

        /// - Throws: ``SiteFailure/overloaded`` when too little is left; the share stays as it was.
        func grow(by more: Int) throws(SiteFailure) {
            guard budget.reserve(more, client) else { throw .overloaded }
            amount.wrappingAdd(more, ordering: .relaxed)
        }

        deinit { budget.release(amount.load(ordering: .relaxed), client) }
    }
}
