extension Vocabulary {
    /// Appends the ids of one word, given as its bytes in UTF-8 (not empty), to `ids`.
    ///
    /// Upstream (`SimpleTokenizer.bpe`) looks for the pair of lowest rank, merges it everywhere from
    /// left to right, and starts over. A queue ordered by rank, then by position, gives the same result,
    /// since a merge only ever makes pairs of higher rank than its own; that takes n log n
    /// steps instead of n².
    func appendIDs(of word: [UInt8], to ids: inout [Int32]) {
        var symbols = word.map(Self.id(of:))
        symbols[word.count - 1] += Self.endOfWord
        // Symbols are a doubly linked list over positions; `next` of the last is `count`.
        let count = symbols.count
        var next = (0..<Int32(count)).map { $0 + 1 }
        var previous = (0..<Int32(count)).map { $0 - 1 }
        // What the symbol at a position merges into with the next one; 0 for nothing. An entry of
        // the queue that disagrees with it is out of date.
        var merged = [UInt16](repeating: 0, count: count)
        var queue = MinimumQueue()
        for position in 0..<(count - 1) {
            merged[position] = merge(symbols[position], symbols[position + 1])
            if merged[position] != 0 {
                queue.append(UInt64(merged[position]) << 32 | UInt64(position))
            }
        }
        queue.sort()

        while let first = queue.popMinimum() {
            let position = Int(first & 0xFFFF_FFFF)
            let id = UInt16(first >> 32)
            guard merged[position] == id else { continue }
            let right = Int(next[position])
            symbols[position] = id
            merged[right] = 0
            let after = Int(next[right])
            next[position] = Int32(after)
            merged[position] = 0
            if after < count {
                previous[after] = Int32(position)
                merged[position] = merge(id, symbols[after])
                if merged[position] != 0 {
                    queue.insert(UInt64(merged[position]) << 32 | UInt64(position))
                }
            }
            let before = Int(previous[position])
            if before >= 0 {
                merged[before] = merge(symbols[before], id)
                if merged[before] != 0 {
                    queue.insert(UInt64(merged[before]) << 32 | UInt64(before))
                }
            }
        }

        var position = 0
        while position < count {
            ids.append(Int32(symbols[position]))
            position = Int(next[position])
        }
    }
}

/// Numbers in order, the smallest first: those known at the start as a sorted list, those that come
/// later, which are fewer, in a binary heap.
private struct MinimumQueue {
    private var sorted: [UInt64] = []
    private var position = 0
    private var heap: [UInt64] = []

    /// Adds one of the numbers known at the start; `sort()` must follow.
    mutating func append(_ value: UInt64) {
        sorted.append(value)
    }

    mutating func sort() {
        sorted.sort()
    }

    mutating func insert(_ value: UInt64) {
        var index = heap.count
        heap.append(value)
        while index > 0, heap[(index - 1) / 2] > value {
            heap[index] = heap[(index - 1) / 2]
            index = (index - 1) / 2
        }
        heap[index] = value
    }

    mutating func popMinimum() -> UInt64? {
        if position < sorted.count, heap.isEmpty || sorted[position] < heap[0] {
            position += 1
            return sorted[position - 1]
        }
        guard let minimum = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty { replaceMinimum(with: last) }
        return minimum
    }

    private mutating func replaceMinimum(with value: UInt64) {
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < value else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = value
    }
}
