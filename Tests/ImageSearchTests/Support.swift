import Foundation
import ImageSearch
import PGClient
import Testing

/// A database of its own on the test server, dropped at the end.
struct TestDatabase {
    static let serverURI = ProcessInfo.processInfo.environment["TEST_PG_URI"]
    static let serverWithoutVectorURI = ProcessInfo.processInfo.environment["TEST_PG_TLS_URI"]

    let uri: String

    static func with<T>(
        server: String? = serverURI, _ body: (TestDatabase) throws -> T
    ) throws -> T {
        let server = try #require(server)
        let name = "t_" + String(UInt64.random(in: 0 ... .max), radix: 36)
        try PGConnection(uri: server).executeScript("CREATE DATABASE \(name)")
        defer {
            try? PGConnection(uri: server).executeScript("DROP DATABASE \(name) WITH (FORCE)")
        }
        var parts = try #require(URLComponents(string: server))
        parts.path = "/\(name)"
        return try body(TestDatabase(uri: try #require(parts.string)))
    }

    /// The same for tests that wait.
    static func withAsync<T>(
        server: String? = serverURI, _ body: (TestDatabase) async throws -> T
    ) async throws -> T {
        let server = try #require(server)
        let name = "t_" + String(UInt64.random(in: 0 ... .max), radix: 36)
        try PGConnection(uri: server).executeScript("CREATE DATABASE \(name)")
        defer {
            try? PGConnection(uri: server).executeScript("DROP DATABASE \(name) WITH (FORCE)")
        }
        var parts = try #require(URLComponents(string: server))
        parts.path = "/\(name)"
        return try await body(TestDatabase(uri: try #require(parts.string)))
    }

    func table() throws -> PicturesTable {
        try PicturesTable(uri: uri, applicationName: "tests")
    }

    func connect() throws -> PGConnection { try PGConnection(uri: uri) }

    func rowKeys() throws -> [String] {
        try connect().execute("SELECT filename FROM pictures ORDER BY filename COLLATE \"C\"")
            .map { try $0.string(0) }
    }

    /// All rows by key.
    func rows() throws -> [String: [Float]] {
        var rows: [String: [Float]] = [:]
        for row in try connect().execute("SELECT filename, embedding FROM pictures") {
            rows[try row.string(0)] = try row.vector(1)
        }
        return rows
    }
}

extension PicturesTable {
    /// One picture's row, as a program that knows only the demo's two columns stores it.
    struct Row {
        let key: String
        let embedding: [Float]
    }

    /// Stores rows, replacing those of the same key; all of them or none.
    func upsert(_ rows: [Row]) throws {
        guard !rows.isEmpty else { return }
        let type = try connection.execute(
            """
            SELECT pg_type.oid::bigint, quote_ident(nspname) FROM pg_type
            JOIN pg_extension ON extname = 'vector' AND extnamespace = typnamespace
            JOIN pg_namespace ON pg_namespace.oid = typnamespace WHERE typname = 'vector'
            """)
        try connection.execute(
            """
            INSERT INTO pictures (filename, embedding)
            SELECT * FROM unnest($1::text[], $2::\(type[0].string(1)).vector[]) AS incoming
            ORDER BY 1
            ON CONFLICT (filename) DO UPDATE SET embedding = excluded.embedding
            """,
            [
                .textArray(rows.map(\.key)),
                .vectorArray(rows.map(\.embedding), elementType: UInt32(type[0].int(0))),
            ])
    }

    /// The server's plan for a search: what `EXPLAIN` prints, line by line.
    func explain(_ embedding: [Float], _ selection: SearchQuery) throws -> [String] {
        var queries = try searchQueries(embedding, selection)
        let search = queries.removeLast()
        queries.append(PGQuery("EXPLAIN " + search.sql, search.parameters))
        return try connection.pipeline(queries + [PGQuery("COMMIT")])[queries.count - 1].map {
            try $0.string(0)
        }
    }
}

/// Settings as a `.env` file would give them, and nothing from this process's environment.
func settings(_ values: [String: String]) throws -> Settings {
    try Settings(environment: values, path: "/nonexistent/.env")
}

/// A unit vector that leans towards one axis.
func unitVector(_ axis: Int, lean: Float = 0, dimension: Int = 512) -> [Float] {
    var vector = [Float](repeating: 0, count: dimension)
    vector[axis] = (1 - lean * lean).squareRoot()
    vector[(axis + 1) % dimension] += lean
    return vector
}

/// What went wrong, as a person would read it.
func sentence(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "nothing went wrong"
    } catch {
        return "\(error)"
    }
}

extension SearchQuery {
    /// A query with one text.
    init(_ text: String, limit: Int = 4) { self.init(terms: [Term(.text(text))], limit: limit) }
}
