import PGClient
import S3Client

extension PicturesTable {
    /// Builds, rebuilds or drops the index over the embeddings and those over dates and sizes, while others search
    /// and store.
    ///
    /// The index is `CREATE INDEX CONCURRENTLY` over `halfvec`, half the bytes of `vector`, with the
    /// cosine operator class; on each partition by itself where the table has partitions. One that a
    /// build left invalid is dropped first. Two builders at once: the second waits for the first.
    ///
    /// - Parameters:
    ///   - uri: where a second connection asks for the progress.
    ///   - progress: called now and then.
    /// - Throws: ``TableError`` or `PGError`. What was built of an index stays, invalid, for the next call to remove.
    public func changeIndex(
        _ options: IndexOptions, uri: String, progress: @escaping @Sendable (IndexProgress) -> Void
    ) throws -> IndexChange {
        guard !isPooled else { throw TableError.indexThroughPool }
        let dimension = try dimension()
        try checkServerIsWritable()
        var kind = options.kind
        if kind == .auto {
            let rows = try rowEstimate()
            guard rows >= IndexOptions.worthAnIndex else {
                let present = SearchIndex.best(of: try searchIndexes())
                return IndexChange(
                    outcome: present == nil ? .tooFewPictures(rows: rows) : .wasThere,
                    name: present?.name)
            }
            kind = .hnsw
        }
        if names.isDistributed, options.memory != nil || options.workers != nil {
            throw TableError.memoryOfNodes
        }
        try lockIndexes(progress)
        defer { unlockIndexes() }
        if kind == .none { return try dropIndexes() }
        guard dimension <= IndexOptions.maximumDimension else {
            throw TableError.tooManyDimensionsForIndex(dimension: dimension)
        }
        let present = try searchIndexes()
        let hasHalfVectors = try connection.execute(
            "SELECT to_regtype($1) IS NOT NULL", [.text("\(names.vectorSchema).halfvec")])
        guard try hasHalfVectors[0].bool(0) else { throw TableError.noHalfVectors }
        var change = IndexChange(outcome: .built, name: Self.ownPrefix + "hnsw")
        try prepareSession(options)
        change.builtForFilters = try buildFilterIndexes()
        if let index = present.first(where: { $0.isValid && $0.method == .hnsw }) {
            (change.outcome, change.name) = (.wasThere, index.name)
            return change
        }
        let name = Self.ownPrefix + "hnsw"
        let watch = try IndexWatch(uri: uri, progressQuery(of: name), progress)
        defer { watch.stop() }
        change.removedInvalid = try buildIndex(
            name, partSuffix: "embedding_hnsw",
            """
            USING hnsw ((embedding::\(names.vectorSchema).halfvec(\(dimension))) \
            \(names.vectorSchema).halfvec_cosine_ops)
            """, begin: watch.begin)
        session.searchState = nil
        // An IVFFlat index of an earlier version would be maintained for nothing.
        for index in present where index.method != .hnsw && index.name.hasPrefix(Self.ownPrefix) {
            try drop(index.name)
        }
        return change
    }

    /// What the names of this project's indexes begin with.
    static let ownPrefix = "pictures_embedding_"

    /// The columns of indexes by which a filter that keeps few pictures finds them; without one, every row is read.
    private static let filterIndexes = [
        (name: "pictures_taken_at", column: "taken_at", rest: "WHERE taken_at IS NOT NULL"),
        (name: "pictures_width", column: "width", rest: ""),
    ]

    /// Builds those that neither an earlier call nor the user has built.
    /// - Returns: their names.
    private func buildFilterIndexes() throws -> [String] {
        guard try searchState().hasFacts else { return [] }
        var built: [String] = []
        for index in Self.filterIndexes {
            let rows = try connection.execute(
                """
                SELECT 1 FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                WHERE indrelid = \(names.regclass()) AND attname = $1 AND indisvalid
                """, [.text(index.column)])
            guard rows.isEmpty else { continue }
            try buildIndex(
                index.name, partSuffix: index.column, "(\(index.column)) \(index.rest)")
            built.append(index.name)
        }
        return built
    }

    private func dropIndexes() throws -> IndexChange {
        let own = try searchIndexes().filter { $0.name.hasPrefix(Self.ownPrefix) }
        for index in own { try drop(index.name) }
        for index in Self.filterIndexes { try drop(index.name) }
        session.searchState = nil
        return IndexChange(
            outcome: own.isEmpty ? .noneWasThere : .dropped, name: own.first?.name)
    }

    private func drop(_ index: String) throws {
        let name = quotedName(index)
        // A partitioned index cannot be dropped concurrently, and its parts go with it.
        let rows = try connection.execute(
            "SELECT relkind = 'I' FROM pg_class WHERE oid = \(names.regclass(name))")
        guard let isPartitioned = try rows.first?.bool(0) else { return }
        try connection.execute(
            "DROP INDEX \(isPartitioned ? "" : "CONCURRENTLY ")IF EXISTS \(names[name])")
    }

    /// About how many rows the table has: the planner's estimate, or a count before the first ANALYZE.
    func rowEstimate() throws -> Int {
        if names.isDistributed {
            let rows = try shardSizes().rows
            if rows >= IndexOptions.worthAnIndex { return rows }
        }
        let rows = try connection.execute(
            """
            SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint,
                coalesce(bool_or(reltuples < 0), true)
            FROM pg_class
            WHERE relkind = 'r' AND oid IN (
                SELECT relid FROM pg_partition_tree(\(names.regclass()))
                UNION SELECT \(names.regclass()))
            """)
        let estimate = try rows[0].int(0)
        if try !rows[0].bool(1), estimate >= IndexOptions.worthAnIndex { return estimate }
        return try connection.execute("SELECT count(*) FROM \(names.pictures)")[0].int(0)
    }

    /// Takes a lock of the session. A waiter polls, since a concurrent build waits for every older
    /// transaction, and would wait for one that waits for the lock.
    func lockIndexes(_ progress: (IndexProgress) -> Void) throws {
        while try !connection.execute(
            "SELECT pg_try_advisory_lock($1)", [.int64(Self.indexLock)])[0].bool(0)
        {
            progress(
                IndexProgress(
                    phase: "waiting for another create-table --index", fraction: nil, part: 1,
                    parts: 1))
            blockThread(.milliseconds(500))
        }
    }

    func unlockIndexes() {
        _ = try? connection.execute("SELECT pg_advisory_unlock($1)", [.int64(Self.indexLock)])
    }

    /// "clipi" in ASCII.
    private static let indexLock: Int64 = 0x63_6C69_7069

    func prepareSession(_ options: IndexOptions) throws {
        var settings = ["lock_timeout = 0", "statement_timeout = 0"]
        if let memory = options.memory {
            settings.append("maintenance_work_mem = '\(memory >> 10)kB'")
        }
        if let workers = options.workers {
            settings.append("max_parallel_maintenance_workers = \(workers)")
        }
        for setting in settings { try connection.execute("SET \(setting)") }
        // The build ends when its tool is killed.
        if connection.serverVersion >= 140_000 {
            _ = try? connection.execute("SET client_connection_check_interval = '5s'")
        }
    }
}

// MARK: - Building

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
