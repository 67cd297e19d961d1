/// What was asked for last, as far as a bound on its cost allows: the least recently used goes first.
///
/// A value type without locks. Every operation takes constant time.
struct LRUCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        let key: Key
        var value: Value
        var cost: Int
        /// Places of the neighbours in order of use, -1 at the ends.
        var newer: Int
        var older: Int
    }

    private let capacity: Int
    private var places: [Key: Int] = [:]
    private var entries: [Entry?] = []
    private var free: [Int] = []
    private var newest = -1
    private var oldest = -1
    /// Sum of the costs of what is held.
    private(set) var cost = 0
    var count: Int { places.count }

    /// - Parameter capacity: the greatest sum of costs.
    init(capacity: Int) { self.capacity = capacity }

    /// The value of a key, which thereby becomes the most recently used.
    mutating func value(for key: Key) -> Value? {
        guard let place = places[key], let entry = entries[place] else { return nil }
        if place != newest {
            unlink(place)
            link(place)
        }
        return entry.value
    }

    /// Stores a value, and drops others until there is room. One that alone is too large is not held.
    mutating func insert(_ value: Value, for key: Key, cost: Int = 1) {
        remove(key)
        guard cost <= capacity else { return }
        while self.cost + cost > capacity, oldest >= 0, let entry = entries[oldest] {
            remove(entry.key)
        }
        let entry = Entry(key: key, value: value, cost: cost, newer: -1, older: -1)
        let place: Int
        if let last = free.popLast() {
            place = last
            entries[place] = entry
        } else {
            place = entries.count
            entries.append(entry)
        }
        places[key] = place
        self.cost += cost
        link(place)
    }

    mutating func remove(_ key: Key) {
        guard let place = places.removeValue(forKey: key) else { return }
        unlink(place)
        cost -= entries[place]?.cost ?? 0
        entries[place] = nil
        free.append(place)
    }

    private mutating func unlink(_ place: Int) {
        guard let entry = entries[place] else { return }
        if entry.newer >= 0 {
            entries[entry.newer]?.older = entry.older
        } else {
            newest = entry.older
        }
        if entry.older >= 0 {
            entries[entry.older]?.newer = entry.newer
        } else {
            oldest = entry.newer
        }
    }

    private mutating func link(_ place: Int) {
        entries[place]?.newer = -1
        entries[place]?.older = newest
        if newest >= 0 { entries[newest]?.newer = place } else { oldest = place }
        newest = place
    }
}
