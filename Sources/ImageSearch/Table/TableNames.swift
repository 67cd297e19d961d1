import PGClient

/// The qualified names that every statement uses.
///
/// Looked up once per connection, so that no statement depends on a search path: a transaction pool
/// hands each transaction to another server process, whose search path may differ.
struct TableNames: Sendable, Equatable {
    /// Schema of `pictures` and of the tables beside it, quoted as SQL needs it.
    let schema: String
    /// Schema of pgvector, quoted.
    let vectorSchema: String
    /// pgvector's `vector` in `pg_type`; 0 without pgvector.
    let vectorOID: UInt32

    /// `pictures` is the table that the search path finds, or will be in the first schema of that
    /// path; the tables beside it are in the same schema.
    init(_ connection: PGConnection) throws {
        let rows = try connection.execute(
            """
            SELECT coalesce(
                    (SELECT quote_ident(nspname)
                    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                    WHERE pg_class.oid = to_regclass('pictures')),
                    quote_ident(current_schema()), 'public'),
                (SELECT quote_ident(nspname) FROM pg_namespace WHERE oid = extnamespace),
                (SELECT oid::bigint FROM pg_type
                WHERE typname = 'vector' AND typnamespace = extnamespace)
            FROM (VALUES (1)) AS one LEFT JOIN pg_extension ON extname = 'vector'
            """)
        guard let row = rows.first else { throw TableError.noTable }
        schema = try row.string(0)
        vectorSchema = try row.isNull(1) ? schema : row.string(1)
        vectorOID = try row.isNull(2) ? 0 : UInt32(clamping: row.int(2))
    }

    /// The qualified name of a table or index of this project, such as `public.picture_models`.
    subscript(_ name: String) -> String { "\(schema).\(name)" }

    var pictures: String { self["pictures"] }
    var vector: String { "\(vectorSchema).vector" }

    /// `to_regclass('public.pictures')`: NULL when there is no such table or index.
    func regclass(_ name: String = "pictures") -> String { "to_regclass(\(literal(name)))" }

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

/// A connection's memory: names, and the time limit of searches.
final class TableSession {
    var names: TableNames
    /// The server cancels a search that takes longer.
    var statementLimit: Duration?

    init(_ names: TableNames) { self.names = names }
}

extension PicturesTable {
    var names: TableNames { session.names }

    /// Looks the names up again, after pgvector or a table was created.
    func findNames() throws { session.names = try TableNames(connection) }

    /// Lets the server cancel a search that takes longer (SQLSTATE 57014).
    package func limitStatements(to duration: Duration) { session.statementLimit = duration }

    /// `BEGIN`, and the limit, for a transaction that only reads. Each statement sees what was committed
    /// when it began.
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
        let begin = beginReading
        return try connection.pipeline(begin + [PGQuery(sql, parameters), PGQuery("COMMIT")])[
            begin.count]
    }
}
