import FoundationEssentials
import ImageSearch

/// How `create-table` prints what it found.
public enum StatusFormat {
    /// Lines for people: what is counted, then how much.
    public static func text(_ status: TableStatus) -> String {
        var lines: [(String, String)] = []
        var pictures = "\(status.pictures)"
        if status.withoutEmbedding > 0 {
            pictures += " and \(status.withoutEmbedding) rows without embedding"
        }
        lines.append(("pictures", pictures))
        if let failures = status.failures { lines.append(("failures", "\(failures)")) }
        for model in status.models {
            let name = Console.printable(model.name)
            lines.append(("model", "\(name) (\(model.precision), SHA-256 \(model.digest))"))
        }
        if status.models.isEmpty { lines.append(("model", "not recorded")) }
        lines.append(("dimension", "\(status.dimension)"))
        for index in status.indexes {
            lines.append(
                (
                    "index",
                    "\(Console.printable(index.name)): \(index.method) of \(index.type), \(index.distance), \(size(index.bytes)), \(index.isValid ? "valid" : "invalid")"
                ))
        }
        if status.indexes.isEmpty { lines.append(("index", "none")) }
        if status.partitions > 0 { lines.append(("partitions", "\(status.partitions)")) }
        lines.append(
            (
                "size",
                "\(size(status.tableBytes)) rows, \(size(status.outOfLineBytes)) out of line, \(size(status.indexBytes)) indexes"
            ))
        if let norm = status.meanNorm {
            lines.append(("mean norm", "\((norm * 1e6).rounded() / 1e6)"))
        }
        lines.append(
            ("server", "PostgreSQL \(status.server)\(status.isReplica ? ", a replica" : "")"))
        let extensions = status.extensions.map { "\($0.name) \($0.version)" }
        lines.append(("extensions", Console.printable(extensions.joined(separator: ", "))))
        if !status.migrations.isEmpty {
            let numbers = status.migrations.map { "\($0)" }
            lines.append(("migrations", numbers.joined(separator: ", ")))
        }
        return lines.map { name, value in
            name + String(repeating: " ", count: 12 - name.count) + value
        }.joined(separator: "\n")
    }

    /// What became of an index, in one sentence.
    public static func text(_ change: IndexChange) -> String {
        let name = Console.printable(change.name ?? "")
        return switch change.outcome {
        case .built: "The index \(name) was built."
        case .wasThere: "The index \(name) was there already."
        case .dropped: "The index \(name) was dropped."
        case .noneWasThere: "There was no index to drop."
        case .tooFewPictures(let rows):
            "No index was built: \(rows) pictures are compared one by one in a moment."
        }
    }

    /// One JSON object on a line.
    public static func json(_ status: TableStatus) throws -> String {
        struct Index: Encodable {
            let name, method, type, distance: String
            let valid: Bool
            let bytes: Int
        }
        struct Model: Encodable { let name, digest, precision: String }
        struct Status: Encodable {
            let pictures, withoutEmbedding: Int
            let failures: Int?
            let models: [Model]
            let dimension: Int
            let indexes: [Index]
            let partitions, tableBytes, indexBytes, outOfLineBytes: Int
            let meanNorm: Double?
            let server: String
            let replica: Bool
            let extensions: [String: String]
            let migrations: [Int]
            let warnings: [String]
        }
        return try encoded(
            Status(
                pictures: status.pictures, withoutEmbedding: status.withoutEmbedding,
                failures: status.failures,
                models: status.models.map {
                    Model(name: $0.name, digest: $0.digest, precision: $0.precision)
                },
                dimension: status.dimension,
                indexes: status.indexes.map {
                    Index(
                        name: $0.name, method: $0.method, type: $0.type, distance: $0.distance,
                        valid: $0.isValid, bytes: $0.bytes)
                },
                partitions: status.partitions, tableBytes: status.tableBytes,
                indexBytes: status.indexBytes, outOfLineBytes: status.outOfLineBytes,
                meanNorm: status.meanNorm, server: status.server, replica: status.isReplica,
                extensions: Dictionary(
                    status.extensions.map { ($0.name, $0.version) }, uniquingKeysWith: { $1 }),
                migrations: status.migrations, warnings: status.warnings))
    }

    /// How good an index is, in lines for people.
    public static func text(_ recall: IndexRecall) -> String {
        func line(_ latency: IndexRecall.Latency) -> String {
            "median \(tenths(latency.median)) ms, 99 of 100 within \(tenths(latency.percentile99)) ms"
        }
        let percent = (recall.recall * 1_000).rounded() / 10
        return """
            recall@\(IndexRecall.neighbours)   \(percent) % of the exact answers, over \(recall.queries) queries
            indexed     \(line(recall.indexed))
            exact       \(line(recall.exact))
            """
    }

    /// One JSON object on a line; times are milliseconds.
    public static func json(_ recall: IndexRecall) throws -> String {
        struct Latency: Encodable { let median, p99: Double }
        struct Recall: Encodable {
            let recall: Double
            let neighbours, queries: Int
            let indexed, exact: Latency
        }
        func latency(_ value: IndexRecall.Latency) -> Latency {
            Latency(median: value.median, p99: value.percentile99)
        }
        return try encoded(
            Recall(
                recall: recall.recall, neighbours: IndexRecall.neighbours, queries: recall.queries,
                indexed: latency(recall.indexed), exact: latency(recall.exact)))
    }

    private static func encoded(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private static func tenths(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    /// Megabytes of 1,000,000 bytes; small tables in kilobytes.
    static func size(_ bytes: Int) -> String {
        bytes < 10_000_000 ? "\(bytes / 1_000) kB" : "\(bytes / 1_000_000) MB"
    }
}
