import PGClient

/// One numbered change of the database, which brings a table of an earlier version, or of the Python
/// demo, up to this version.
///
/// A number is never reused, and its change is never edited once released. A change can be repeated without harm (`IF
/// NOT EXISTS`). To `pictures` it only adds columns that an INSERT may leave out, so that the demo's statements keep
/// working, and it requires no picture to be embedded again. docs/schema.md describes the result.
struct Migration: Sendable {
    let number: Int
    /// The statements, separated by `;`. They run in the transaction of all migrations.
    let sql: @Sendable (TableNames) -> String
}

/// All migrations. Each is applied if `picture_schema` does not have its number: 1 to 19 belong to the
/// ingest, 20 to 39 to searching.
enum Migrations {
    static let all = [
        pictureModels, objectColumns, formerClaims, refusals, collection, claims, pictureFacts,
        refusedFormats, storage, formerReplacement,
    ]

    /// The tables beside `pictures` to which every role that stores pictures needs full access.
    static let sideTables = [
        "picture_collection", "picture_models", "picture_claims", "picture_refusals",
        "picture_previews",
    ]

    /// The models whose embeddings the table holds. At most one is active: the one whose embeddings are searched; and
    /// at most one is next: the one that is to replace it. Every search reads this table, so everyone may.
    private static let pictureModels = Migration(number: 1) { names in
        """
        CREATE TABLE IF NOT EXISTS \(names["picture_models"]) (
            id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL,
            digest text NOT NULL,
            dimension integer NOT NULL,
            precision text NOT NULL,
            active_since timestamptz,
            next_since timestamptz,
            UNIQUE (digest, precision)
        );
        CREATE UNIQUE INDEX IF NOT EXISTS picture_models_active
            ON \(names["picture_models"]) ((true)) WHERE active_since IS NOT NULL;
        CREATE UNIQUE INDEX IF NOT EXISTS picture_models_next
            ON \(names["picture_models"]) ((true)) WHERE next_since IS NOT NULL;
        GRANT SELECT ON \(names["picture_models"]) TO PUBLIC;
        """
    }

    /// What a row records of the object it was made from, by which a run recognises unchanged objects.
    /// `model` is a number of `picture_models`. All are NULL in rows that other programs insert, except
    /// `stored_at`, which tells whether a row is younger than a listing.
    private static let objectColumns = Migration(number: 2) { names in
        """
        ALTER TABLE \(names.pictures)
            ADD COLUMN IF NOT EXISTS etag text,
            ADD COLUMN IF NOT EXISTS size bigint,
            ADD COLUMN IF NOT EXISTS model integer,
            ADD COLUMN IF NOT EXISTS stored_at timestamptz DEFAULT now();
        """
    }

    /// Superseded by 6. The number stays recorded, so that an earlier version does not apply its own.
    private static let formerClaims = Migration(number: 3) { _ in "SELECT 1" }

    /// Objects that could not be embedded, so that the next run does not fetch them again while they
    /// are unchanged. `reason` is NULL for objects that are not named like pictures; `rules` names the
    /// decoder and its limits, under which the answer holds.
    private static let refusals = Migration(number: 4) { names in
        """
        CREATE TABLE IF NOT EXISTS \(names["picture_refusals"]) (
            filename text PRIMARY KEY,
            etag text NOT NULL,
            size bigint NOT NULL,
            rules text NOT NULL,
            reason text
        );
        """
    }

    /// The bucket that the table belongs to, in one row: what keeps a run on another bucket from
    /// mixing the two, and `--prune` from emptying the table. Holds no keys. Everyone may read it.
    private static let collection = Migration(number: 5) { names in
        """
        CREATE TABLE IF NOT EXISTS \(names["picture_collection"]) (
            id boolean PRIMARY KEY DEFAULT true CHECK (id),
            kind text NOT NULL,
            endpoints text[] NOT NULL,
            bucket text NOT NULL,
            decoding text,
            adopted_at timestamptz NOT NULL DEFAULT now()
        );
        GRANT SELECT ON \(names["picture_collection"]) TO PUBLIC;
        """
    }

