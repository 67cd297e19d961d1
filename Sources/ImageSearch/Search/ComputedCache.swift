/// What a cache has done and holds.
public struct CacheStatistics: Sendable {
    public var hits = 0
    public var misses = 0
    /// Values that are held or being computed, and the sum of their costs.
    public var count = 0
    public var cost = 0
}

/// Values that are computed once: those asked for last are kept, as far as a bound on their cost allows.
/// Of requests for one value that come at the same time, one computes it and the others wait for it.
public final class ComputedCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private enum Entry: Sendable {
        case ready(Value)
        case computing(Task<Value, any Error>)
    }

    private struct State {
        var cache: LRUCache<Key, Entry>
        var hits = 0
        var misses = 0
    }

    private let state: Monitor<State>
    private let overhead: Int
    private let cost: @Sendable (Value) -> Int

    /// - Parameters:
    ///   - capacity: the greatest sum of costs.
    ///   - overhead: what an entry costs besides its value.
    ///   - cost: what a value costs; one that is still being computed costs nothing.
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

    /// - Throws: what computing throws, to everybody who waits for it; the next to ask computes anew.
    public func value(
        for key: Key, compute: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let entry = state.update { state -> Entry in
            if let entry = state.cache.value(for: key) {
                state.hits += 1
                return entry
            }
            state.misses += 1
            // Not the caller's child: whoever else waits for it needs it even if the caller leaves.
            let entry = Entry.computing(Task { try await compute() })
            state.cache.insert(entry, for: key, cost: overhead)
            return entry
        }
        switch entry {
        case .ready(let value): return value
        case .computing(let task):
            do {
                let value = try await task.value
                state.update {
                    $0.cache.insert(.ready(value), for: key, cost: cost(value) + overhead)
                }
                return value
            } catch {
                state.update { $0.cache.remove(key) }
                throw error
            }
        }
    }
}
