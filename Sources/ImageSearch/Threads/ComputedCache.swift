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
    private enum Entry: Sendable {
        case ready(Value)
        /// With the computation's number, so that a late one never replaces a newer entry.
        case computing(Int, Task<Value, any Error>)
    }

    private struct State {
        var cache: LRUCache<Key, Entry>
        var hits = 0
        var misses = 0
        var computations = 0

        /// Whether a computation may write its key's entry.
        mutating func isCurrent(_ number: Int, for key: Key) -> Bool {
            switch cache.value(for: key) {
            case .computing(number, _), nil: true
            case .computing, .ready: false
            }
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
        state = Monitor(State(cache: LRUCache(capacity: capacity)))
        self.overhead = overhead
        self.cost = cost
    }

    public var statistics: CacheStatistics {
        state.read { state in
            CacheStatistics(
                hits: state.hits, misses: state.misses, count: state.cache.count,
                cost: state.cache.cost)
        }
    }

    /// The value of a key. The computation does not end when its caller is cancelled, since others
    /// may wait for it.
    ///
    /// - Throws: what `compute` throws, to every caller that waits for it; the next caller computes
    ///   again.
    public func value(
        for key: Key, compute: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let entry = state.update { state -> Entry in
            if let entry = state.cache.value(for: key) {
                state.hits += 1
                return entry
            }
            state.misses += 1
            state.computations += 1
            let number = state.computations
            let entry = Entry.computing(
                number, Task { try await self.run(compute, number: number, for: key) })
            state.cache.insert(entry, for: key, cost: overhead)
            return entry
        }
        switch entry {
        case .ready(let value): return value
        case .computing(_, let task): return try await task.value
        }
    }

    /// Runs a computation and records its outcome once.
    private func run(
        _ compute: () async throws -> Value, number: Int, for key: Key
    ) async throws -> Value {
        do {
            let value = try await compute()
            state.update { state in
                guard state.isCurrent(number, for: key) else { return }
                state.cache.insert(.ready(value), for: key, cost: cost(value) + overhead)
            }
            return value
        } catch {
            state.update { if $0.isCurrent(number, for: key) { $0.cache.remove(key) } }
            throw error
        }
    }
}

/// Keeps the most recently used values, up to a bound on their cost. A value type without locks.
struct LRUCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        let value: Value
        let cost: Int
        /// The number of its last use.
        var lastUse: Int
    }

    private let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var uses = 0
    /// Sum of the costs of the stored values.
    private(set) var cost = 0
    var count: Int { entries.count }

    /// - Parameter capacity: the greatest sum of costs.
    init(capacity: Int) { self.capacity = capacity }

    /// A key's value, which becomes the most recently used.
    mutating func value(for key: Key) -> Value? {
        guard let entry = entries[key] else { return nil }
        uses += 1
        entries[key]?.lastUse = uses
        return entry.value
    }

    /// Stores a value, evicting others until there is room. A value larger than the capacity is not
    /// stored.
    mutating func insert(_ value: Value, for key: Key, cost: Int = 1) {
        remove(key)
        guard cost <= capacity else { return }
        // A full cache gets more room than is needed now, so that it is sorted rarely.
        if self.cost + cost > capacity { makeRoom(max(cost, capacity / 16)) }
        uses += 1
        self.cost += cost
        entries[key] = Entry(value: value, cost: cost, lastUse: uses)
    }

    /// Evicts the least recently used values.
    private mutating func makeRoom(_ room: Int) {
        for (key, _) in entries.sorted(by: { $0.value.lastUse < $1.value.lastUse }) {
            guard cost + room > capacity else { return }
            remove(key)
        }
    }

    mutating func remove(_ key: Key) {
        cost -= entries.removeValue(forKey: key)?.cost ?? 0
    }
}
