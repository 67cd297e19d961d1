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
    let searchStateCache = SearchStateCache()

    /// The model that searches are made with: when it is set, a search of another model's embeddings
    /// is refused.
    public var searchModel: ModelIdentity?

    /// The bucket that the pictures found are looked for in: when it is set, searching a table of another
    /// bucket is refused.
    var searchBucket: BucketIdentity?

    /// Connects to the database of a service URI.
    ///
    /// - Parameter responseTimeout: how long the server may keep silent while a statement runs, so that
    ///   one that hangs gives an error. Longer than the longest statement that the tool runs; nil for
    ///   ever, for building an index.
    /// - Throws: `PGError`, whose description names the server and never the password.
    public init(
        uri: String, applicationName: String, responseTimeout: Duration? = .seconds(120)
    ) throws {
        try self.init(
            PGConnection(
                uri: uri, applicationName: applicationName, responseTimeout: responseTimeout))
    }

    /// Takes over a connection.
    init(_ connection: PGConnection) throws {
        self.connection = connection
        if try connection.isPooled(), try connection.refusesTransactions() {
            throw TableError.statementPool
        }
        session = TableSession(try TableNames(connection))
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
    /// Safe to run again and by several at once: the second waits for the first.
    /// - Parameters:
    ///   - dimension: of the embeddings; nil makes a table of ``defaultDimension``, and takes an
    ///     existing one as it is.
    ///   - partitions: into how many tables the rows are spread by a hash of their keys; nil makes one
    ///     table, and takes an existing one as it is.
    /// - Throws: ``TableError`` when the server has no pgvector, the role lacks a right, or a table
    ///   `pictures` of another shape is there; `PGError` for everything else.
    public func create(
        dimension: Int? = nil, partitions: Int? = nil
    ) throws -> Creation {
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
            let createdExtension = try createExtension()
            if createdExtension { try findNames() }
            let version = try extensionVersion() ?? "unknown"
            let existing = try columns()
            if existing.isEmpty {
                let dimension = dimension ?? Self.defaultDimension
                try createTable(dimension, partitions: partitions ?? 0)
                _ = try applyMigrations()
                return Creation(
                    extensionVersion: version, createdExtension: createdExtension,
                    createdTable: true, upgradedTable: false, dimension: dimension)
            }
            let existingDimension = try checkedDimension(existing)
            if let dimension, dimension != existingDimension {
                throw TableError.otherDimension(table: existingDimension, asked: dimension)
            }
            if let partitions { try checkPartitions(partitions) }
            let applied = try applyMigrations()
            return Creation(
                extensionVersion: version, createdExtension: createdExtension,
                createdTable: false, upgradedTable: !applied.isEmpty,
                dimension: existingDimension)
        }
    }

    func extensionVersion() throws(PGError) -> String? {
        let rows = try connection.execute(
            "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        return try rows.first?.string(0)
    }

    private func createExtension() throws -> Bool {
        guard try extensionVersion() == nil else { return false }
        let available = try connection.execute(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        guard !available.isEmpty else {
            throw TableError.noVectorExtension(server: "\(connection.serverVersion / 10_000)")
        }
        try define("CREATE EXTENSION vector", or: .mayNotCreateExtension(role: connection.user))
        return true
    }

    /// Runs a definition for which the role may lack the right.
    func define(_ sql: String, or missingRight: TableError) throws {
        do {
            try connection.execute(sql)
        } catch {
            throw error.isInsufficientPrivilege ? missingRight : error
        }
    }

    /// Columns of the table that the search path finds, by name, with their types; empty without one.
    func columns() throws -> [String: String] {
        let rows = try connection.execute(
            """
            SELECT attname::text, format_type(atttypid, atttypmod)
            FROM pg_attribute
            WHERE attrelid = \(names.regclass()) AND attnum > 0 AND NOT attisdropped
            """)
        var columns: [String: String] = [:]
        for row in rows { columns[try row.string(0)] = try row.string(1) }
        return columns
    }

    private func checkedDimension(_ columns: [String: String]) throws -> Int {
        guard let name = columns["filename"], name == "text" || name.hasPrefix("character varying"),
            let dimension = Self.dimension(columns["embedding"])
        else { throw TableError.differentTable }
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
        let columns = try columns()
        guard !columns.isEmpty else { throw TableError.noTable }
        return try checkedDimension(columns)
    }

    /// Finds out before any work is done whether rows could be stored.
    /// - Throws: ``TableError`` when the server is a read-only replica or the role lacks a right.
    public func checkWritable() throws {
        try checkServerIsWritable()
        let table = names.literal("pictures")
        let rows = try connection.execute(
            """
            SELECT has_table_privilege(\(table), 'SELECT')
                AND has_table_privilege(\(table), 'INSERT')
                AND has_table_privilege(\(table), 'UPDATE')
            """)
        guard let row = rows.first else { return }
        guard try row.bool(0) else { throw TableError.mayNotWrite(role: connection.user) }
    }

    /// - Throws: ``TableError`` when the server is a replica, or transactions are read-only by default, as
    ///   managed databases set it when their disk is full.
    private func checkServerIsWritable() throws {
        let rows = try connection.execute(
            "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean")
        guard let row = rows.first else { return }
        if try row.bool(0) { throw TableError.readOnlyServer }
        if try row.bool(1) { throw TableError.readOnlyDatabase }
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
    func createTable(_ dimension: Int, partitions: Int) throws {
        let columns = "filename text PRIMARY KEY, embedding \(names.vector)(\(dimension))"
        let role = connection.user
        guard partitions > 0 else {
            return try define(
                "CREATE TABLE \(names.pictures) (\(columns))", or: .mayNotCreateTable(role: role))
        }
        try define(
            "CREATE TABLE \(names.pictures) (\(columns)) PARTITION BY HASH (filename)",
            or: .mayNotCreateTable(role: role))
        for number in 0..<partitions {
            try define(
                """
                CREATE TABLE \(names["pictures_p\(number)"]) PARTITION OF \(names.pictures)
                FOR VALUES WITH (MODULUS \(partitions), REMAINDER \(number))
                """, or: .mayNotCreateTable(role: role))
        }
    }

    /// - Throws: ``TableError/otherPartitions(table:asked:)``.
    func checkPartitions(_ asked: Int) throws {
        let rows = try connection.execute(
            """
            SELECT count(*) FROM pg_partition_tree(\(names.regclass()))
            WHERE isleaf AND level > 0
            """)
        let present = try rows.first?.int(0) ?? 0
        guard present == asked else {
            throw TableError.otherPartitions(table: present, asked: asked)
        }
    }
}
