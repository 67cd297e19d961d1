import ImageSearch

/// How `create-table` prints the state of the table and its index.
public enum StatusFormat {
    /// Lines for people: a name, then its value.
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
        if let replacement = status.replacement {
            let name = Console.printable(replacement.model.name)
            lines.append(
                ("replacement", "\(name): \(replacement.pictures) pictures embedded so far"))
        }
        if status.models.isEmpty { lines.append(("model", "not recorded")) }
        if let decoding = status.decoding {
            lines.append(("decoding", Console.printable(decoding)))
        }
        lines.append(("dimension", "\(status.dimension)"))
        for index in status.indexes {
            lines.append(
                (
                    "index",
                    "\(Console.printable(index.name)): \(index.method) of \(index.type), \(index.distance), \(size(index.bytes)), \(index.isValid ? "valid" : "invalid")"
                ))
        }
        if status.indexes.isEmpty { lines.append(("index", "none")) }
        lines.append(("schema", Console.printable(status.schema)))
        if status.shards > 0 { lines.append(("shards", "\(status.shards), distributed by Citus")) }
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

    /// What was done with each index, a sentence a line.
    public static func text(_ change: IndexChange) -> String {
        let name = Console.printable(change.name ?? "")
        let outcome =
            switch change.outcome {
            case .built: "The index \(name) was built."
            case .wasThere: "The index \(name) was there already."
            case .dropped: "The index \(name) was dropped."
            case .noneWasThere: "There was no index to drop."
            case .tooFewPictures(let rows):
                "No index was built: comparing \(rows) pictures one by one is fast enough."
            }
        let others = change.builtForFilters.map { "The index \($0) was built." }
        return (others + [outcome]).joined(separator: "\n")
    }

    /// One JSON object on a line.
    public static func json(_ status: TableStatus) -> String {
        func json(_ model: ModelIdentity) -> JSON {
            JSON.object([
                ("name", .string(model.name)), ("digest", .string(model.digest)),
                ("precision", .string(model.precision)),
            ])
        }
        let indexes = status.indexes.map { index in
            JSON.object([
                ("name", .string(index.name)), ("method", .string(index.method)),
                ("type", .string(index.type)), ("distance", .string(index.distance)),
                ("valid", .bool(index.isValid)), ("bytes", .integer(index.bytes)),
            ])
        }
        var members: [(String, JSON)] = [
            ("pictures", .integer(status.pictures)),
            ("without_embedding", .integer(status.withoutEmbedding)),
        ]
        if let failures = status.failures { members.append(("failures", .integer(failures))) }
        members.append(("models", .array(status.models.map(json))))
        if let replacement = status.replacement {
            members.append(
                (
                    "replacement",
                    .object([
                        ("model", json(replacement.model)),
                        ("pictures", .integer(replacement.pictures)),
                    ])
                ))
        }
        if let decoding = status.decoding { members.append(("decoding", .string(decoding))) }
        members += [
            ("schema", .string(status.schema)), ("dimension", .integer(status.dimension)),
            ("indexes", .array(indexes)), ("partitions", .integer(status.partitions)),
            ("shards", .integer(status.shards)),
            ("table_bytes", .integer(status.tableBytes)),
            ("index_bytes", .integer(status.indexBytes)),
            ("out_of_line_bytes", .integer(status.outOfLineBytes)),
        ]
        if let norm = status.meanNorm { members.append(("mean_norm", .number(norm))) }
        members += [
            ("server", .string(status.server)), ("replica", .bool(status.isReplica)),
            ("extensions", .object(status.extensions.map { ($0.name, .string($0.version)) })),
            ("migrations", .array(status.migrations.map(JSON.integer))),
            ("warnings", .array(status.warnings.map(JSON.string))),
        ]
        return JSON.object(members).text
    }

    /// An index's recall and speed, in lines for people.
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
    public static func json(_ recall: IndexRecall) -> String {
        func latency(_ value: IndexRecall.Latency) -> JSON {
            .object([("median", .number(value.median)), ("p99", .number(value.percentile99))])
        }
        return JSON.object([
            ("recall", .number(recall.recall)), ("neighbours", .integer(IndexRecall.neighbours)),
            ("queries", .integer(recall.queries)), ("indexed", latency(recall.indexed)),
            ("exact", latency(recall.exact)),
        ]).text
    }

    private static func tenths(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    /// Megabytes of 1,000,000 bytes; small tables in kilobytes.
    static func size(_ bytes: Int) -> String {
        bytes < 10_000_000 ? "\(bytes / 1_000) kB" : "\(bytes / 1_000_000) MB"
    }
}

/// Text queries to measure an index with: a subject, a place and a manner, as people search.
public enum RecallQueries {
    private static let subjects = [
        "a dog", "a cat", "two children", "an old man", "a woman laughing", "a red car",
        "a bicycle", "a boat", "a train", "birds", "a horse", "flowers", "a bowl of food",
        "a cup of coffee", "a crowd", "a house", "a bridge", "mountains", "a waterfall",
        "a man jumping", "someone asleep", "a football match", "a birthday cake", "a market stall",
        "a sign with writing",
    ]
    private static let places = [
        "on a beach", "in the snow", "in a forest", "in a kitchen", "in a city street",
        "on a table", "beside a lake", "in a garden", "at a window", "under a blue sky",
        "in the rain", "on a stage",
    ]
    private static let manners = ["", " at sunset", " at night", ", black and white", ", close up"]

    /// How many different texts there are.
    public static let maximumCount = subjects.count * places.count * manners.count

    /// The first `count` texts, the same every time; each subject comes once before any is repeated.
    public static func texts(_ count: Int) -> [String] {
        (0..<min(count, maximumCount)).map { number in
            let (round, subject) = number.quotientAndRemainder(dividingBy: subjects.count)
            let (manner, place) = round.quotientAndRemainder(dividingBy: places.count)
            // Shifted by the subject, so that a round does not put everything into one place.
            return subjects[subject] + " " + places[(place + subject) % places.count]
                + manners[manner]
        }
    }
}
