import PGClient
import S3Client

extension PicturesTable {
    /// Connects for building an index, without a limit of time.
    /// - Parameter notice: gets the server's notices, such as that a graph outgrew memory.
    public init(
        uri: String, builder applicationName: String, notice: @escaping @Sendable (String) -> Void
    ) throws {
        try self.init(
            PGConnection(
                uri: uri, applicationName: applicationName, onNotice: { notice($0.message) }))
    }

    /// Builds, rebuilds or drops the index over the embeddings, while others search and store.
    ///
    /// The index is `CREATE INDEX CONCURRENTLY` over `halfvec`, half the bytes of `vector`, with the
    /// cosine operator class; on each partition by itself where the table has partitions. One that a
    /// build left invalid is dropped first. Two builders at once: the second waits for the first.
    ///
    /// - Parameters:
    ///   - uri: where a second connection asks for the progress.
    ///   - progress: told of it now and then.
    /// - Throws: ``TableError`` or `PGError`. What was built of an index stays, invalid, for the next
    ///   call to remove.
    public func changeIndex(
        _ options: IndexOptions, uri: String, progress: @escaping @Sendable (IndexProgress) -> Void
    ) throws -> IndexChange {
        guard try !connection.isPooled() else { throw TableError.indexThroughPool }
        let dimension = try dimension()
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
        try lockIndexes(progress)
        defer { unlockIndexes() }
        if kind == .none { return try dropIndexes() }
        guard dimension <= IndexOptions.maximumDimension else {
            throw TableError.tooManyDimensionsForIndex(dimension: dimension)
        }
        let present = try searchIndexes()
        if let index = present.first(where: { $0.isValid && $0.method == .hnsw }) {
            return IndexChange(outcome: .wasThere, name: index.name)
        }
        var change = IndexChange(outcome: .built, name: "pictures_embedding_hnsw")
        try prepareSession(options)
        let builder = IndexBuilder(connection: connection, names: names, dimension: dimension)
        let watch = try IndexWatch(uri: uri, process: connection.backendProcessID, progress)
        defer { watch.stop() }
        change.removedInvalid = try builder.build(watch)
        searchStateCache.forget()
        // An IVFFlat index of an earlier version would be maintained for nothing.
        for index in present where index.method != .hnsw && index.name.hasPrefix(Self.ownPrefix) {
            try builder.drop(index.name)
        }
        return change
    }

    /// What the names of this project's indexes begin with.
    static let ownPrefix = "pictures_embedding_"

    private func dropIndexes() throws -> IndexChange {
        let own = try searchIndexes().filter { $0.name.hasPrefix(Self.ownPrefix) }
        let builder = IndexBuilder(connection: connection, names: names, dimension: 1)
        for index in own { try builder.drop(index.name) }
        searchStateCache.forget()
        return IndexChange(
            outcome: own.isEmpty ? .noneWasThere : .dropped, name: own.first?.name)
    }

    /// About how many rows the table has: the planner's estimate, or a count before the first ANALYZE.
    func rowEstimate() throws -> Int {
        let rows = try connection.execute(
            """
            SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint,
                coalesce(bool_or(reltuples < 0), true)
            FROM pg_class
            WHERE relkind = 'r' AND oid IN (
                SELECT relid FROM pg_partition_tree(\(names.regclass()))
                UNION SELECT \(names.regclass()))
            """)
        if let row = rows.first, try !row.bool(1), try row.int(0) >= IndexOptions.worthAnIndex {
            return try row.int(0)
        }
        return try connection.execute("SELECT count(*) FROM \(names.pictures)").first?.int(0) ?? 0
    }

    /// Takes a lock of the session. A waiter polls, since a concurrent build waits for every older
    /// transaction, and would wait for one that waits for the lock.
    private func lockIndexes(_ progress: (IndexProgress) -> Void) throws {
        while true {
            let rows = try connection.execute(
                "SELECT pg_try_advisory_lock($1)", [.int64(Self.indexLock)])
            if try rows.first?.bool(0) == true { return }
            progress(
                IndexProgress(
                    phase: "waiting for another create-table --index", fraction: nil, part: 1,
                    parts: 1))
            blockThread(.milliseconds(500))
        }
    }

