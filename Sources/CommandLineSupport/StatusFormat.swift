import ImageSearch

/// How `create-table` prints the state of the table and its index.
public enum StatusFormat {
    /// Lines for people: a name, then its value.
    public static func text(_ status: TableStatus) -> String {
        let rows = status.withoutEmbedding
        var lines: [(name: String, value: String?)] = [
            (
                "pictures",
                "\(status.pictures)" + (rows > 0 ? " and \(rows) rows without embedding" : "")
            ),
            ("failures", status.failures.map { "\($0)" }),
        ]
        lines += status.models.map {
            ("model", "\(Console.printable($0.name)) (\($0.precision), SHA-256 \($0.digest))")
        }
        let replacement = status.replacement.map {
            "\(Console.printable($0.model.name)): \($0.pictures) pictures embedded so far"
        }
        lines += [
            ("replacement", replacement),
            ("model", status.models.isEmpty ? "not recorded" : nil),
            ("decoding", status.decoding.map(Console.printable)),
            ("dimension", "\(status.dimension)"),
        ]
        lines += status.indexes.map { index in
            let name = Console.printable(index.name)
            let validity = index.isValid ? "valid" : "invalid"
            return (
                "index",
                "\(name): \(index.method) of \(index.type), \(index.distance), \(size(index.bytes)), \(validity)"
            )
        }
        let norm = status.meanNorm.map { "\(($0 * 1e6).rounded() / 1e6)" }
        let extensions = status.extensions.map { "\($0.name) \($0.version)" }
        let sizes = status.sizes
        let migrations = status.migrations.map { "\($0)" }
        lines += [
            ("index", status.indexes.isEmpty ? "none" : nil),
            ("schema", Console.printable(status.schema)),
            ("shards", sizes.shards > 0 ? "\(sizes.shards), distributed by Citus" : nil),
            ("partitions", sizes.partitions > 0 ? "\(sizes.partitions)" : nil),
            (
                "size",
                "\(size(sizes.table)) rows, \(size(sizes.outOfLine)) out of line, \(size(sizes.indexes)) indexes"
            ),
            ("mean norm", norm),
            ("server", "PostgreSQL \(status.server)\(status.isReplica ? ", a replica" : "")"),
            ("extensions", Console.printable(extensions.joined(separator: ", "))),
            ("migrations", migrations.isEmpty ? nil : migrations.joined(separator: ", ")),
        ]
        return lines.compactMap { name, value in
            value.map { name + String(repeating: " ", count: 12 - name.count) + $0 }
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
        func model(_ model: ModelIdentity) -> JSON {
            .object([
                ("name", .string(model.name)), ("digest", .string(model.digest)),
                ("precision", .string(model.precision)),
            ])
        }
        let replacement = status.replacement.map {
            JSON.object([("model", model($0.model)), ("pictures", .integer($0.pictures))])
        }
        let indexes = status.indexes.map { index in
            JSON.object([
                ("name", .string(index.name)), ("method", .string(index.method)),
                ("type", .string(index.type)), ("distance", .string(index.distance)),
                ("valid", .bool(index.isValid)), ("bytes", .integer(index.bytes)),
            ])
        }
        let members = JSON.members([
            "pictures": .integer(status.pictures),
            "without_embedding": .integer(status.withoutEmbedding),
            "failures": status.failures.map(JSON.integer),
            "models": .array(status.models.map(model)), "replacement": replacement,
            "decoding": status.decoding.map(JSON.string), "schema": .string(status.schema),
            "dimension": .integer(status.dimension), "indexes": .array(indexes),
            "partitions": .integer(status.sizes.partitions),
            "shards": .integer(status.sizes.shards),
            "table_bytes": .integer(status.sizes.table),
            "index_bytes": .integer(status.sizes.indexes),
            "out_of_line_bytes": .integer(status.sizes.outOfLine),
            "mean_norm": status.meanNorm.map(JSON.number), "server": .string(status.server),
            "replica": .bool(status.isReplica),
            "extensions": .object(status.extensions.map { ($0.name, .string($0.version)) }),
            "migrations": .array(status.migrations.map(JSON.integer)),
            "warnings": .array(status.warnings.map(JSON.string)),
        ])
        return JSON.object(members).text
    }

    /// An index's recall and speed, in lines for people.
    public static func text(_ recall: IndexRecall) -> String {
        func line(_ latency: IndexRecall.Latency) -> String {
            "median \(fixed(latency.median, decimals: 1)) ms, 99 of 100 within \(fixed(latency.percentile99, decimals: 1)) ms"
        }
        let percent = fixed(recall.recall * 100, decimals: 1)
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
