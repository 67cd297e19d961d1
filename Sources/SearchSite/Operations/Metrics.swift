import Synchronization

/// Numbers about the running site, in the text format that Prometheus reads (version 0.0.4).
///
/// Labels come from the program only (routes, methods, status codes), never from a visitor, so that the
/// number of series is bounded.
final class Metrics: Sendable {
    /// Upper bounds of a latency histogram's buckets, in seconds.
    private static let bounds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    /// What a number is and means; written once before its series.
    enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    private struct Histogram {
        /// Observations in each bucket, and beyond the last.
        var counts = [Int](repeating: 0, count: bounds.count + 1)
        var sum = 0.0
    }

    private struct Series: Hashable {
        let name: String
        /// `route="/search",status="200"`, or empty.
        let labels: String
    }

    private struct State {
        var counters: [Series: Int] = [:]
        var histograms: [Series: Histogram] = [:]
    }

    private let state = Mutex(State())
    private let descriptions: [(name: String, kind: Kind, help: String)]
    /// Asked for when the numbers are read.
    private let gauges: @Sendable () -> [(name: String, value: Double)]

    /// - Parameters:
    ///   - descriptions: every number that there is, in the order in which they are written.
    ///   - gauges: current values, also of counters that are kept elsewhere.
    init(
        _ descriptions: [(name: String, kind: Kind, help: String)],
        gauges: @escaping @Sendable () -> [(name: String, value: Double)]
    ) {
        self.descriptions = descriptions
        self.gauges = gauges
    }

    func count(_ name: String, _ labels: [(String, String)] = []) {
        let series = Series(name: name, labels: Self.text(labels))
        state.withLock { $0.counters[series, default: 0] += 1 }
    }

    func observe(_ name: String, seconds: Double, _ labels: [(String, String)] = []) {
        let series = Series(name: name, labels: Self.text(labels))
        let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
        state.withLock { state in
            state.histograms[series, default: Histogram()].counts[bucket] += 1
            state.histograms[series]?.sum += seconds
        }
    }

    /// All numbers, as `/metrics` answers.
    var text: String {
        let state = state.withLock { $0 }
        let gauges = gauges()
        var lines: [String] = []
        for (name, kind, help) in descriptions {
            lines.append("# HELP \(name) \(help)")
            lines.append("# TYPE \(name) \(kind.rawValue)")
            for gauge in gauges where gauge.name == name {
                lines.append("\(name) \(gauge.value)")
            }
            for (series, count) in Self.sorted(state.counters, name) {
                lines.append("\(name)\(Self.braced(series.labels)) \(count)")
            }
            for (series, histogram) in Self.sorted(state.histograms, name) {
                var total = 0
                for (bound, count) in zip(Self.bounds.map { "\($0)" } + ["+Inf"], histogram.counts)
                {
                    total += count
                    let bucket = Self.joined(series.labels, "le=\"\(bound)\"")
                    lines.append("\(name)_bucket{\(bucket)} \(total)")
                }
                lines.append("\(name)_sum\(Self.braced(series.labels)) \(histogram.sum)")
                lines.append("\(name)_count\(Self.braced(series.labels)) \(total)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func sorted<Value>(
        _ all: [Series: Value], _ name: String
    ) -> [(key: Series, value: Value)] {
        all.filter { $0.key.name == name }.sorted { $0.key.labels < $1.key.labels }
    }

    private static func text(_ labels: [(String, String)]) -> String {
        labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",")
    }

    private static func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

    private static func joined(_ labels: String, _ more: String) -> String {
        labels.isEmpty ? more : "\(labels),\(more)"
    }
}