    private func unlockIndexes() {
        _ = try? connection.execute("SELECT pg_advisory_unlock($1)", [.int64(Self.indexLock)])
    }

    /// "clipi" in ASCII.
    private static let indexLock: Int64 = 0x63_6C69_7069

    private func prepareSession(_ options: IndexOptions) throws {
        func set(_ name: String, _ value: String) throws {
            try connection.execute("SELECT set_config($1, $2, false)", [.text(name), .text(value)])
        }
        if let memory = options.memory {
            try set("maintenance_work_mem", "\(memory >> 10)kB")
        }
        if let workers = options.workers {
            try set("max_parallel_maintenance_workers", "\(workers)")
        }
        // The build ends when its tool is killed.
        if connection.serverVersion >= 140_000 {
            try? set("client_connection_check_interval", "5s")
        }
        try set("lock_timeout", "0")
        try set("statement_timeout", "0")
    }
}

/// Builds one index over the table or over each of its partitions.
struct IndexBuilder {
    let connection: PGConnection
    let names: TableNames
    let dimension: Int

    /// One table of a partitioned one.
    private struct Part {
        let table: String
        let index: String
    }

    /// - Returns: whether an invalid index was removed first.
    func build(_ watch: IndexWatch) throws -> Bool {
        let name = PicturesTable.ownPrefix + "hnsw"
        let partitions = try partitions()
        var removed = false
        guard !partitions.isEmpty else {
            removed = try dropInvalid(name)
            watch.begin(part: 1, of: 1)
            try create("CONCURRENTLY \(quoted(name)) ON \(names.pictures)")
            return removed
        }
        // The parent's index is nothing but the list of its parts: it becomes valid with the last.
        if try state(of: name) == nil { try create("\(quoted(name)) ON ONLY \(names.pictures)") }
        for (number, partition) in partitions.enumerated() {
            let part = Part(table: partition, index: "\(partition)_embedding_hnsw")
            if try state(of: part.index) == true { continue }
            removed = try dropInvalid(part.index) || removed
            watch.begin(part: number + 1, of: partitions.count)
            try create("CONCURRENTLY \(quoted(part.index)) ON \(names[quoted(part.table)])")
        }
        for partition in partitions {
            let index = "\(partition)_embedding_hnsw"
            try connection.execute(
                "ALTER INDEX \(names[quoted(name)]) ATTACH PARTITION \(names[quoted(index)])")
        }
        return removed
    }

    func drop(_ name: String) throws {
        // A partitioned index knows no concurrent way, and its parts go with it.
        let rows = try connection.execute(
            "SELECT relkind = 'I' FROM pg_class WHERE oid = \(names.regclass(quoted(name)))")
        let isPartitioned = try rows.first?.bool(0) ?? false
        try connection.execute(
            "DROP INDEX \(isPartitioned ? "" : "CONCURRENTLY ")IF EXISTS \(names[quoted(name)])")
    }

    private func create(_ target: String) throws {
        try connection.execute(
            """
            CREATE INDEX \(target) USING hnsw ((embedding::\(names.vectorSchema).halfvec(\(dimension)))
                \(names.vectorSchema).halfvec_cosine_ops)
            """)
    }

    private func dropInvalid(_ name: String) throws -> Bool {
        guard try state(of: name) == false else { return false }
        try connection.execute("DROP INDEX CONCURRENTLY IF EXISTS \(names[quoted(name)])")
        return true
    }

    /// Whether the index of a name is valid; nil when there is none.
    private func state(of name: String) throws -> Bool? {
        try connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = \(names.regclass(quoted(name)))"
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

    private func quoted(_ name: String) -> String {
        "\"" + name.replacing("\"", with: "\"\"") + "\""
    }
}