    /// Which worker has which picture in hand, until when; see `docs/ingest.md`. Unlogged: a crash of the
    /// server empties it, which costs at most that pictures in hand are embedded twice.
    ///
    /// Earlier versions kept workers in a table of their own and their numbers in the claims. Without
    /// either they can neither start nor claim, and so never work beside this version.
    private static let claims = Migration(number: 6) { names in
        """
        DROP TABLE IF EXISTS \(names["picture_workers"]), \(names["picture_claims"]);
        CREATE UNLOGGED TABLE \(names["picture_claims"]) (
            filename text NOT NULL,
            model integer NOT NULL,
            owner text NOT NULL,
            lease timestamptz NOT NULL,
            etag text,
            size bigint NOT NULL,
            PRIMARY KEY (filename, model)
        );
        CREATE INDEX ON \(names["picture_claims"]) (owner);
        """
    }

    /// What a row knows of its picture (docs/sql.md), the rule that made its pixels, and small copies in
    /// a table beside it. JPEG does not compress further, so `bytes` is stored as it is.
    private static let pictureFacts = Migration(number: 7) { names in
        let columns = """
            ADD COLUMN IF NOT EXISTS width integer,
            ADD COLUMN IF NOT EXISTS height integer,
            ADD COLUMN IF NOT EXISTS taken_at timestamp,
            ADD COLUMN IF NOT EXISTS taken_offset interval,
            ADD COLUMN IF NOT EXISTS camera text,
            ADD COLUMN IF NOT EXISTS decoding text
            """
        return """
            ALTER TABLE \(names.pictures) \(columns);
            ALTER TABLE IF EXISTS \(names["pictures_next"]) \(columns);
            CREATE TABLE IF NOT EXISTS \(names["picture_previews"]) (
                filename text PRIMARY KEY,
                etag text,
                type text NOT NULL,
                bytes bytea NOT NULL
            );
            ALTER TABLE \(names["picture_previews"]) ALTER COLUMN bytes SET STORAGE EXTERNAL;
            """
    }

    /// The format of objects that could not be embedded, to count them by.
    private static let refusedFormats = Migration(number: 8) { names in
        "ALTER TABLE \(names["picture_refusals"]) ADD COLUMN IF NOT EXISTS format text"
    }

    /// Keeps embeddings in their rows.
    ///
    /// A `vector(512)` has 2,056 bytes, more than PostgreSQL's threshold of some 2,000, so every one
    /// would be stored out of line and looked up by itself: an exact search takes 2.7 times as long.
    /// `STORAGE PLAIN` for the column alone makes PostgreSQL move the keys out instead. A higher target
    /// leaves both in the row, up to 2,000 dimensions. Existing rows stay as they are until they are
    /// stored again or the table is rewritten, as `create-table --status` reports.
    private static let storage = Migration(number: 20) { names in
        let table = names.literal("pictures")
        return """
            DO $$
            DECLARE leaf regclass;
            BEGIN
                -- pg_partition_tree does not return a table without partitions.
                FOR leaf IN
                    SELECT oid FROM pg_class
                    WHERE oid = \(table)::regclass AND relkind = 'r'
                    UNION SELECT relid FROM pg_partition_tree(\(table)) WHERE isleaf
                LOOP
                    EXECUTE format('ALTER TABLE %s SET (toast_tuple_target = 8160)', leaf);
                END LOOP;
            END $$;
            """
    }

    /// Before a model was replaced in columns of `pictures`, it was in a table of its own. What is in
    /// there of an unfinished replacement is embedded again.
    private static let formerReplacement = Migration(number: 21) { names in
        """
        DROP TABLE IF EXISTS \(names["pictures_next"]);
        UPDATE \(names["picture_models"]) SET next_since = NULL;
        """
    }
}

extension PicturesTable {
    /// Brings the database up to this version: applies every migration whose number it has not recorded, all of them or
    /// none. Safe to repeat and to run concurrently. Costs a few queries when there is nothing to do.
    ///
    /// - Returns: the numbers that were applied.
    /// - Throws: ``TableError/noTable``; ``TableError/needsUpgrade(role:)`` when the role does not own
    ///   the table, ``TableError/mayNotCreateSideTables(role:)`` when it may not create tables beside
    ///   it, ``TableError/tableInUse`` when others keep it locked.
    @discardableResult
    public func upgrade() throws -> [Int] {
        guard try !pendingMigrations().isEmpty else { return [] }
        return try connection.transaction {
            try lockDefinitions()
            return try applyMigrations()
        }
    }

    /// Waits for the right to change definitions, held until the end of the transaction.
    func lockDefinitions() throws {
        // "clip" in ASCII.
        try connection.execute("SELECT pg_advisory_xact_lock($1)", [.int64(0x636C_6970)])
    }

