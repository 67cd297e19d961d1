import PGClient

/// Builds one index over the table or over each of its partitions.
struct IndexBuilder {
    let connection: PGConnection
    let names: TableNames
    /// The index's name, and what follows a partition's name in that of its part.
    let name: String
    let partSuffix: String
    /// What follows `CREATE INDEX … ON table`.
    let definition: String

    /// - Parameter begin: called for each part, with how many there are.
    /// - Returns: whether an invalid index was removed first.
    func build(_ begin: (Int, Int) -> Void) throws -> Bool {
        let partitions = try partitions()
        var removed = false
        guard !partitions.isEmpty else {
            if try state(of: name) == true { return false }
            removed = try dropInvalid(name)
            begin(1, 1)
            try create("CONCURRENTLY \(quotedName(name)) ON \(names.pictures)")
            return removed
        }
        // The parent's index is nothing but the list of its parts: it becomes valid with the last.
        if try state(of: name) == nil {
            try create("\(quotedName(name)) ON ONLY \(names.pictures)")
        }
        for (number, partition) in partitions.enumerated() {
            let part = "\(partition)_\(partSuffix)"
            if try state(of: part) == true { continue }
            removed = try dropInvalid(part) || removed
            begin(number + 1, partitions.count)
            try create("CONCURRENTLY \(quotedName(part)) ON \(names[quotedName(partition)])")
        }
        for partition in partitions {
            let part = names[quotedName("\(partition)_\(partSuffix)")]
            try connection.execute(
                "ALTER INDEX \(names[quotedName(name)]) ATTACH PARTITION \(part)")
        }
        return removed
    }

    private func create(_ target: String) throws {
        try connection.execute("CREATE INDEX \(target) \(definition)")
    }

    private func dropInvalid(_ name: String) throws -> Bool {
        guard try state(of: name) == false else { return false }
        try connection.execute("DROP INDEX CONCURRENTLY IF EXISTS \(names[quotedName(name)])")
        return true
    }

    /// Whether the index of a name is valid; nil when there is none.
    private func state(of name: String) throws -> Bool? {
        try connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = \(names.regclass(quotedName(name)))"
        ).first?.bool(0)
    }

    private func partitions() throws -> [String] {
        let rows = try connection.execute(
            """
            SELECT relname::text FROM pg_partition_tree(\(names.regclass())) AS tree
                JOIN pg_class ON pg_class.oid = tree.relid
            WHERE isleaf AND level > 0 ORDER BY length(relname), relname
            """)
        return try rows.map { try $0.string(0) }
    }
}

/// Asks on a connection of its own how far another one is with building an index.
final class IndexWatch: Sendable {
    private struct State {
        var isOver = false
        var isDone = false
        var part = 1
        var parts = 1
    }

    /// Where the build can be seen.
    enum Place: Sendable {
        /// The server process that builds.
        case process(Int)
        /// The servers of a Citus cluster, each of which builds the index of its shards.
        case shards(table: String, index: String, schema: String)
    }

    private let state = Monitor(State())

    init(
        uri: String, _ place: Place, _ report: @escaping @Sendable (IndexProgress) -> Void
    ) throws {
        try SystemThread.start { [state] in
            // The build goes on without progress if this connection fails.
            let connection = try? PGConnection(
                uri: uri, applicationName: "create-table", responseTimeout: .seconds(30))
            while let connection, connection.isUsable {
                let isOver = state.wait(milliseconds: 500) { $0.isOver ? true : nil } ?? false
                if isOver { break }
                let (part, parts) = state.read { ($0.part, $0.parts) }
                let progress =
                    switch place {
                    case .process(let number): try? Self.ask(connection, number, part, parts)
                    case .shards(let table, let index, let schema):
                        try? Self.askServers(connection, table, index, schema)
                    }
                if let progress { report(progress) }
            }
            state.update { $0.isDone = true }
        }
    }

    func begin(part: Int, of parts: Int) {
        state.update { ($0.part, $0.parts) = (part, parts) }
    }

    /// Returns when nothing more will be reported.
    func stop() {
        state.update { $0.isOver = true }
        _ = state.wait { $0.isDone ? true : nil }
    }

    private static func ask(
        _ connection: PGConnection, _ process: Int, _ part: Int, _ parts: Int
    ) throws -> IndexProgress? {
        let rows = try connection.execute(
            """
            SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total
            FROM pg_stat_progress_create_index WHERE pid = $1
            """, [.int32(Int32(clamping: process))])
        guard let row = rows.first else { return nil }
        return try progress(row, part, parts)
    }

    /// Shards whose index is complete, and how far the others are.
    private static func askServers(
        _ connection: PGConnection, _ table: String, _ index: String, _ schema: String
    ) throws -> IndexProgress? {
        // A shard's index has the name of the whole one and the shard's number.
        let command = """
            SELECT json_build_object('done', (
                SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                WHERE relnamespace = to_regnamespace(\(quotedText(schema)))
                    AND relname ~ \(quotedText("^\(index)_[0-9]+$")) AND indisvalid), 'now', (
                SELECT coalesce(json_agg(progress), '[]') FROM pg_stat_progress_create_index AS progress))
            """
        let rows = try connection.execute(
            """
            WITH answer AS (
                SELECT result::json FROM run_command_on_all_nodes($1) WHERE success
            ), now AS (
                SELECT now.* FROM answer, json_to_recordset(result -> 'now') AS now
                    (phase text, tuples_done bigint, tuples_total bigint, blocks_done bigint,
                    blocks_total bigint)
            )
            SELECT coalesce((SELECT max(phase) FROM now), 'waiting'),
                coalesce((SELECT sum(tuples_done) FROM now), 0)::bigint,
                coalesce((SELECT sum(tuples_total) FROM now), 0)::bigint,
                coalesce((SELECT sum(blocks_done) FROM now), 0)::bigint,
                coalesce((SELECT sum(blocks_total) FROM now), 0)::bigint,
                (SELECT sum((result ->> 'done')::integer) FROM answer)::integer,
                (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = \(table)::regclass)::integer
            """, [.text(command)])
        guard let row = rows.first, try !row.isNull(5) else { return nil }
        let shards = try row.int(6)
        return try progress(row, min(try row.int(5) + 1, shards), shards)
    }

    /// - Parameter row: the phase, then tuples and blocks, done and altogether.
    private static func progress(_ row: PGRow, _ part: Int, _ parts: Int) throws -> IndexProgress {
        func fraction(_ done: Int, _ total: Int) throws -> Double? {
            let (done, total) = (try row.int(done), try row.int(total))
            return total > 0 ? min(1, Double(done) / Double(total)) : nil
        }
        return IndexProgress(
            phase: try row.string(0), fraction: try fraction(1, 2) ?? fraction(3, 4),
            part: part, parts: parts)
    }
}
