import PGClient

/// The `pictures` table: the only SQL of the project.
///
/// Its first two columns, `filename text PRIMARY KEY` and `embedding vector(512)`, are those of the
/// Python demo, whose scripts and these tools can use the same table.
public struct PicturesTable {
    /// CLIP ViT-B/32's embedding dimension, which the demo's table has.
    public static let defaultDimension = 512
    /// The most that pgvector's `vector` holds.
    public static let maximumDimension = 16_000

    private let connection: PGConnection

    init(_ connection: PGConnection) { self.connection = connection }

    /// Connects to the database of a service URI.
    /// - Throws: `PGError`, whose description names the server and never the password.
    public init(uri: String, applicationName: String) throws {
        connection = try PGConnection(uri: uri, applicationName: applicationName)
    }

    // MARK: Creating

    /// What ``create(dimension:)`` found and did.
    public struct Creation: Sendable, Equatable {
        public let extensionVersion: String
        public let createdExtension: Bool
        public let createdTable: Bool
        /// Dimension of the embeddings that the table holds.
        public let dimension: Int
    }

    /// Enables pgvector and creates the table, as far as they are not there yet.
    ///
    /// Safe to run again and by several at once: the second waits for the first.
    /// - Throws: ``TableError`` when the server has no pgvector, the role lacks a right, or a table
    ///   `pictures` of another shape is there; `PGError` for everything else.
    public func create(dimension: Int = defaultDimension) throws -> Creation {
        try connection.transaction {
            // Any number will do that no one else uses: "clip" in ASCII.
            try connection.execute("SELECT pg_advisory_xact_lock($1)", [.int64(0x636C_6970)])
            let createdExtension = try createExtension()
            let version = try extensionVersion() ?? "unknown"
            let existing = try columns()
            if existing.isEmpty {
                try createTable(dimension)
                return Creation(
                    extensionVersion: version, createdExtension: createdExtension,
                    createdTable: true, dimension: dimension)
            }
            return Creation(
                extensionVersion: version, createdExtension: createdExtension,
                createdTable: false, dimension: try Self.checkedDimension(existing))
        }
    }

    private func extensionVersion() throws(PGError) -> String? {
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

    private func createTable(_ dimension: Int) throws {
        try define(
            "CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(\(dimension)))",
            or: .mayNotCreateTable(role: connection.user))
    }

    /// Runs a definition for which the role may lack the right.
    private func define(_ sql: String, or missingRight: TableError) throws {
        do {
            try connection.execute(sql)
        } catch {
            throw error.isInsufficientPrivilege ? missingRight : error
        }
    }

    /// Columns of the table that the search path finds, by name, with their types; empty without one.
    private func columns() throws -> [String: String] {
        let rows = try connection.execute(
            """
            SELECT attname::text, format_type(atttypid, atttypmod)
            FROM pg_attribute
            WHERE attrelid = to_regclass('pictures') AND attnum > 0 AND NOT attisdropped
            """)
        var columns: [String: String] = [:]
        for row in rows { columns[try row.string(0)] = try row.string(1) }
        return columns
    }

    private static func checkedDimension(_ columns: [String: String]) throws -> Int {
        guard let name = columns["filename"], name == "text" || name.hasPrefix("character varying"),
            let type = columns["embedding"]?.split(separator: ".").last, type.hasPrefix("vector("),
            type.hasSuffix(")"), let dimension = Int(type.dropFirst("vector(".count).dropLast())
        else { throw TableError.differentTable }
        return dimension
    }

    /// The dimension of the embeddings that the table holds.
    /// - Throws: ``TableError`` when there is no table, or one of another shape.
    public func dimension() throws -> Int {
        let columns = try columns()
        guard !columns.isEmpty else { throw TableError.noTable }
        return try Self.checkedDimension(columns)
    }

    // MARK: Storing

    /// One picture's row.
    public struct Row: Sendable {
        public let key: String
        /// L2-normalised, `[dimension]`.
        public let embedding: [Float]

        public init(key: String, embedding: [Float]) {
            self.key = key
            self.embedding = embedding
        }
    }

    /// Stores rows, replacing those of the same key; all of them or none.
    ///
    /// They travel by binary COPY into a table of the transaction's own. Rows are put in in key order,
    /// so that two processes that store the same keys wait for each other instead of deadlocking.
    public func upsert(_ rows: [Row]) throws {
        guard !rows.isEmpty else { return }
        try connection.transaction {
            try connection.execute(
                """
                CREATE TEMPORARY TABLE incoming_pictures (filename text, embedding vector)
                ON COMMIT DROP
                """)
            try connection.copyIn(
                "COPY incoming_pictures (filename, embedding) FROM STDIN (FORMAT binary)"
            ) { writer in
                for row in rows {
                    try writer.write([.text(row.key), .vector(row.embedding)])
                }
            }
            try connection.execute(
                """
                INSERT INTO pictures (filename, embedding)
                SELECT filename, embedding FROM incoming_pictures ORDER BY filename
                ON CONFLICT (filename) DO UPDATE SET embedding = excluded.embedding
                """)
        }
    }

    // MARK: Searching

    /// The `limit` pictures whose embeddings make the smallest angle with a unit vector.
    /// - Throws: ``TableError`` when there is no table, or its dimension is another; `PGError`
    ///   otherwise.
    public func nearest(to embedding: [Float], limit: Int) throws -> [SearchHit] {
        do {
            let rows = try connection.execute(
                """
                SELECT filename, 1 - (embedding <=> $1::vector) AS score
                FROM pictures
                WHERE embedding IS NOT NULL
                ORDER BY embedding <=> $1::vector
                LIMIT $2
                """,
                [.vector(embedding), .int64(Int64(limit))])
            return try rows.enumerated().map { index, row in
                SearchHit(rank: index + 1, key: try row.string(0), score: try row.double(1))
            }
        } catch let error as PGError where error.isUndefinedTable || error.isUndefinedObject {
            // Without the extension, the type or operator is what is missing first.
            throw TableError.noTable
        } catch let error as PGError where error.sqlState == "22000" {
            throw TableError.differentDimension(table: try dimension(), model: embedding.count)
        }
    }

    /// Whether the table holds any picture.
    public func isEmpty() throws -> Bool {
        try connection.execute("SELECT 1 FROM pictures LIMIT 1").isEmpty
    }

    /// Whether the connection can still be used.
    var isUsable: Bool { connection.isUsable }

    /// Asks the server for an answer, whatever it is.
    func ping() throws {
        try connection.execute("SELECT 1")
    }
}
