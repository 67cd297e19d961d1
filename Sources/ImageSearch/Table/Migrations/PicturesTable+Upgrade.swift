import PGClient

extension PicturesTable {
    /// Brings the database up to this version: applies every migration whose number it has not
    /// recorded, all of them or none. Safe to run again and by several at once. Costs one query when
    /// there is nothing to do.
    ///
    /// - Returns: the numbers that were applied.
    /// - Throws: ``TableError/noTable``; ``TableError/needsUpgrade(role:)`` when the role does not own
    ///   the table, ``TableError/mayNotCreateSideTables(role:)`` when it may create none beside it,
    ///   ``TableError/tableInUse`` when others keep it locked.
    @discardableResult
    public func upgrade() throws -> [Int] {
        guard try !pendingMigrations().isEmpty else { return [] }
        return try connection.transaction {
            try lockDefinitions()
            return try applyMigrations()
        }
    }

    /// Waits for its turn to change definitions, until the end of the transaction.
    func lockDefinitions() throws {
        // Any number will do that no one else uses: "clip" in ASCII.
        try connection.execute("SELECT pg_advisory_xact_lock($1)", [.int64(0x636C_6970)])
    }

    /// What ``upgrade()`` does, in a transaction that holds the definitions' lock.
    func applyMigrations() throws -> [Int] {
        let pending = try pendingMigrations()
        guard !pending.isEmpty else { return [] }
        do {
            try checkOwner()
            // Side tables go where the table is, which is the first place only by custom. And who
            // waits for a table blocks everybody who comes after: not for long, then.
            try connection.execute(
                """
                SELECT set_config('search_path', concat_ws(', ', quote_ident(nspname),
                        nullif(current_setting('search_path'), '')), true),
                    set_config('lock_timeout', '10s', true)
                FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE pg_class.oid = to_regclass('pictures')
                """)
            try connection.executeScript(
                """
                CREATE TABLE IF NOT EXISTS picture_schema (
                    version integer PRIMARY KEY,
                    applied_at timestamptz NOT NULL DEFAULT now()
                );
                GRANT SELECT ON picture_schema TO PUBLIC;
                """)
            let known = try connection.execute("SELECT count(*) FROM picture_schema")
            let isAnotherTable = try known.first?.int(0) != 0 && !isUpgraded()
            if isAnotherTable { try forgetFormerTable() }
            for migration in pending {
                try migration.apply(connection)
                try connection.execute(
                    """
                    INSERT INTO picture_schema (version) VALUES ($1) ON CONFLICT DO NOTHING
                    """, [.int32(Int32(migration.number))])
            }
            try shareSideTables()
        } catch let error as PGError where error.isInsufficientPrivilege {
            // It owns the table, so it is the schema in which it may not create anything.
            throw TableError.mayNotCreateSideTables(role: connection.user)
        } catch let error as PGError where error.sqlState == "55P03" {
            throw TableError.tableInUse
        }
        return pending.map(\.number)
    }

    /// Migrations that the table lacks, in order; all of them for one that was never upgraded.
    func pendingMigrations() throws -> [Migration] {
        let rows = try connection.execute(
            """
            SELECT to_regclass('pictures') IS NOT NULL, to_regclass('picture_schema') IS NOT NULL
            """)
        guard let row = rows.first, try row.bool(0) else { throw TableError.noTable }
        guard try row.bool(1), try isUpgraded() else { return Migrations.all }
        let recorded = try connection.execute("SELECT version FROM picture_schema")
        let numbers = Set(try recorded.map { try $0.int(0) })
        return Migrations.all.filter { !numbers.contains($0.number) }
    }

    /// Whether the table has the columns that the second migration adds. A table that was dropped and
    /// made again (by the demo, say) has not, whatever is recorded.
    func isUpgraded() throws -> Bool {
        let rows = try connection.execute(
            """
            SELECT 1 FROM pg_attribute
            WHERE attrelid = to_regclass('pictures') AND attname = 'stored_at' AND NOT attisdropped
            """)
        return !rows.isEmpty
    }

    /// What is recorded belongs to a table that is not there any more.
    private func forgetFormerTable() throws {
        try connection.executeScript(
            """
            DELETE FROM picture_schema;
            UPDATE picture_models SET active_since = NULL, next_since = NULL;
            """)
    }

    private func checkOwner() throws {
        let rows = try connection.execute(
            """
            SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('pictures')
            """)
        guard let row = rows.first, try row.bool(0) else {
            throw TableError.needsUpgrade(role: connection.user)
        }
    }

    /// Roles that may store pictures need the side tables too.
    private func shareSideTables() throws {
        try connection.executeScript(
            """
            DO $$
            DECLARE grantee text;
            BEGIN
                FOR grantee IN
                    SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC'
                        ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
                    FROM pg_class, aclexplode(relacl) AS acl
                    WHERE pg_class.oid = to_regclass('pictures') AND acl.grantee <> relowner
                        AND acl.privilege_type = 'INSERT'
                LOOP
                    EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON picture_models, '
                        || 'picture_workers, picture_claims, picture_refusals TO ' || grantee;
                END LOOP;
            END $$
            """)
    }
}
