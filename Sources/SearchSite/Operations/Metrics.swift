import ImageSearch
import Synchronization

/// The site's numbers, in the order in which `/metrics` shows them: what follows `# HELP clip_search_`, a name and
/// what it stands for.
enum Metric: String, CaseIterable {
    case build = "build_info Always 1; the labels say what runs."
    case requests = "requests_total Requests by method, route and status."
    case requestSeconds =
        "request_seconds Seconds from a request's head to the response's, by route."
    case searchSeconds =
        "search_seconds Seconds of searches, embedding and database together, by outcome."
    case pictureSeconds =
        "picture_encoding_seconds Seconds of decoding and encoding visitors' pictures, with waiting."
    case refused = "refused_total Requests refused by the admission checks, by status."
    case searches = "searches_in_progress Searches in progress."
    case encodings = "encodings_in_progress Visitors' pictures being encoded or waiting."
    case uploads = "uploads_in_progress Uploads being received or encoded."
    case textHits = "text_cache_hits_total Texts whose embedding was cached."
    case textMisses = "text_cache_misses_total Texts whose embedding was computed."
    case textEntries = "text_cache_entries Texts whose embeddings are cached."
    case thumbnailHits = "thumbnail_cache_hits_total Thumbnails that were cached."
    case thumbnailMisses = "thumbnail_cache_misses_total Thumbnails that were made."
    case thumbnailBytes = "thumbnail_cache_bytes Bytes of cached thumbnails."

    var name: String { "clip_search_" + rawValue.prefix { $0 != " " } }

    var kind: String {
        if name.hasSuffix("_total") { return "counter" }
        return name.hasSuffix("_seconds") ? "histogram" : "gauge"
    }
}

/// Counts and times, in the text format that Prometheus reads (version 0.0.4).
///
/// Labels come from the program only (routes, methods, status codes), never from a visitor, so that the
/// number of series is bounded.
final class Metrics: Sendable {
    /// Upper bounds of a latency histogram's buckets, in seconds.
    private static let bounds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    private struct Histogram {
        /// Observations in each bucket, and beyond the last.
        var counts = [Int](repeating: 0, count: bounds.count + 1)
        var sum = 0.0
    }

    /// By metric, then by labels: `route="/search",status="200"`, or empty.
    private struct State {
        var counters: [Metric: [String: Int]] = [:]
        var histograms: [Metric: [String: Histogram]] = [:]
    }

    private let state = Mutex(State())

    func count(_ metric: Metric, _ labels: [(String, String)]) {
        let labels = Self.text(labels)
        state.withLock { $0.counters[metric, default: [:]][labels, default: 0] += 1 }
    }

    func observe(
        _ metric: Metric, since begin: ContinuousClock.Instant, _ labels: [(String, String)] = []
    ) {
        let labels = Self.text(labels)
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
        state.withLock { state in
            var histogram = state.histograms[metric]?[labels] ?? Histogram()
            histogram.counts[bucket] += 1
            histogram.sum += seconds
            state.histograms[metric, default: [:]][labels] = histogram
        }
    }

    /// All numbers, as `/metrics` answers.
    /// - Parameter readings: values that are kept elsewhere.
    func text(_ readings: [Metric: Int]) -> String {
        let state = state.withLock { $0 }
        var lines: [String] = []
        for metric in Metric.allCases {
            let name = metric.name
            lines.append("# HELP clip_search_\(metric.rawValue)")
            lines.append("# TYPE \(name) \(metric.kind)")
            if let value = readings[metric] { lines.append("\(name) \(value)") }
            for (labels, count) in (state.counters[metric] ?? [:]).sorted(by: { $0.key < $1.key }) {
                lines.append("\(name)\(Self.braced(labels)) \(count)")
            }
            for (labels, histogram) in (state.histograms[metric] ?? [:])
                .sorted(by: { $0.key < $1.key })
            {
                var total = 0
                for (bound, count) in zip(Self.bounds.map { "\($0)" } + ["+Inf"], histogram.counts)
                {
                    total += count
                    let bucket = labels.isEmpty ? "" : "\(labels),"
                    lines.append("\(name)_bucket{\(bucket)le=\"\(bound)\"} \(total)")
                }
                lines.append("\(name)_sum\(Self.braced(labels)) \(histogram.sum)")
                lines.append("\(name)_count\(Self.braced(labels)) \(total)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func text(_ labels: [(String, String)]) -> String {
        labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",")
    }

    private static func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }
}
