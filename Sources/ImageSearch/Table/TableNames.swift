import PGClient

/// The qualified names that every statement uses.
///
/// Looked up once per connection, so that no statement depends on a search path: a transaction pool
/// hands each transaction to another server process, whose search path may differ.
struct TableNames: Sendable, Equatable {
    /// Schema of `pictures` and of the tables beside it, quoted as SQL needs it.
    let schema: String
    let schemaExists: Bool
    /// Whether `PG_SCHEMA` names the schema.
    let isSchemaGiven: Bool
    let hasCitus: Bool
    /// Whether Citus spreads `pictures` over several servers.
    let isDistributed: Bool
    /// Schema of pgvector, quoted.
    let vectorSchema: String
    /// pgvector's `vector` in `pg_type`; 0 without pgvector.
    let vectorOID: UInt32

    /// - Parameter name: the schema's name; nil for the schema in which the search path finds `pictures`,
    ///   or without the table for the path's first.
    /// - Throws: ``TableError/mayNotUseSchema(role:schema:)`` when the role may not use that schema or pgvector's.
    init(_ connection: PGConnection, schema name: String?) throws {
        let rows = try connection.execute(
            """
            WITH place AS (
                SELECT coalesce($1::text,
                    (SELECT nspname::text
                    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                    WHERE pg_class.oid = to_regclass('pictures')),
                    current_schema()::text, 'public') AS name
            )
            SELECT quote_ident(place.name), own.oid IS NOT NULL,
                coalesce(has_schema_privilege(own.oid, 'USAGE'), true),
                quote_ident(vector.nspname), coalesce(has_schema_privilege(vector.oid, 'USAGE'), true),
                (SELECT oid::bigint FROM pg_type
                WHERE typname = 'vector' AND typnamespace = extnamespace),
                EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
            FROM place LEFT JOIN pg_namespace AS own ON own.nspname = place.name
                LEFT JOIN pg_extension ON extname = 'vector'
                LEFT JOIN pg_namespace AS vector ON vector.oid = extnamespace
            """, [name.map { .text($0) } ?? .null])
        let row = rows[0]
        isSchemaGiven = name != nil
        schema = try row.string(0)
        schemaExists = try row.bool(1)
        vectorSchema = try row.isNull(3) ? schema : row.string(3)
        vectorOID = try row.isNull(5) ? 0 : UInt32(clamping: row.int(5))
        hasCitus = try row.bool(6)
        isDistributed =
            try hasCitus
            && !connection.execute(
                "SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass($1)",
                [.text("\(schema).pictures")]
            ).isEmpty
        for (schema, isAllowed) in [(vectorSchema, try row.bool(4)), (schema, try row.bool(2))]
        where !isAllowed {
            throw TableError.mayNotUseSchema(role: connection.user, schema: schema)
        }
    }

    /// What to throw where the table is not there.
    var noTable: TableError { isSchemaGiven ? .noTableIn(schema: schema) : .noTable }

    /// The qualified name of a table or index of this project, such as `public.picture_models`.
    subscript(_ name: String) -> String { "\(schema).\(name)" }

    var pictures: String { self["pictures"] }
    var vector: String { "\(vectorSchema).vector" }

    /// `to_regclass('public.pictures')`: NULL when there is no such table or index.
    func regclass(_ name: String = "pictures") -> String { "to_regclass(\(literal(name)))" }

    /// Makes settings for the rest of a transaction, on all servers of a Citus cluster.
    func settings(_ settings: [String]) -> [PGQuery] {
        let reach = isDistributed ? ["citus.propagate_set_commands = 'local'"] : []
        return settings.isEmpty ? [] : (reach + settings).map { PGQuery("SET LOCAL \($0)") }
    }

    /// The qualified name as a string literal.
    func literal(_ name: String) -> String { quotedText(self[name]) }

    /// `OPERATOR(public.<=>)`.
    func vectorOperator(_ name: String) -> String { "OPERATOR(\(vectorSchema).\(name))" }
}

/// A string literal.
func quotedText(_ text: String) -> String {
    let text = text.replacing("'", with: "''")
    return text.contains("\\") ? "E'\(text.replacing("\\", with: "\\\\"))'" : "'\(text)'"
}

/// A name as SQL needs it, such as `"My Album"`.
func quotedName(_ name: String) -> String {
    "\"" + name.replacing("\"", with: "\"\"") + "\""
}

/// A connection's memory.
final class TableSession {
    /// `PG_SCHEMA`.
    let schema: String?
    var names: TableNames
    /// The server cancels a search that takes longer.
    var statementLimit: Duration?
    /// What the last search found, to be read again when it has ended; nil to be read again now.
    var searchState: SearchState?
    var searchStateEnds = ContinuousClock.now

    init(_ connection: PGConnection, schema: String?) throws {
        self.schema = schema
        names = try TableNames(connection, schema: schema)
    }
}

extension PicturesTable {
    var names: TableNames { session.names }

    /// Looks the names up again, after pgvector or a table was created.
    func findNames() throws {
        session.names = try TableNames(connection, schema: session.schema)
    }

    /// Lets the server cancel a search that takes longer (SQLSTATE 57014).
    package func limitStatements(to duration: Duration) { session.statementLimit = duration }

    /// `BEGIN`, and the limit, for a transaction that only reads. Each statement sees what was committed when it began.
    var beginReading: [PGQuery] {
        var queries = [PGQuery("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY")]
        if let limit = session.statementLimit {
            let milliseconds = max(1, Int(limit / .milliseconds(1)))
            queries.append(PGQuery("SET LOCAL statement_timeout = \(milliseconds)"))
        }
        return queries
    }

    /// Runs a query within the time limit, in one round trip; or in the transaction that is open.
    func read(_ sql: String, _ parameters: [PGValue] = []) throws(PGError) -> PGResult {
        if connection.isInTransaction { return try connection.execute(sql, parameters) }
        return try readAll([PGQuery(sql, parameters)])[0]
    }

    /// Runs queries in a transaction of their own within the time limit, in one round trip.
    /// - Parameter settings: run before them.
    /// - Returns: the result of each query.
    func readAll(
        _ queries: [PGQuery], settings: [PGQuery] = []
    ) throws(PGError) -> [PGResult] {
        let before = beginReading + settings
        let answers = try connection.pipeline(before + queries + [PGQuery("COMMIT")])
        return Array(answers[before.count..<before.count + queries.count])
    }
}
