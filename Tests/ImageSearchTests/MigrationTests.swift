import Foundation
import ImageSearch
import PGClient
import Testing

@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct MigrationTests {
    /// The table as the Python demo makes it, with a row.
    private static func makeDemoTable(_ connection: PGConnection) throws {
        try connection.executeScript(
            """
            CREATE EXTENSION IF NOT EXISTS vector;
            CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(512));
            INSERT INTO pictures (filename, embedding)
                VALUES ('demo.jpg', array_fill(1, array[512])::vector);
            """)
    }

    private static func columns(_ connection: PGConnection) throws -> [String] {
        try connection.execute(
            """
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = 'pictures'::regclass AND attnum > 0 AND NOT attisdropped
            ORDER BY attnum
            """
        ).map { try $0.string(0) }
    }

    @Test func theDemosTableIsUpgradedInPlace() throws {
        try TestDatabase.with { database in
            let demo = try database.connect()
            try Self.makeDemoTable(demo)
            let before = try database.rows()
            #expect(try database.table().create().upgradedTable)
            #expect(try database.rows() == before)
            let added = try Self.columns(demo)
            #expect(added.prefix(2) == ["filename", "embedding"] && added.contains("etag"))

            // What the demo's scripts run still runs, with the new columns left out.
            try demo.execute(
                "INSERT INTO pictures (filename, embedding) VALUES ($1, $2::vector)",
                [.text("later.jpg"), .vector(unitVector(0))])
            let found = try demo.execute(
                "SELECT * FROM pictures ORDER BY embedding <-> $1::vector LIMIT 4",
                [.vector(unitVector(0))])
            #expect(try found.map { try $0.string(0) } == ["later.jpg", "demo.jpg"])

            let again = try database.table().create()
            #expect(!again.upgradedTable && !again.createdTable)
            #expect(try database.table().upgrade() == [])
            #expect(try Self.columns(demo) == added)
        }
    }

    @Test func manyMayUpgradeAtOnce() throws {
        try TestDatabase.with { database in
            try Self.makeDemoTable(try database.connect())
            let failures = Failures()
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                do {
                    try database.table().upgrade()
                } catch {
                    failures.add("\(error)")
                }
            }
            #expect(failures.all == [])
            #expect(try database.table().upgrade() == [])
        }
    }

    /// Numbers are a set: one that another branch added in between is applied alone.
    @Test func onlyWhatIsMissingIsApplied() throws {
        try TestDatabase.with { database in
            _ = try database.table().create()
            let connection = try database.connect()
            try connection.executeScript(
                "DROP TABLE picture_claims; DELETE FROM picture_schema WHERE version = 6")
            #expect(try database.table().upgrade() == [6])
            try connection.execute("SELECT filename FROM picture_claims")
        }
    }

    /// An unfinished replacement of a model, as earlier versions kept it in a table of its own.
    @Test func aFormerReplacementIsGivenUp() throws {
        try TestDatabase.with { database in
            _ = try database.table().create()
            let connection = try database.connect()
            try connection.executeScript(
                """
                CREATE TABLE pictures_next (LIKE pictures);
                INSERT INTO picture_models (name, digest, dimension, precision, next_since)
                    VALUES ('new.pt', 'abc', 768, 'fp32', now());
                DELETE FROM picture_schema WHERE version = 21;
                """)
            #expect(try database.table().upgrade() == [21])
            let rest = try connection.execute(
                """
                SELECT 1 FROM picture_models WHERE next_since IS NOT NULL
                UNION ALL SELECT 1 WHERE to_regclass('pictures_next') IS NOT NULL
                """)
            #expect(rest.isEmpty)
        }
    }

    /// What is recorded of a table counts for nothing once the table is another one.
    @Test func aTableMadeAgainIsUpgradedAgain() throws {
        try TestDatabase.with { database in
            _ = try database.table().create()
            let connection = try database.connect()
            try connection.executeScript(
                """
                INSERT INTO picture_models (name, digest, dimension, precision, active_since)
                    VALUES ('old.pt', 'abc', 512, 'fp32', now());
                DROP TABLE pictures;
                """)
            try Self.makeDemoTable(connection)
            #expect(try database.table().create().upgradedTable)
            #expect(try Self.columns(connection).contains("etag"))
            let active = try connection.execute(
                "SELECT 1 FROM picture_models WHERE active_since IS NOT NULL")
            #expect(active.isEmpty)
            #expect(
                sentence {
                    try connection.executeScript("DROP TABLE pictures")
                    try database.table().upgrade()
                } == "the database has no table pictures: run create-table first")
        }
    }

    @Test func whoDoesNotOwnTheTableIsToldWhatToDo() throws {
        try TestDatabase.with { database in
            let owner = try database.connect()
            try Self.makeDemoTable(owner)
            let role = "r_" + String(UInt64.random(in: 0 ... .max), radix: 36)
            try owner.executeScript(
                """
                CREATE ROLE \(role) LOGIN PASSWORD 'sesame-9';
                GRANT SELECT, INSERT, UPDATE ON pictures TO \(role);
                """)
            defer { try? owner.executeScript("DROP OWNED BY \(role); DROP ROLE \(role)") }
            var parts = try #require(URLComponents(string: database.uri))
            (parts.user, parts.password) = (role, "sesame-9")
            let uri = try #require(parts.string)
            let weak = try PicturesTable(uri: uri, applicationName: "tests")
            #expect(throws: TableError.needsUpgrade(role: role)) { try weak.upgrade() }
            // After the owner has done it, the role may use all that was added.
            try database.table().upgrade()
            #expect(try weak.upgrade() == [])
            try PGConnection(uri: uri).executeScript(
                """
                INSERT INTO picture_claims VALUES ('a.jpg', 1, 'w', now(), NULL, 1);
                INSERT INTO picture_collection (kind, endpoints, bucket) VALUES ('s3', '{h}', 'b');
                INSERT INTO picture_models (name, digest, dimension, precision)
                    VALUES ('m', 'd', 512, 'fp32');
                INSERT INTO picture_refusals VALUES ('b.jpg', 'e', 1, 'r', NULL);
                INSERT INTO picture_previews VALUES ('b.jpg', 'e', 'image/jpeg', 'x');
                """)
        }
    }

    /// Previews may be dropped; the next upgrade makes their table again, and roles that could read the
    /// pictures can read them.
    @Test func previewsMayBeDropped() throws {
        try TestDatabase.with { database in
            let owner = try database.connect()
            try Self.makeDemoTable(owner)
            let role = "r_" + String(UInt64.random(in: 0 ... .max), radix: 36)
            try owner.executeScript(
                "CREATE ROLE \(role); GRANT SELECT ON pictures TO \(role)")
            defer { try? owner.executeScript("DROP OWNED BY \(role); DROP ROLE \(role)") }
            try database.table().upgrade()
            try owner.executeScript("DROP TABLE picture_previews")
            #expect(try database.table().preview(of: "demo.jpg") == nil)
            #expect(try database.table().upgrade() == [7])
            try owner.executeScript(
                """
                INSERT INTO picture_previews VALUES ('demo.jpg', NULL, 'image/jpeg', 'x');
                SET ROLE \(role);
                """)
            let rights = try owner.execute(
                """
                SELECT privilege_type::text FROM information_schema.role_table_grants
                WHERE grantee = '\(role)' AND table_name = 'picture_previews'
                """)
            #expect(try rights.map { try $0.string(0) } == ["SELECT"])
            let preview = try database.table().preview(of: "demo.jpg")
            #expect(preview == PicturePreview(type: "image/jpeg", bytes: [120]))
            // One of a former object of the same key is not shown.
            try owner.executeScript("RESET ROLE; UPDATE pictures SET etag = 'new'")
            #expect(try database.table().preview(of: "demo.jpg") == nil)
        }
    }

    /// An earlier version beside this one can neither start, claim nor store: these are its statements.
    @Test func anEarlierVersionCannotWorkOnAnUpgradedTable() throws {
        try TestDatabase.with { database in
            _ = try database.table().create()
            let connection = try database.connect()
            for statement in [
                "SELECT has_table_privilege('picture_workers', 'SELECT')",
                "INSERT INTO picture_workers (name, seen_at, expires_at) VALUES ('w', now(), now())",
                "INSERT INTO picture_claims (model, filename, worker, size) VALUES (1, 'a', 1, 1)",
                "DELETE FROM picture_claims AS claim WHERE claim.model = 1 AND claim.worker = 1",
            ] {
                let error = #expect(throws: PGError.self) { try connection.execute(statement) }
                #expect(["42P01", "42703"].contains(error?.sqlState))
            }
        }
    }

    /// A table in a schema of its own keeps its side tables beside it.
    @Test func sideTablesLieBesideTheTable() throws {
        try TestDatabase.with { database in
            let connection = try database.connect()
            try connection.executeScript(
                """
                CREATE EXTENSION vector;
                CREATE SCHEMA "My Album";
                CREATE TABLE "My Album".pictures
                    (filename text PRIMARY KEY, embedding vector(512));
                """)
            var parts = try #require(URLComponents(string: database.uri))
            let option = "-c search_path=public,\\\"My\\ Album\\\""
            parts.queryItems =
                (parts.queryItems ?? []) + [URLQueryItem(name: "options", value: option)]
            let table = try PicturesTable(
                uri: try #require(parts.string), applicationName: "tests")
            try table.upgrade()
            let places = try connection.execute(
                """
                SELECT DISTINCT nspname::text FROM pg_class
                JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE relname LIKE 'picture%' AND relkind = 'r'
                """)
            #expect(try places.map { try $0.string(0) } == ["My Album"])
            #expect(try table.upgrade() == [])
        }
    }
}
