import PGClient

/// The state of the table and of what searches depend on: what `create-table --status` shows.
public struct TableStatus: Sendable {
    public struct Index: Sendable, Equatable {
        public let name: String
        /// `hnsw` or `ivfflat`.
        public let method: String
        /// `halfvec(512)`, say, and what it compares by.
        public let type: String
        public let distance: String
        public let isValid: Bool
        public let bytes: Int
    }

    public let server: String
    public let isReplica: Bool
    /// In order of the names.
    public let extensions: [(name: String, version: String)]
    /// The schema of the table and of those beside it.
    public let schema: String
    public let dimension: Int
    /// Rows with an embedding.
    public let pictures: Int
    /// Rows without one.
    public let withoutEmbedding: Int
    /// Objects that are known to hold no usable picture; nil when they are not counted.
    public let failures: Int?
    /// What the table's rows say they were made with; empty when they say nothing.
    public let models: [ModelIdentity]
    /// The model that is to replace the table's, and how many rows have its embedding already.
    public let replacement: (model: ModelIdentity, pictures: Int)?
    /// The rule that pictures are decoded by (``ImageDecoder/Rule``), as recorded; nil when none is.
    public let decoding: String?
    public let indexes: [Index]
    public let sizes: TableSizes
    /// Of some of the rows; 1 where only these tools stored. Nil for an empty table.
    public let meanNorm: Double?
    /// Numbers of the changes that were made to the table.
    public let migrations: [Int]

    /// What the operator should know, one sentence each.
    public var warnings: [String] {
        var warnings: [String] = []
        if let vector = extensions.first(where: { $0.name == "vector" }),
            let warning = Self.warning(aboutExtension: vector.version)
        {
            warnings.append(warning)
        }
        for index in indexes where !index.isValid {
            warnings.append(
                "the index \(index.name) is invalid because its build was interrupted: create-table --index \(index.method) builds it again"
            )
        }
        // A little is there for long keys.
        if sizes.outOfLine > sizes.table / 4, sizes.outOfLine > 1 << 20 {
            warnings.append(
                "\(sizes.outOfLine >> 20) MB of embeddings are stored outside their rows, where an earlier version left them, which makes exact searches several times slower: VACUUM FULL pictures moves them in, and locks the table while it runs"
            )
        }
        if rowBytesWasted > 16 << 20 {
            warnings.append(
                "the rows take \(sizes.table >> 20) MB, \(rowBytesWasted >> 20) MB more than they need, as after process-images --replace-model: VACUUM FULL pictures gives them back, and locks the table while it runs"
            )
        }
        if let meanNorm, abs(meanNorm - 1) > 0.001 {
            warnings.append(
                "the embeddings have a mean length of \(meanNorm), not 1: another program stored some of them"
            )
        }
        return warnings
    }

    /// Bytes beyond half as much again as rows of this dimension take, when as many as fit share a page.
    private var rowBytesWasted: Int {
        let rowsPerPage = 8_160 / (4 * dimension + 150)
        guard rowsPerPage > 0 else { return 0 }
        let needed = (pictures + withoutEmbedding) * 8_192 / rowsPerPage
        return sizes.table > needed + needed / 2 ? sizes.table - needed : 0
    }

    /// Also shown when the table is created; nil for a version without known faults (pgvector's CHANGELOG).
    package static func warning(aboutExtension version: String) -> String? {
        guard versionNumbers(version).lexicographicallyPrecedes([0, 8, 4]) else { return nil }
        return
            "pgvector \(version) has memory safety and vacuuming faults that 0.8.4 fixed: update it on the server, then run ALTER EXTENSION vector UPDATE"
    }
}

/// What a table takes, its partitions or shards together.
public struct TableSizes: Sendable {
    public internal(set) var partitions = 0
    /// Into how many shards Citus has split the table; 0 without Citus.
    public internal(set) var shards = 0
    /// Rows; not counted without Citus.
    var rows = 0
    /// Bytes of the rows alone, of all indexes, and of what is stored out of line.
    public let table: Int
    public let indexes: Int
    public let outOfLine: Int
}

extension PicturesTable {
    /// Rows whose lengths are looked at.
    private static let sampledRows = 1_000

