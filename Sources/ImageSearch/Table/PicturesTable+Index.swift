import PGClient

extension PicturesTable {
    /// Connects for building an index, which takes the server as long as it takes.
    /// - Parameter notice: gets what the server says besides, such as that a graph outgrew memory.
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
        try lockIndexes()
        defer { unlockIndexes() }
        if kind == .none { return try dropIndexes() }
        guard dimension <= IndexOptions.maximumDimension else {
            throw TableError.tooManyDimensionsForIndex(dimension: dimension)
        }
        let method = kind == .hnsw ? SearchIndex.Method.hnsw : .ivfflat
        let present = try searchIndexes()
        if let index = present.first(where: { $0.isValid && $0.method == method }) {
            return IndexChange(outcome: .wasThere, name: index.name)
        }
        var change = IndexChange(outcome: .built, name: "pictures_embedding_\(method.rawValue)")
        try prepareSession(options)
        let builder = IndexBuilder(
            connection: connection, names: names, method: method, dimension: dimension,
            rows: try rowEstimate())
        let watch = try IndexWatch(uri: uri, process: connection.backendProcessID, progress)
        defer { watch.stop() }
        change.removedInvalid = try builder.build(watch)
        searchStateCache.forget()
        // The other kind would only be kept up to date for nothing.
        for index in present where index.method != method && index.name.hasPrefix(Self.ownPrefix) {
            try builder.drop(index.name)
        }
        return change
    }

    /// What the names of this project's indexes begin with.
    static let ownPrefix = "pictures_embedding_"

    private func dropIndexes() throws -> IndexChange {
        let own = try searchIndexes().filter { $0.name.hasPrefix(Self.ownPrefix) }
        let builder = IndexBuilder(
            connection: connection, names: names, method: .hnsw, dimension: 1, rows: 0)
        for index in own { try builder.drop(index.name) }
        searchStateCache.forget()
        return IndexChange(
            outcome: own.isEmpty ? .noneWasThere : .dropped, name: own.first?.name)
    }

    /// About how many rows the table has: what the planner thinks, or counted when nobody has
    /// analysed it yet.
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

    /// A lock that a session holds. Who waits for it asks again and again instead of waiting inside
    /// the server: a concurrent build waits for every transaction that is older than itself, so a
    /// waiter in a transaction would hold up the one that it waits for.
    private func lockIndexes() throws {
        while true {
            let rows = try connection.execute(
                "SELECT pg_try_advisory_lock($1)", [.int64(Self.indexLock)])
            if try rows.first?.bool(0) == true { return }
            _ = Monitor(()).wait(milliseconds: 500) { _ -> Bool? in nil }
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
        // A build whose tool was killed ends, instead of going on for nobody.
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
    let method: SearchIndex.Method
    let dimension: Int
    let rows: Int

    /// One table of a partitioned one.
    private struct Part {
        let table: String
        let index: String
    }

    /// - Returns: whether an invalid index was removed first.
    func build(_ watch: IndexWatch) throws -> Bool {
        let name = PicturesTable.ownPrefix + method.rawValue
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
            let part = Part(table: partition, index: "\(partition)_embedding_\(method.rawValue)")
            if try state(of: part.index) == true { continue }
            removed = try dropInvalid(part.index) || removed
            watch.begin(part: number + 1, of: partitions.count)
            try create("CONCURRENTLY \(quoted(part.index)) ON \(names[quoted(part.table)])")
        }
        for partition in partitions {
            let index = "\(partition)_embedding_\(method.rawValue)"
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
        // Lists: pgvector's README says rows / 1,000, and the root of them beyond a million.
        let lists = rows <= 1_000_000 ? rows / 1_000 : Int(Double(rows).squareRoot())
        let options = method == .hnsw ? "" : " WITH (lists = \(min(max(lists, 1), 32_768)))"
        try connection.execute(
            """
            CREATE INDEX \(target) USING \(method.rawValue)
            ((embedding::\(names.vectorSchema).halfvec(\(dimension)))
                \(names.vectorSchema).halfvec_cosine_ops)\(options)
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
