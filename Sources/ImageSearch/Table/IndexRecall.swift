import PGClient

/// How much of the exact answer an index gives, and how fast.
public struct IndexRecall: Sendable, Equatable {
    /// Of the nearest ten of each query, the share that the index found, 0 to 1.
    public let recall: Double
    public let queries: Int
    /// Milliseconds of a search through the index and of one that compares every row: the median
    /// and the 99th percentile.
    public let indexed: Latency
    public let exact: Latency

    public struct Latency: Sendable, Equatable {
        public let median: Double
        public let percentile99: Double

        /// - Parameter milliseconds: at least one.
        init(_ milliseconds: [Double]) {
            let sorted = milliseconds.sorted()
            median = sorted[(sorted.count - 1) / 2]
            percentile99 = sorted[(sorted.count * 99 + 99) / 100 - 1]
        }
    }

    /// Neighbours that are compared: recall@10.
    public static let neighbours = 10
}

extension PicturesTable {
    /// Compares the index's answers with the exact ones.
    ///
    /// Pictures with the same score as the exact answer's last are as good as it: copies of a
    /// picture have equal scores, and which of them comes tenth is chance.
    ///
    /// - Parameters:
    ///   - queries: unit vectors, at least one.
    ///   - progress: called after each.
    /// - Throws: ``TableError/noIndex`` without a valid index.
    public func recall(
        of queries: [[Float]], progress: (Int) -> Void = { _ in }
    ) throws -> IndexRecall {
        precondition(!queries.isEmpty, "recall needs queries")
        _ = try dimension()
        session.searchState = nil
        guard try searchState().index != nil else { throw TableError.noIndex }
        let clock = ContinuousClock()
        var (found, wanted) = (0, 0)
        var times: (indexed: [Double], exact: [Double]) = ([], [])
        // The first touches pages that are not in memory yet, for whichever comes first.
        _ = try nearest(to: queries[0], limit: IndexRecall.neighbours)
        for (number, query) in queries.enumerated() {
            let start = clock.now
            let exact = try nearest(
                to: query, SearchQuery(limit: IndexRecall.neighbours, isExact: true)
            ).hits
            let middle = clock.now
            let indexed = try nearest(to: query, limit: IndexRecall.neighbours)
            times.exact.append((middle - start) / .milliseconds(1))
            times.indexed.append((clock.now - middle) / .milliseconds(1))
            let last = (exact.last?.score ?? 0) - 1e-9
            wanted += exact.count
            found += min(exact.count, indexed.count { $0.score >= last })
            progress(number + 1)
        }
        return IndexRecall(
            recall: wanted > 0 ? Double(found) / Double(wanted) : 1, queries: queries.count,
            indexed: IndexRecall.Latency(times.indexed), exact: IndexRecall.Latency(times.exact))
    }
}