    /// Counts every row, so it takes as long as reading the table's rows once.
    /// - Throws: ``TableError`` when there is no table of the right shape; `PGError` otherwise.
    public func status() throws -> TableStatus {
        let dimension = try dimension()
        let counts = try connection.execute(
            """
            SELECT count(embedding), count(*) - count(embedding), pg_is_in_recovery(),
                (parse_ident($1))[1]
            FROM \(names.pictures)
            """, [.text(names.schema)])
        let row = counts[0]
        let models = try models()
        return TableStatus(
            server: connection.parameter("server_version") ?? "unknown",
            isReplica: try row.bool(2),
            extensions: try connection.execute(
                "SELECT extname::text, extversion FROM pg_extension ORDER BY extname"
            ).map { (try $0.string(0), try $0.string(1)) },
            schema: try row.string(3), dimension: dimension, pictures: try row.int(0),
            withoutEmbedding: try row.int(1),
            failures: try failures(), models: models.filter(\.isActive).map(\.identity),
            replacement: try replacement(by: models.first(where: \.isNext)),
            decoding: try recordedDecoding(), indexes: try indexStatus(), sizes: try sizes(),
            meanNorm: try meanNorm(),
            migrations: try mayRead("picture_schema") ? migrationNumbers() : [])
    }

    private func sizes() throws -> TableSizes {
        if names.isDistributed { return try shardSizes() }
        let rows = try connection.execute(
            """
            SELECT count(*) FILTER (WHERE relid <> \(names.regclass())),
                coalesce(sum(pg_relation_size(relid)), 0)::bigint,
                coalesce(sum(pg_indexes_size(relid)), 0)::bigint,
                coalesce(sum(pg_relation_size(nullif(reltoastrelid, 0))), 0)::bigint
            FROM (
                SELECT \(names.regclass()) AS relid
                UNION SELECT relid FROM pg_partition_tree(\(names.regclass()))
            ) AS tree JOIN pg_class ON pg_class.oid = tree.relid
            WHERE relkind = 'r'
            """)
        return TableSizes(
            partitions: try rows[0].int(0), table: try rows[0].int(1), indexes: try rows[0].int(2),
            outOfLine: try rows[0].int(3))
    }

    private func indexStatus() throws -> [TableStatus.Index] {
        try searchIndexes().map { index in
            let quoted = quotedName(index.name)
            let size = try connection.execute(
                names.isDistributed
                    ? "SELECT citus_relation_size(\(names.regclass(quoted)))"
                    : """
                    SELECT coalesce(sum(pg_relation_size(relid)), 0)::bigint
                    FROM (
                        SELECT \(names.regclass(quoted)) AS relid
                        UNION SELECT relid FROM pg_partition_tree(\(names.regclass(quoted)))
                    ) AS tree
                    """)
            return TableStatus.Index(
                name: index.name, method: index.method.rawValue, type: index.type,
                distance: index.distance, isValid: index.isValid, bytes: try size[0].int(0))
        }
    }

    private func meanNorm() throws -> Double? {
        let rows = try connection.execute(
            """
            SELECT avg(\(names.vectorSchema).vector_norm(embedding)) FROM (
                SELECT embedding FROM \(names.pictures) WHERE embedding IS NOT NULL LIMIT $1
            ) AS sample
            """, [.int64(Int64(Self.sampledRows))])
        return try rows[0].isNull(0) ? nil : rows[0].double(0)
    }

    /// Whether a table beside `pictures` is there and can be read.
    private func mayRead(_ table: String) throws -> Bool {
        try connection.execute("SELECT \(Self.mayRead(names.regclass(table)))")[0].bool(0)
    }

    private func failures() throws -> Int? {
        guard try mayRead("picture_refusals") else { return nil }
        return try connection.execute(
            "SELECT count(*) FROM \(names["picture_refusals"]) WHERE reason IS NOT NULL")[0].int(0)
    }

    private func replacement(by model: KnownModel?) throws -> (model: ModelIdentity, pictures: Int)?
    {
        guard let model else { return nil }
        let rows = try connection.execute("SELECT count(embedding_next) FROM \(names.pictures)")
        return (model.identity, try rows[0].int(0))
    }
}
