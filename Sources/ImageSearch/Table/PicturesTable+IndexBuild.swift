import PGClient

extension PicturesTable {
    /// Builds one index over the table or over each of its partitions.
    ///
    /// - Parameters:
    ///   - partSuffix: what follows a partition's name in that of its part.
    ///   - definition: what follows `CREATE INDEX … ON table`.
    ///   - begin: called for each part, with how many there are.
    /// - Returns: whether an invalid index was removed first.
    @discardableResult
    func buildIndex(
        _ name: String, partSuffix: String, _ definition: String,
        begin: (Int, Int) -> Void = { _, _ in }
    ) throws -> Bool {
        var removed = false
        func build(_ name: String, on table: String, _ number: Int, _ count: Int) throws {
            let isValid = try isValid(index: name)
            if isValid == true { return }
            if isValid == false {
                try connection.execute(
                    "DROP INDEX CONCURRENTLY IF EXISTS \(names[quotedName(name)])")
                removed = true
            }
            begin(number, count)
            try connection.execute(
                "CREATE INDEX CONCURRENTLY \(quotedName(name)) ON \(table) \(definition)")
        }
        let partitions = try partitions()
        if partitions.isEmpty {
            try build(name, on: names.pictures, 1, 1)
            return removed
        }
        // The parent's index is nothing but the list of its parts: it becomes valid with the last.
        if try isValid(index: name) == nil {
            try connection.execute(
                "CREATE INDEX \(quotedName(name)) ON ONLY \(names.pictures) \(definition)")
        }
        let parts = partitions.map { "\($0)_\(partSuffix)" }
        for (number, (part, table)) in zip(parts, partitions).enumerated() {
            try build(part, on: names[quotedName(table)], number + 1, parts.count)
        }
        for part in parts {
            try connection.execute(
                "ALTER INDEX \(names[quotedName(name)]) ATTACH PARTITION \(names[quotedName(part)])"
            )
        }
        return removed
    }

    /// Whether the index of a name is valid; nil when there is none.
    func isValid(index name: String) throws -> Bool? {
        try connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = \(names.regclass(quotedName(name)))"
        ).first?.bool(0)
    }

    /// The names of the table's partitions.
    func partitions() throws -> [String] {
        try connection.execute(
            """
            SELECT relname::text FROM pg_partition_tree(\(names.regclass())) AS tree
                JOIN pg_class ON pg_class.oid = tree.relid
            WHERE isleaf AND level > 0 ORDER BY length(relname), relname
            """
        ).map { try $0.string(0) }
    }
}

/// Asks on a connection of its own how far another one is with building an index.
final class IndexWatch: Sendable {
    private let state = Monitor((part: 1, parts: 1, isOver: false, isDone: false))

    /// - Parameter query: see ``PicturesTable/progressQuery(of:)``.
    init(
        uri: String, _ query: @escaping @Sendable (_ part: Int, _ parts: Int) -> PGQuery,
        _ report: @escaping @Sendable (IndexProgress) -> Void
    ) throws {
        try SystemThread.start { [state] in
            // The build goes on without progress if this connection fails.
            let connection = try? PGConnection(
                uri: uri, applicationName: "create-table", responseTimeout: .seconds(30))
            while let connection, connection.isUsable {
                let isOver = state.wait(milliseconds: 500) { $0.isOver ? true : nil } ?? false
                if isOver { break }
                let query = state.read { query($0.part, $0.parts) }
                let row = try? connection.execute(query.sql, query.parameters).first
                if let progress = try? row.map(IndexProgress.init) { report(progress) }
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
}

extension PicturesTable {
    /// For the part that this connection builds and the number of parts, a query of the phase, of tuples and blocks, done
    /// and altogether, and of the part and the number of parts. On Citus the parts are shards, as their servers tell.
    func progressQuery(of index: String) -> @Sendable (_ part: Int, _ parts: Int) -> PGQuery {
        guard names.isDistributed else {
            let process = PGValue.int32(Int32(clamping: connection.backendProcessID))
            return { part, parts in
                PGQuery(
                    """
                    SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total,
                        \(part), \(parts)
                    FROM pg_stat_progress_create_index WHERE pid = $1
                    """, [process])
            }
        }
        // A shard's index has the name of the whole one and the shard's number.
        let command = """
            SELECT json_build_object('done', (
                SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                WHERE relnamespace = to_regnamespace(\(quotedText(names.schema)))
                    AND relname ~ \(quotedText("^\(index)_[0-9]+$")) AND indisvalid), 'now', (
                SELECT coalesce(json_agg(progress), '[]') FROM pg_stat_progress_create_index AS progress))
            """
        let query = PGQuery(
            """
            WITH answer AS (
                SELECT result::json FROM run_command_on_all_nodes($1) WHERE success
            ), now AS (
                SELECT now.* FROM answer, json_to_recordset(result -> 'now') AS now
                    (phase text, tuples_done bigint, tuples_total bigint, blocks_done bigint,
                    blocks_total bigint)
            ), shards AS (
                SELECT count(*)::integer FROM pg_dist_shard WHERE logicalrelid = \(names.regclass())
            )
            SELECT coalesce(max(phase), 'waiting'),
                coalesce(sum(tuples_done), 0)::bigint, coalesce(sum(tuples_total), 0)::bigint,
                coalesce(sum(blocks_done), 0)::bigint, coalesce(sum(blocks_total), 0)::bigint,
                least((SELECT sum((result ->> 'done')::integer) FROM answer)::integer + 1,
                    (SELECT count FROM shards)), (SELECT count FROM shards)
            FROM now HAVING EXISTS (SELECT FROM answer)
            """, [.text(command)])
        return { _, _ in query }
    }
}

extension IndexProgress {
    fileprivate init(_ row: PGRow) throws {
        func fraction(_ done: Int, _ total: Int) throws -> Double? {
            let (done, total) = (try row.int(done), try row.int(total))
            return total > 0 ? min(1, Double(done) / Double(total)) : nil
        }
        self.init(
            phase: try row.string(0), fraction: try fraction(1, 2) ?? fraction(3, 4),
            part: try row.int(5), parts: try row.int(6))
    }
}
