import PGClient

/// The `pictures` table: the only SQL of the project.
///
/// Its columns `filename text PRIMARY KEY` (the first, by which the demo finds it) and `embedding
/// vector(512)` are those of the Python demo, whose scripts and these tools can use the same table.
public struct PicturesTable {
    /// CLIP ViT-B/32's embedding dimension, which the demo's table has.
    public static let defaultDimension = 512
    /// The most that pgvector's `vector` holds.
    public static let maximumDimension = 16_000

    package let connection: PGConnection
    let session: TableSession
    /// Whether a connection pool is between this program and the server.
    let isPooled: Bool

    /// The model that searches are made with: when it is set, a search of another model's embeddings is refused.
    public var searchModel: ModelIdentity?

    /// The bucket that the pictures found are looked for in: when it is set, searching a table of another
    /// bucket is refused.
    var searchBucket: BucketIdentity?

    /// Connects to the database of a service URI.
    ///
    /// - Parameters:
    ///   - schema: where the tables are; nil for where the search path finds them.
    ///   - responseTimeout: how long the server may keep silent while a statement runs, so that one that hangs gives an
    ///     error. Longer than the longest statement that the tool runs; nil for ever, for building an index.
    ///   - onNotice: gets the server's notices, such as that an index outgrew memory while it was built.
    /// - Throws: `PGError`, whose description names the server and never the password; ``TableError``
    ///   when the role may not use a schema.
    public init(
        uri: String, schema: String? = nil, applicationName: String,
        responseTimeout: Duration? = .seconds(120),
        onNotice: (@Sendable (String) -> Void)? = nil
    ) throws {
        try self.init(
            PGConnection(
                uri: uri, applicationName: applicationName, responseTimeout: responseTimeout,
                onNotice: onNotice), schema: schema)
    }

    /// Takes over a connection.
    init(_ connection: PGConnection, schema: String? = nil) throws {
        self.connection = connection
        isPooled = try Self.isPooled(connection)
        session = try TableSession(connection, schema: schema)
    }

    /// - Throws: ``TableError/statementPool``.
    private static func isPooled(_ connection: PGConnection) throws -> Bool {
        do {
            guard try connection.isPooled() else { return false }
        } catch  where error.kind == .timeout {
            throw PGError(
                .timeout,
                "the connection was accepted, but its first statement got no answer: a connection pool in session mode needs a connection for each search thread of web-app, which has two for each processor and 16 at most, and one for every other tool"
            )
        }
        if try connection.refusesTransactions() { throw TableError.statementPool }
        return true
    }

    // MARK: Creating

    /// What ``create(dimension:)`` found and did.
    public struct Creation: Sendable, Equatable {
        public let extensionVersion: String
        public let createdExtension: Bool
        public let createdTable: Bool
        /// Whether a table that was there was brought up to this version.
        public let upgradedTable: Bool
        /// Dimension of the embeddings that the table holds.
        public let dimension: Int
    }

    /// Enables pgvector and creates the table, as far as they are not there yet, and brings a table
    /// of an earlier version or of the demo up to this one.
    ///
    /// Can be repeated, and run by several at once: the second waits for the first.
    /// - Parameters:
    ///   - dimension: of the embeddings; nil makes a table of ``defaultDimension``, and takes an existing one as it is.
    ///   - partitions: into how many tables the rows are spread by a hash of their keys; nil makes one
    ///     table, and takes an existing one as it is.
    /// - Throws: ``TableError`` when the server has no pgvector, the role lacks a right, or a table
    ///   `pictures` of another shape is there; `PGError` for everything else.
    public func create(
        dimension: Int? = nil, partitions: Int? = nil
    ) throws -> Creation {
        try checkTransactionsMayWait()
        do {
            return try createOrUpgrade(dimension, partitions)
        } catch let error as PGError where error.sqlState == "25006" {
            try checkServerIsWritable()
            throw error
        }
    }

