import ClipCore
import PGClient

/// What a search has to know of the table before it asks: which index is there, and what pgvector understands.
struct SearchState: Sendable {
    let index: SearchIndex?
    /// `[0, 8, 5]` for 0.8.5.
    let extensionVersion: [Int]
    /// Whether there is a table that tells whose embeddings the pictures' are; the demo makes none.
    let hasModels: Bool
    /// Whether rows have columns for size, date and camera: not in a table of the demo's or of an earlier version.
    let hasFacts: Bool
    /// Whether there are small copies that this role may read.
    let hasPreviews: Bool
    /// The rule that pictures to search with are decoded by.
    let decoding: ImageDecoder.Rule

    /// The columns of ``PictureFacts``, for ``PictureFacts/init(_:from:)``.
    var facts: String {
        hasFacts
            ? "width, height, to_char(taken_at, 'YYYY-MM-DD\"T\"HH24:MI:SS'), camera"
            : "NULL::integer, NULL::integer, NULL::text, NULL::text"
    }

    /// Whether an index scan continues when a filter leaves too few rows (pgvector 0.8.0).
    var hasIterativeScans: Bool { !extensionVersion.lexicographicallyPrecedes([0, 8]) }
}

extension PicturesTable {
    /// What a search needs to know of the table. Every search comes through here, so what
    /// forbids searching is checked here too. A few queries every ten seconds of a connection's life:
    /// until then, an index that was built or dropped costs speed, not correctness.
    func searchState() throws -> SearchState {
        if let known = session.searchState, ContinuousClock.now < session.searchStateEnds {
            return known
        }
        if let searchBucket { try check(searchBucket) }
        let columns = try columns()
        if !columns.isEmpty { _ = try shape(columns) }
        let row = try read(
            """
            SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), ''),
                \(names.regclass("picture_models")) IS NOT NULL,
                \(Self.mayRead(names.regclass("picture_previews")))
            """)[0]
        let state = SearchState(
            index: SearchIndex.best(of: try searchIndexes()),
            extensionVersion: versionNumbers(try row.string(0)), hasModels: try row.bool(1),
            hasFacts: columns["decoding"] != nil, hasPreviews: try row.bool(2),
            decoding: try decoding())
        (session.searchState, session.searchStateEnds) = (state, .now + .seconds(10))
        return state
    }

    /// A condition: the table is there, and this role may read it.
    static func mayRead(_ table: String) -> String {
        "coalesce(has_table_privilege(\(table), 'SELECT'), false)"
    }

    /// The table's indexes of pgvector that searches can use, valid or not.
    /// - Parameter ofPartitions: whether those of its partitions are wanted too.
    func searchIndexes(ofPartitions: Bool = false) throws -> [SearchIndex] {
        let table = names.regclass()
        let rows = try read(
            """
            SELECT relname::text, amname::text, opcname::text, pg_get_indexdef(indexrelid, 1, true),
                format_type(atttypid, atttypmod), indisvalid AND indisready,
                coalesce(array_to_string(reloptions, ','), ''), pg_class.oid
            FROM pg_index
                JOIN pg_class ON pg_class.oid = indexrelid
                JOIN pg_am ON pg_am.oid = relam
                JOIN pg_opclass ON pg_opclass.oid = indclass[0]
                JOIN pg_attribute ON attrelid = indexrelid AND attnum = 1
            WHERE (indrelid = \(table) \(ofPartitions
                ? "OR indrelid IN (SELECT relid FROM pg_partition_tree(\(table)))" : ""))
                AND amname IN ('hnsw', 'ivfflat')
                AND indpred IS NULL AND indnatts = 1
            ORDER BY relname
            """)
        return try rows.compactMap { try SearchIndex($0) }
    }
}

/// The numbers of a version such as `0.8.5`.
func versionNumbers(_ version: String) -> [Int] {
    version.split(separator: ".").map { part in Int(part.prefix { $0.isNumber }) ?? 0 }
}

/// An index of pgvector that can answer "what is nearest".
struct SearchIndex: Sendable, Equatable {
    enum Method: String, Sendable {
        case hnsw, ivfflat
    }

    let oid: Int
    let name: String
    let method: Method
    /// What its operator class compares by: `cosine`, `l2` or `innerProduct`.
    let distance: String
    /// A query must use the same operator, or the index is passed over.
    let sqlOperator: String
    /// Whether it stores `embedding` itself, rather than the column in half precision.
    let holdsVectors: Bool
    /// `vector(512)` or `halfvec(512)`.
    let type: String
    /// False while it is being built, and after a build that was interrupted.
    let isValid: Bool
    /// Such as `halfvec_cosine_ops`, and `m=16`.
    let operatorClass: String
    let options: [String]

    /// pgvector's distances of which the nearest unit vectors are the same, by the middle of an operator class's name.
    private static let distances = [
        "cosine": ("cosine", "<=>"), "l2": ("l2", "<->"), "ip": ("innerProduct", "<#>"),
    ]

    /// IVFFlat's number of lists.
    var lists: Int {
        let lists = options.first { $0.hasPrefix("lists=") }
        return lists.flatMap { Int($0.dropFirst("lists=".count)) } ?? 100
    }

    /// What follows `CREATE INDEX … ON table` to make one like it.
    func definition(on column: String, dimension: Int, _ names: TableNames) -> String {
        let schema = names.vectorSchema
        let expression = holdsVectors ? column : "(\(column)::\(schema).halfvec(\(dimension)))"
        let with = options.isEmpty ? "" : " WITH (\(options.joined(separator: ", ")))"
        return "USING \(method.rawValue) (\(expression) \(schema).\(operatorClass))\(with)"
    }

    /// - Parameter row: name, method, operator class, the only column as `pg_get_indexdef` writes it, type, validity,
    ///   options and oid.
    /// - Returns: nil for an index that searches make no use of.
    init?(_ row: PGRow) throws {
        operatorClass = try row.string(2)
        let parts = operatorClass.split(separator: "_")
        guard let method = Method(rawValue: try row.string(1)), parts.count == 3,
            ["vector", "halfvec"].contains(parts[0]), parts[2] == "ops",
            let (distance, sqlOperator) = Self.distances[String(parts[1])]
        else { return nil }
        // `embedding`, or `((embedding)::halfvec(512))` with or without the type's schema.
        let plain = try row.string(3).filter { $0 != "(" && $0 != ")" && $0 != " " }
        type = String(try row.string(4).split(separator: ".").last ?? "")
        let flatType = type.filter { $0 != "(" && $0 != ")" }
        if plain == "embedding", type.hasPrefix("vector(") {
            holdsVectors = true
        } else if plain == "embedding::\(flatType)"
            || plain.hasPrefix("embedding::") && plain.hasSuffix(".\(flatType)"),
            type.hasPrefix("halfvec(")
        {
            holdsVectors = false
        } else {
            return nil
        }
        (self.method, self.distance, self.sqlOperator) = (method, distance, sqlOperator)
        (name, isValid, oid) = (try row.string(0), try row.bool(5), try row.int(7))
        options = try row.string(6).split(separator: ",").map(String.init)
    }

    /// The best of several: graphs before lists, cosine before other distances, small entries before large ones.
    static func best(of indexes: [SearchIndex]) -> SearchIndex? {
        indexes.filter(\.isValid).min { $0.order < $1.order }
    }

    private var order: Int {
        (method == .hnsw ? 0 : 4) + (distance == "cosine" ? 0 : 2) + (holdsVectors ? 1 : 0)
    }
}
