/// A cache's statistics.
public struct CacheStatistics: Sendable {
    public var hits = 0
    public var misses = 0
    /// Values that are stored or being computed, and the sum of their costs.
    public var count = 0
    public var cost = 0
}

/// Values that are computed once; the most recently used are kept, up to a bound on their cost.
/// Concurrent requests for one value share one computation.
public final class ComputedCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        let task: Task<Value, any Error>
        /// Of the computation, so that a late one never changes a newer entry.
        let number: Int
        var cost: Int
        /// The number of its last use.
        var lastUse: Int
    }

    private struct State {
        let capacity: Int
        var entries: [Key: Entry] = [:]
        var statistics = CacheStatistics()

        mutating func remove(_ key: Key) {
            statistics.cost -= entries.removeValue(forKey: key)?.cost ?? 0
            statistics.count = entries.count
        }

        /// Stores an entry, evicting the least recently used until there is room. One that costs more than the
        /// capacity is not stored.
        mutating func insert(_ entry: Entry, for key: Key) {
            remove(key)
            guard entry.cost <= capacity else { return }
            if statistics.cost + entry.cost > capacity {
                // A full cache gets more room than is needed now, so that it is sorted rarely.
                let room = max(entry.cost, capacity / 16)
                for (key, _) in entries.sorted(by: { $0.value.lastUse < $1.value.lastUse }) {
                    guard statistics.cost + room > capacity else { break }
                    remove(key)
                }
            }
            statistics.cost += entry.cost
            entries[key] = entry
            statistics.count = entries.count
        }
    }

    private let state: Monitor<State>
    private let overhead: Int
    private let cost: @Sendable (Value) -> Int

    /// - Parameters:
    ///   - capacity: the greatest sum of costs.
    ///   - overhead: what an entry costs besides its value.
    ///   - cost: a value's cost; one that is being computed costs only the overhead.
    public init(
        capacity: Int, overhead: Int = 1, cost: @escaping @Sendable (Value) -> Int = { _ in 0 }
    ) {
        state = Monitor(State(capacity: capacity))
        self.overhead = overhead
        self.cost = cost
    }

    public var statistics: CacheStatistics { state.read { $0.statistics } }

    /// The value of a key. The computation does not end when its caller is cancelled, since others may wait for it.
    ///
    /// - Throws: what `compute` throws, to every caller that waits for it; the next caller computes again.
    public func value(
        for key: Key, compute: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let task = state.update { state in
            let now = state.statistics.hits + state.statistics.misses
            if let entry = state.entries[key] {
                state.statistics.hits += 1
                state.entries[key]?.lastUse = now
                return entry.task
            }
            state.statistics.misses += 1
            let task = Task { try await self.run(compute, number: now, for: key) }
            state.insert(
                Entry(task: task, number: now, cost: overhead, lastUse: now), for: key)
            return task
        }
        return try await task.value
    }

    /// Runs a computation and records its outcome, unless its entry is no longer there.
    private func run(
        _ compute: () async throws -> Value, number: Int, for key: Key
    ) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await compute()) } catch { result = .failure(error) }
        state.update { state in
            guard var entry = state.entries[key], entry.number == number else { return }
            if case .success(let value) = result {
                entry.cost = overhead + cost(value)
                state.insert(entry, for: key)
            } else {
                state.remove(key)
            }
        }
        return try result.get()
    }
}