    private func createOrUpgrade(_ dimension: Int?, _ partitions: Int?) throws -> Creation {
        try connection.transaction {
            try lockDefinitions()
            let createdSchema = try createSchema()
            let createdExtension = try createExtension()
            if createdExtension { try findNames() }
            let version = try extensionVersion() ?? "unknown"
            let existing = try columns()
            var held = dimension ?? Self.defaultDimension
            if existing.isEmpty {
                if !createdSchema, !createdExtension { try checkSchema() }
                try createTable(held, partitions: partitions ?? 0)
            } else {
                held = try checkedDimension(existing)
                if let dimension, dimension != held {
                    throw TableError.otherDimension(table: held, asked: dimension)
                }
                if let partitions, case let present = try self.partitions().count,
                    present != partitions
                {
                    throw TableError.otherPartitions(table: present, asked: partitions)
                }
            }
            let applied = try applyMigrations()
            if names.isDistributed { try distributeSideTables() }
            return Creation(
                extensionVersion: version, createdExtension: createdExtension,
                createdTable: existing.isEmpty,
                upgradedTable: !existing.isEmpty && !applied.isEmpty, dimension: held)
        }
    }

    private func extensionVersion() throws(PGError) -> String? {
        try connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            .first?.string(0)
    }

    private func createExtension() throws -> Bool {
        guard try extensionVersion() == nil else { return false }
        let available = try connection.execute(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        guard !available.isEmpty else {
            throw TableError.noVectorExtension(server: "\(connection.serverVersion / 10_000)")
        }
        // All collections of a database share it, so it belongs to the schema of none.
        let publicExists = try connection.execute(
            "SELECT 1 FROM pg_namespace WHERE nspname = 'public'")
        let place =
            !names.isSchemaGiven ? "" : " SCHEMA \(publicExists.isEmpty ? names.schema : "public")"
        try define(
            "CREATE EXTENSION vector\(place)", or: .mayNotCreateExtension(role: connection.user))
        return true
    }

    /// Creates the schema of `PG_SCHEMA` if it is not there.
    private func createSchema() throws -> Bool {
        guard !names.schemaExists else { return false }
        try define(
            "CREATE SCHEMA IF NOT EXISTS \(names.schema)",
            or: .mayNotCreateSchema(role: connection.user, schema: names.schema))
        return true
    }

    /// Refuses to create tables in a schema that is an extension's own: one that it created, or in which
    /// nothing else is.
    private func checkSchema() throws {
        let rows = try connection.execute(
            """
            SELECT quote_ident(extname) FROM pg_extension, pg_namespace
            WHERE nspname <> 'public' AND pg_namespace.oid = to_regnamespace($1) AND (
                EXISTS (SELECT FROM pg_depend
                    WHERE classid = 'pg_namespace'::regclass AND objid = pg_namespace.oid
                        AND refobjid = pg_extension.oid AND deptype = 'e')
                OR extnamespace = pg_namespace.oid AND NOT EXISTS (
                    SELECT FROM pg_class WHERE relnamespace = pg_namespace.oid
                        AND relkind IN ('r', 'p', 'v') AND NOT EXISTS (SELECT FROM pg_depend
                            WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                                AND deptype = 'e')))
            """, [.text(names.schema)])
        if let row = rows.first {
            throw TableError.extensionSchema(names.schema, extension: try row.string(0))
        }
    }

    /// Runs a definition for which the role may lack the right.
    func define(_ sql: String, or missingRight: TableError) throws {
        do {
            try connection.execute(sql)
        } catch {
            throw error.isInsufficientPrivilege ? missingRight : error
        }
    }

    /// Columns of the table, by name, with their types; empty without one. Those of a view or a foreign table have
    /// none of the types that a table of pictures needs.
    func columns() throws -> [String: String] {
        let rows = try connection.execute(
            """
            SELECT attname::text,
                CASE WHEN relkind IN ('r', 'p') THEN format_type(atttypid, atttypmod) ELSE '' END
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE attrelid = \(names.regclass()) AND attnum > 0 AND NOT attisdropped
            """)
        return Dictionary(
            uniqueKeysWithValues: try rows.map { (try $0.string(0), try $0.string(1)) })
    }

    /// Whether a table of this project is there.
    func exists(_ table: String) throws -> Bool {
        try connection.execute("SELECT \(names.regclass(table)) IS NOT NULL")[0].bool(0)
    }

    /// The dimension of embeddings in a table with these columns.
    /// - Throws: ``TableError/noTable`` when there are none, ``TableError/differentTable`` for the table of
    ///   some other program.
    func shape(_ columns: [String: String]) throws -> Int {
        guard !columns.isEmpty else { throw names.noTable }
        guard let name = columns["filename"], name == "text" || name.hasPrefix("character varying"),
            let dimension = Self.dimension(columns["embedding"])
        else { throw TableError.differentTable(schema: names.schema) }
        return dimension
    }

    /// Explains why a statement that reads the table has failed.
    /// - Throws: ``TableError`` when the table is not there, another program's, or not for this role.
    func checkReadable() throws {
        _ = try shape(try columns())
        try checkReadable(["pictures"])
    }

    private func checkedDimension(_ columns: [String: String]) throws -> Int {
        let dimension = try shape(columns)
        // Rows are replaced by key, for which the key has to be unique.
        let unique = try connection.execute(
            """
            SELECT 1 FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
            WHERE indrelid = \(names.regclass()) AND indisunique AND indpred IS NULL
                AND indnkeyatts = 1 AND attname = 'filename'
            """)
        guard !unique.isEmpty else { throw TableError.noUniqueKey }
        return dimension
    }

    /// The number in `vector(512)`, with or without the type's schema; nil for any other type.
    private static func dimension(_ type: String?) -> Int? {
        guard let type = type?.split(separator: ".").last, type.hasPrefix("vector("),
            type.hasSuffix(")")
        else { return nil }
        return Int(type.dropFirst("vector(".count).dropLast())
    }

    /// The dimension of a column.
    func dimension(of column: String) throws -> Int {
        guard let dimension = Self.dimension(try columns()[column]) else {
            throw TableError.modelReplaced
        }
        return dimension
    }

    /// The dimension of the embeddings that the table holds.
    /// - Throws: ``TableError`` when there is no table, or one of another shape.
    public func dimension() throws -> Int {
        try checkedDimension(try columns())
    }

    /// Checks before any work is done that rows can be stored.
    /// - Throws: ``TableError`` when the server is a read-only replica or the role lacks a right.
    public func checkWritable() throws {
        try checkServerIsWritable()
        guard try tables(["pictures"], without: ["SELECT", "INSERT", "UPDATE"]).isEmpty else {
            throw TableError.mayNotWrite(role: connection.user, schema: names.schema)
        }
    }

    /// - Throws: ``TableError`` when the server is a replica, or transactions are read-only by default, as
    ///   managed databases set it when their disk is full.
    func checkServerIsWritable() throws {
        let rows = try connection.execute(
            "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean")
        if try rows[0].bool(0) { throw TableError.readOnlyServer }
        if try rows[0].bool(1) { throw TableError.readOnlyDatabase }
        try checkTransactionsMayWait()
    }

    /// - Throws: ``TableError/transactionsEndTooSoon(milliseconds:)`` when the server ends a connection
    ///   (25P03) whose transaction waits for its next statement for less than a second.
    private func checkTransactionsMayWait() throws {
        let rows = try connection.execute(
            """
            SELECT setting::integer FROM pg_settings
            WHERE name = 'idle_in_transaction_session_timeout'
            """)
        guard let milliseconds = try rows.first?.int(0), (1..<1_000).contains(milliseconds)
        else { return }
        throw TableError.transactionsEndTooSoon(milliseconds: milliseconds)
    }

    /// Whether the connection can still be used.
    var isUsable: Bool { connection.isUsable }
}

// MARK: - Partitions

extension PicturesTable {
    /// The most partitions that are made: each search asks every one of them.
    public static let maximumPartitions = 256

    /// Makes the table, which is not there.
    /// - Parameter partitions: 0 for a table without.
    private func createTable(_ dimension: Int, partitions: Int) throws {
        let columns = "filename text PRIMARY KEY, embedding \(names.vector)(\(dimension))"
        let partitioning = partitions > 0 ? " PARTITION BY HASH (filename)" : ""
        try define(
            "CREATE TABLE \(names.pictures) (\(columns))\(partitioning)",
            or: .mayNotCreateTable(role: connection.user, schema: names.schema))
        for number in 0..<partitions {
            try connection.execute(
                """
                CREATE TABLE \(names["pictures_p\(number)"]) PARTITION OF \(names.pictures)
                FOR VALUES WITH (MODULUS \(partitions), REMAINDER \(number))
                """)
        }
    }
}
