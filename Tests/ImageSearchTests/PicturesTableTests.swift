import Foundation
import ImageSearch
import PGClient
import TestSupport
import Testing

@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct PicturesTableTests {
    @Test func createsWhatIsMissingAndSaysSo() throws {
        try TestDatabase.with { database in
            let first = try database.table().create()
            #expect(first.createdExtension && first.createdTable && first.dimension == 512)
            let second = try database.table().create()
            #expect(!second.createdExtension && !second.createdTable && second.dimension == 512)
            #expect(second.extensionVersion == first.extensionVersion)

            // The demo's table, column by column: filename comes first, ours come after.
            let columns = try database.connect().execute(
                """
                SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = 'pictures'::regclass AND attnum > 0 ORDER BY attnum
                """)
            #expect(try columns.prefix(2).map { try $0.string(0) } == ["filename", "embedding"])
            #expect(try columns.prefix(2).map { try $0.string(1) } == ["text", "vector(512)"])
        }
    }

    @Test func manyMayCreateAtOnce() throws {
        try TestDatabase.with { database in
            let failures = Failures()
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                do {
                    _ = try database.table().create()
                } catch {
                    failures.add("\(error)")
                }
            }
            #expect(failures.all == [])
        }
    }

    @Test func acceptsTheDemosTableAndRefusesOthers() throws {
        try TestDatabase.with { database in
            try database.connect().executeScript(
                """
                CREATE EXTENSION vector;
                CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(512));
                """)
            #expect(try database.table().create().createdTable == false)
            try database.connect().executeScript(
                "DROP TABLE pictures; CREATE TABLE pictures (id int, picture bytea)")
            #expect(
                sentence { _ = try database.table().create() }.contains(
                    "belongs to another program"))
            try database.connect().executeScript("DROP TABLE pictures")
            #expect(
                sentence { _ = try database.table().dimension() }
                    == "the database has no table pictures: run create-table first")
        }
    }

    @Test(.enabled(if: TestDatabase.serverWithoutVectorURI != nil, "needs TEST_PG_TLS_URI"))
    func serverWithoutVector() throws {
        try TestDatabase.with(server: TestDatabase.serverWithoutVectorURI) { database in
            #expect(
                sentence { _ = try database.table().create() }.contains("has no pgvector"))
        }
    }

    @Test func roleWithoutRights() throws {
        try TestDatabase.with { database in
            let role = "r_" + String(UInt64.random(in: 0 ... .max), radix: 36)
            try database.connect().executeScript("CREATE ROLE \(role) LOGIN PASSWORD 'sesame-9'")
            defer {
                try? database.connect().executeScript("DROP OWNED BY \(role); DROP ROLE \(role)")
            }
            var parts = try #require(URLComponents(string: database.uri))
            (parts.user, parts.password) = (role, "sesame-9")
            let weak = try #require(parts.string)
            let noExtension = sentence {
                _ = try PicturesTable(uri: weak, applicationName: "tests").create()
            }
            #expect(noExtension.contains("\"\(role)\" may not enable pgvector"))

            try database.connect().executeScript(
                "CREATE EXTENSION vector; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            let noTable = sentence {
                _ = try PicturesTable(uri: weak, applicationName: "tests").create()
            }
            #expect(noTable.contains("\"\(role)\" may not create the table pictures"))
            #expect(!noTable.contains("sesame") && !noExtension.contains("sesame"))
        }
    }

    @Test func nearestIsWhatPgvectorAndArithmeticSay() throws {
        try TestDatabase.with { database in
            let table = try database.table()
            _ = try table.create()
            let leans: [Float] = [0.9, 0.1, 0.5, 0.7, 0.3]
            try table.upsert(
                leans.enumerated().map {
                    PicturesTable.Row(key: "k\($0)", embedding: unitVector(7, lean: $1))
                })
            try database.connect().execute(
                "INSERT INTO pictures (filename) VALUES ('no embedding')")
            let hits = try table.nearest(to: unitVector(7), limit: 10)
            #expect(hits.map(\.key) == ["k1", "k4", "k2", "k3", "k0"])
            #expect(hits.map(\.rank) == [1, 2, 3, 4, 5])
            for (hit, lean) in zip(hits, leans.sorted()) {
                #expect(abs(hit.score - Double((1 - lean * lean).squareRoot())) < 1e-6)
            }
            #expect(try table.nearest(to: unitVector(7), limit: 2) == Array(hits.prefix(2)))

            // The demo's own query, on the same rows.
            let demo = try database.connect().execute(
                "SELECT * FROM pictures ORDER BY embedding <-> $1::vector LIMIT 4",
                [.vector(unitVector(7))])
            #expect(try demo.map { try $0.string(0) } == hits.prefix(4).map(\.key))
        }
    }

    @Test func searchingWithoutTableOrWithAnotherModel() throws {
        try TestDatabase.with { database in
            #expect(
                sentence { _ = try database.table().nearest(to: unitVector(0), limit: 4) }
                    == "the database has no table pictures: run create-table first")
            _ = try database.table().create(dimension: 768)
            // Without a dimension, an existing table is taken as it is.
            #expect(try database.table().create().dimension == 768)
            try database.table().upsert([
                PicturesTable.Row(key: "a", embedding: unitVector(0, dimension: 768))
            ])
            let message = sentence {
                _ = try database.table().nearest(to: unitVector(0), limit: 4)
            }
            #expect(message.contains("dimension 768") && message.contains("512"))
        }
    }

    /// Rows that others stored need not be unit vectors; a zero vector has no angle.
    @Test func zeroVectorsAreNotFound() throws {
        try TestDatabase.with { database in
            let table = try database.table()
            _ = try table.create()
            try table.upsert([PicturesTable.Row(key: "good", embedding: unitVector(0))])
            try database.connect().execute(
                "INSERT INTO pictures VALUES ('zero', array_fill(0, array[512])::vector)")
            let hits = try table.nearest(to: unitVector(0), limit: 10)
            #expect(hits.map(\.key) == ["good"])
            #expect(try table.nearest(to: unitVector(1), limit: 10).map(\.score) == [0])
        }
    }

    /// The first hundred hits of a table of these rows alone, with their copies.
    private func stacked(
        _ rows: [PicturesTable.Row], nearestTo vector: [Float]
    ) throws -> SearchResult {
        try TestDatabase.with { database in
            let table = try database.table()
            _ = try table.create()
            try table.upsert(rows)
            return try table.nearest(to: vector, SearchQuery(limit: 100, isStacked: true))
        }
    }

    /// Among pictures that are 0.99 or so from one another, only those that are much nearer are copies; where
    /// pictures lie far apart, 0.96 is near enough.
    @Test(arguments: [(axis: Float(1), copy: Float(0.01)), (0, 0.02)])
    func copiesStandOutFromTheirSurroundings(axis: Float, copy: Float) throws {
        var random = SplitMix(state: 5)
        func noise(_ length: Float) -> [Float] {
            let vector = (0..<512).map { _ in Float.random(in: -1...1, using: &random) }
            let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return vector.map { $0 * length / norm }
        }
        var rows: [PicturesTable.Row] = []
        for number in 0..<40 {
            var vector = noise(0.1)
            vector[0] += axis
            rows.append(.init(key: "\(number)", embedding: vector))
            guard number < 3 else { continue }
            rows.append(
                .init(key: "\(number)-copy", embedding: zip(vector, noise(copy)).map { $0 + $1 }))
        }
        let found = try stacked(rows, nearestTo: unitVector(0))
        let stacks = found.hits.filter { !$0.copies.isEmpty }
        #expect(found.hits.count == 40 && stacks.count == 3 && !found.hasMore)
        #expect(
            stacks.allSatisfy { stack in
                stack.copies.map { $0.key.prefix(1) } == [stack.key.prefix(1)]
            })
        #expect(axis > 0 ? found.stackScore > 0.99 : found.stackScore == 0.96)
    }

    /// Most of the results, and all of a few, may show the same.
    @Test(arguments: [(of: 30, and: 10), (3, 0), (9, 3)])
    func manyCopiesAreOnePicture(of copies: Int, and others: Int) throws {
        var random = SplitMix(state: 6)
        let scene = (0..<512).map { _ in Float.random(in: -1...1, using: &random) }
        let rows = (0..<copies + others).map { number in
            PicturesTable.Row(
                key: "\(number)",
                embedding: scene.map {
                    number < copies
                        ? $0 + Float.random(in: -0.15...0.15, using: &random)
                        : Float.random(in: -1...1, using: &random)
                })
        }
        let norm = scene.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let found = try stacked(rows, nearestTo: scene.map { $0 / norm })
        #expect(
            found.hits.map { $0.copies.count } == [copies - 1] + Array(repeating: 0, count: others))
        #expect(found.stackScore == 0.96)
    }

    /// Pictures that lie at every distance from one another, without a gap, are not copies.
    @Test func picturesAtEveryDistanceAreNotCopies() throws {
        var random = SplitMix(state: 7)
        let rows = (0..<60).map { number in
            var vector = [Float](repeating: 0, count: 512)
            for axis in 0..<4 { vector[axis] = Float.random(in: -1...1, using: &random) }
            vector[0] += 1.5
            return PicturesTable.Row(key: "\(number)", embedding: vector)
        }
        let found = try stacked(rows, nearestTo: unitVector(0))
        #expect(found.hits.count >= 48 && found.stackScore > 0.96)
    }

    @Test func extensionInASchemaOfItsOwn() throws {
        try TestDatabase.with { database in
            try database.connect().executeScript(
                "CREATE SCHEMA \"Ex tensions\"; CREATE EXTENSION vector SCHEMA \"Ex tensions\"")
            #expect(try database.table().create().createdTable)
            #expect(try !database.table().create().createdTable)
            try database.table().upsert([PicturesTable.Row(key: "a", embedding: unitVector(3))])
            let hits = try database.table().nearest(to: unitVector(3), limit: 4)
            #expect(hits.map(\.key) == ["a"])
        }
    }

    /// Behind a transaction pool a statement may meet a server process with another search path.
    @Test func noStatementNeedsASearchPath() throws {
        try TestDatabase.with { database in
            try database.connect().executeScript(
                """
                CREATE SCHEMA "Ex tensions"; CREATE EXTENSION vector SCHEMA "Ex tensions";
                CREATE SCHEMA "It's";
                """)
            let name = try #require(URL(string: database.uri)).lastPathComponent
            try database.connect().executeScript(
                "ALTER DATABASE \(name) SET search_path = \"It's\", public")
            let table = try database.table()
            try table.connection.execute("SET search_path = pg_temp")
            #expect(try table.create(partitions: 2).createdTable)
            let insert = """
                INSERT INTO "It's".pictures (filename, embedding)
                SELECT 'a', array_agg(1::float4)::"Ex tensions".vector FROM generate_series(1, 512)
                """
            try table.connection.execute(insert)
            #expect(try table.nearest(to: unitVector(3), limit: 4).map(\.key) == ["a"])
            #expect(try table.embedding(of: "a")?.count == 512)
            #expect(try table.hasPictures())
            let builder = try PicturesTable(
                uri: database.uri, applicationName: "tests", responseTimeout: nil)
            try builder.connection.execute("SET search_path = pg_temp")
            let change = try builder.changeIndex(IndexOptions(.hnsw), uri: database.uri) { _ in }
            #expect(change.outcome == .built)
            #expect(try table.nearest(to: unitVector(3), limit: 4).map(\.key) == ["a"])
            let plan = try table.explain(unitVector(3), .init(limit: 4)).joined()
            #expect(plan.contains("embedding_hnsw"))
            let status = try table.status()
            #expect(
                status.pictures == 1 && status.indexes.count == 1 && status.sizes.partitions == 2)
            #expect(try table.recall(of: [unitVector(3)]).recall == 1)
            let dropped = try builder.changeIndex(IndexOptions(.none), uri: database.uri) { _ in }
            #expect(dropped.outcome == .dropped)
        }
    }

    /// A time limit of one program must not cancel the statements of another one that is given the same
    /// server process afterwards.
    @Test func theTimeLimitEndsWithItsTransaction() throws {
        try TestDatabase.with { database in
            let table = try database.table()
            _ = try table.create()
            table.limitStatements(to: .milliseconds(60_000))
            _ = try table.nearest(to: unitVector(0), limit: 4)
            let limit = try table.connection.execute("SHOW statement_timeout")
            #expect(try limit[0].string(0) == "0")
            table.limitStatements(to: .milliseconds(200))
            try database.connect().execute("INSERT INTO pictures (filename) VALUES ('a')")
            let locker = try database.connect()
            try locker.executeScript("BEGIN; LOCK TABLE pictures IN ACCESS EXCLUSIVE MODE")
            let error = #expect(throws: PGError.self) { _ = try table.embedding(of: "a") }
            #expect(error?.sqlState == "57014")
        }
    }

    @Test func whatIsWrongWithTheTableIsSaidAtOnce() throws {
        try TestDatabase.with { database in
            _ = try database.table().create()
            #expect(throws: TableError.otherDimension(table: 512, asked: 768)) {
                _ = try database.table().create(dimension: 768)
            }
            #expect(try database.table().create(dimension: 512).dimension == 512)
            try database.connect().executeScript(
                "ALTER TABLE pictures DROP CONSTRAINT pictures_pkey")
            #expect(throws: TableError.noUniqueKey) { _ = try database.table().create() }
            #expect(throws: TableError.noUniqueKey) { _ = try database.table().dimension() }
            // A partial or wider index does not make the key unique.
            try database.connect().executeScript(
                """
                CREATE UNIQUE INDEX ON pictures (filename) WHERE filename > 'a';
                CREATE UNIQUE INDEX ON pictures (filename, embedding);
                """)
            #expect(throws: TableError.noUniqueKey) { _ = try database.table().dimension() }
            try database.connect().executeScript("CREATE UNIQUE INDEX ON pictures (filename)")
            #expect(try database.table().dimension() == 512)
        }
    }

    /// As a managed service leaves a database whose disk is full.
    @Test func readOnlyDatabasesAreNamed() throws {
        try TestDatabase.with { database in
            let connection = try database.connect()
            func setReadOnly(_ isOn: Bool) throws {
                try connection.executeScript(
                    """
                    SET default_transaction_read_only = off;
                    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = \(isOn)',
                        current_database()); END $$
                    """)
            }
            try setReadOnly(true)
            #expect(throws: TableError.readOnlyDatabase) { try database.table().create() }
            try setReadOnly(false)
            _ = try database.table().create()
            try database.table().checkWritable()
            try setReadOnly(true)
            #expect(throws: TableError.readOnlyDatabase) { try database.table().checkWritable() }
            // What is there already can be searched.
            #expect(try database.table().hasPictures() == false)
        }
    }

    @Test func missingRightsAreNamedBeforeTheWork() throws {
        try TestDatabase.with { database in
            _ = try database.table().create()
            try database.table().checkWritable()
            let role = "r_" + String(UInt64.random(in: 0 ... .max), radix: 36)
            try database.connect().executeScript("CREATE ROLE \(role) LOGIN PASSWORD 'sesame-9'")
            defer {
                try? database.connect().executeScript("DROP OWNED BY \(role); DROP ROLE \(role)")
            }
            var parts = try #require(URLComponents(string: database.uri))
            let name = String(parts.path.dropFirst())
            (parts.user, parts.password) = (role, "sesame-9")
            let weak = try PicturesTable(
                uri: try #require(parts.string), applicationName: "tests")
            #expect(throws: TableError.mayNotWrite(role: role, schema: "public")) {
                try weak.checkWritable()
            }
            try database.connect().executeScript(
                """
                GRANT SELECT, INSERT, UPDATE ON pictures TO \(role);
                REVOKE TEMPORARY ON DATABASE \(name) FROM PUBLIC;
                """)
            try weak.checkWritable()
        }
    }
}

/// Collects messages from several threads.
final class Failures: @unchecked Sendable {
    private let lock = NSLock()
    private var messages: [String] = []

    func add(_ message: String) { lock.withLock { messages.append(message) } }
    var all: [String] { lock.withLock { messages } }
}