    /// What ``upgrade()`` does, in a transaction that holds the definitions' lock.
    func applyMigrations() throws -> [Int] {
        let pending = try pendingMigrations()
        guard !pending.isEmpty else { return [] }
        do {
            try checkOwner(or: .needsUpgrade(role: connection.user))
            // Waiting for a table lock blocks all later statements, so wait briefly.
            try connection.execute("SET LOCAL lock_timeout = '10s'")
            let record = names["picture_schema"]
            try connection.executeScript(
                """
                CREATE TABLE IF NOT EXISTS \(record) (
                    version integer PRIMARY KEY,
                    applied_at timestamptz NOT NULL DEFAULT now()
                );
                GRANT SELECT ON \(record) TO PUBLIC;
                """)
            let isRecorded = try !connection.execute("SELECT FROM \(record) LIMIT 1").isEmpty
            if isRecorded, try !isUpgraded() { try forgetFormerTable() }
            for migration in pending {
                let sql = migration.sql(names)
                try run(sql.contains("$$") ? [sql] : sql.split(separator: ";\n").map(String.init))
                try connection.execute(
                    "INSERT INTO \(record) (version) VALUES ($1) ON CONFLICT DO NOTHING",
                    [.int32(Int32(migration.number))])
            }
            try shareSideTables()
            if names.isDistributed { try distributeSideTables() }
        } catch let error as PGError where error.isInsufficientPrivilege {
            // It owns the table, so it lacks the right to create tables in the schema.
            throw TableError.mayNotCreateSideTables(role: connection.user, schema: names.schema)
        } catch let error as PGError where error.sqlState == "55P03" {
            throw TableError.tableInUse
        }
        return pending.map(\.number)
    }

    /// Whether the table has all migrations.
    func isUpToDate() throws -> Bool { try pendingMigrations().isEmpty }

    /// Migrations that the table lacks, in order; all of them for one that was never upgraded.
    private func pendingMigrations() throws -> [Migration] {
        guard try exists("pictures") else { throw names.noTable }
        guard try exists("picture_schema"), try isUpgraded() else { return Migrations.all }
        var numbers = Set(try migrationNumbers())
        // Previews may be dropped at any time.
        if try !exists("picture_previews") { numbers.remove(7) }
        return Migrations.all.filter { !numbers.contains($0.number) }
    }

    /// The numbers that are recorded, in order.
    func migrationNumbers() throws -> [Int] {
        try connection.execute("SELECT version FROM \(names["picture_schema"]) ORDER BY version")
            .map { try $0.int(0) }
    }

    /// Whether the table has the columns of the second migration. A table that was dropped and created
    /// again (by the demo, say) lacks them, whatever is recorded.
    private func isUpgraded() throws -> Bool { try columns()["stored_at"] != nil }

    /// Forgets what is recorded of a table that no longer exists.
    private func forgetFormerTable() throws {
        try connection.executeScript(
            """
            DELETE FROM \(names["picture_schema"]);
            UPDATE \(names["picture_models"]) SET active_since = NULL, next_since = NULL;
            """)
        if try exists("picture_collection") {
            try connection.execute("DELETE FROM \(names["picture_collection"])")
        }
    }

    /// - Throws: `missingRight` when the role does not own the table.
    func checkOwner(or missingRight: TableError) throws {
        let rows = try connection.execute(
            "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = \(names.regclass())")
        guard try rows[0].bool(0) else { throw missingRight }
    }

    /// Roles that may store pictures need the side tables too, and roles that may read them the previews.
    private func shareSideTables() throws {
        let tables = Migrations.sideTables.map { names[$0] }.joined(separator: ", ")
        let rows = try connection.execute(
            """
            SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC'
                ELSE quote_ident(pg_get_userbyid(acl.grantee)) END,
                bool_or(acl.privilege_type = 'INSERT')
            FROM pg_class, aclexplode(relacl) AS acl
            WHERE pg_class.oid = \(names.regclass()) AND acl.grantee <> relowner
                AND acl.privilege_type IN ('INSERT', 'SELECT')
            GROUP BY acl.grantee
            """)
        for row in rows {
            let grants =
                try row.bool(1)
                ? "SELECT, INSERT, UPDATE, DELETE ON \(tables)"
                : "SELECT ON \(names["picture_previews"])"
            try connection.execute("GRANT \(grants) TO \(try row.string(0))")
        }
    }
}
