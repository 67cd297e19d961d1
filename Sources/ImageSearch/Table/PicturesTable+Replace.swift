import PGClient

/// Exchanging the model: everything is embedded again into `pictures_next`, while searches go on in
/// `pictures`; when it is complete the two change places in one transaction.
extension PicturesTable {
    /// Makes sure that embeddings of this model belong into `pictures_next`, or into `pictures` if they
    /// are there already.
    /// - Returns: the model's number.
    /// - Throws: ``TableError/otherReplacement(next:given:)`` when another model is on its way.
    func prepareReplacement(by model: ModelIdentity) throws -> Int {
        try connection.transaction {
            try lockDefinitions()
            let known = try models()
            if let active = known.first(where: \.isActive), active.identity.isSame(as: model) {
                return active.id
            }
            try checkNothingIsLost()
            // Whoever gave a replacement up by dropping its table may begin another.
            let isThere = try connection.execute(
                "SELECT 1 WHERE \(names.regclass("pictures_next")) IS NOT NULL")
            if !isThere.isEmpty, let next = known.first(where: \.isNext) {
                guard next.identity.isSame(as: model) else {
                    throw TableError.otherReplacement(next: next.identity, given: model)
                }
                return next.id
            }
            try checkMayReplace()
            let id = try register(model)
            try connection.execute("UPDATE \(names["picture_models"]) SET next_since = NULL")
            try connection.execute(
                "UPDATE \(names["picture_models"]) SET next_since = now() WHERE id = $1",
                [.int32(Int32(id))])
            try createNext(dimension: model.dimension)
            return id
        }
    }

    /// Finds out before the first picture is embedded whether the new table would lack something that
    /// people added to `pictures`: `CREATE TABLE … (LIKE …)` copies definitions of columns, but neither
    /// their contents nor what belongs to the table as a whole.
    private func checkNothingIsLost() throws {
        let rows = try connection.execute(
            """
            WITH pictures AS (SELECT * FROM pg_class WHERE oid = \(names.regclass()))
            SELECT 'row-level security' FROM pictures WHERE relrowsecurity
            UNION ALL SELECT 'policy ' || polname FROM pg_policy JOIN pictures ON pictures.oid = polrelid
            UNION ALL SELECT 'trigger ' || tgname
                FROM pg_trigger JOIN pictures ON pictures.oid = tgrelid WHERE NOT tgisinternal
            UNION ALL SELECT 'foreign key ' || conname
                FROM pg_constraint JOIN pictures ON pictures.oid IN (conrelid, confrelid)
                WHERE contype = 'f'
            UNION ALL SELECT 'publication ' || pubname
                FROM pg_publication_rel JOIN pictures ON pictures.oid = prrelid
                JOIN pg_publication ON pg_publication.oid = prpubid
            UNION ALL SELECT DISTINCT CASE WHEN ev_class = pictures.oid THEN 'rule ' || rulename
                    ELSE 'view ' || ev_class::regclass::text END
                FROM pg_rewrite JOIN pg_depend ON objid = pg_rewrite.oid
                    AND classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
                JOIN pictures ON pictures.oid = refobjid
            UNION ALL SELECT 'contents of column ' || attname
                FROM pg_attribute JOIN pictures ON pictures.oid = attrelid
                WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname NOT IN
                    ('filename', 'embedding', 'etag', 'size', 'model', 'stored_at', 'width',
                    'height', 'taken_at', 'taken_offset', 'camera', 'decoding')
            UNION ALL SELECT 'grants on column ' || attname
                FROM pg_attribute JOIN pictures ON pictures.oid = attrelid WHERE attacl IS NOT NULL
            UNION ALL SELECT 'comment on the table'
                FROM pictures WHERE obj_description(oid, 'pg_class') IS NOT NULL
            UNION ALL SELECT 'storage option ' || option
                FROM pictures, unnest(reloptions) AS option
                WHERE option NOT LIKE 'toast_tuple_target=%'
            UNION ALL SELECT 'replica identity' FROM pictures WHERE relreplident <> 'd'
            """)
        guard rows.isEmpty else {
            throw TableError.replacementWouldLose(try rows.map { try $0.string(0) }.sorted())
        }
    }

    private func checkMayReplace() throws {
        let rows = try connection.execute(
            """
            SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = \(names.regclass())
            """)
        guard let row = rows.first, try row.bool(0) else {
            throw TableError.mayNotReplace(role: connection.user)
        }
    }

    /// A table as `pictures` is: columns, their storage, partitions, key; without its rows and the
    /// indexes for searching, which are built when the rows are there.
    private func createNext(dimension: Int) throws {
        try connection.executeScript("DROP TABLE IF EXISTS \(names["pictures_next"])")
        let rows = try connection.execute(
            """
            SELECT quote_ident(pg_get_userbyid(relowner)),
                coalesce(pg_get_partkeydef(pg_class.oid), ''), attstorage::text
            FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'embedding'
            WHERE pg_class.oid = \(names.regclass())
            """)
        guard let row = rows.first else { throw TableError.noTable }
        let next = names["pictures_next"]
        let (owner, key) = (try row.string(0), try row.string(1))
        let storage =
            ["p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"][try row.string(2)]
        try connection.executeScript(
            """
            CREATE TABLE \(next)
                (LIKE \(names.pictures) INCLUDING ALL EXCLUDING INDEXES)
                \(key.isEmpty ? "" : "PARTITION BY \(key)");
            ALTER TABLE \(next)
                ALTER COLUMN embedding TYPE \(names.vector)(\(dimension)),
                ALTER COLUMN embedding SET STORAGE \(storage ?? "EXTERNAL"),
                ADD CONSTRAINT pictures_next_pkey PRIMARY KEY (filename);
            """)
        let partitions = try connection.execute(
            """
            SELECT quote_ident(relname || '_next'), pg_get_expr(relpartbound, pg_class.oid)
            FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = \(names.regclass()) ORDER BY relname
            """)
        for row in partitions {
            try connection.executeScript(
                """
                CREATE TABLE \(names[try row.string(0)])
                    PARTITION OF \(next) \(try row.string(1))
                """)
        }
        try connection.executeScript(Migrations.embeddingsInRows(of: "pictures_next", names))
        try connection.executeScript("ALTER TABLE \(next) OWNER TO \(owner)")
    }

    /// Lets `pictures_next` take the place of `pictures`, if nobody is at work on it any more.
    ///
    /// - Returns: whether this call did it; false when another worker had done it or has pictures in
    ///   hand, and will do it.
    func finishReplacement(model: Int, owner: String) throws -> Bool {
        guard try filledTable(model: model) == .next,
            try claimsOfOthers(than: owner, model: model) == 0
        else { return false }
        // Building an index is silent and may take hours.
        try connection.withoutResponseTimeout { try buildIndexesOfNext() }
        return try connection.transaction {
            try lockDefinitions()
            // From here on nobody stores into either table; see `filledTable(model:isLocked:)`.
            let rows = try connection.execute(
                "SELECT id FROM \(names["picture_models"]) WHERE next_since IS NOT NULL FOR UPDATE")
            guard let row = rows.first, try row.int(0) == model,
                try claimsOfOthers(than: owner, model: model) == 0
            else { return false }
            try exchangeTables()
            try connection.execute(
                "UPDATE \(names["picture_models"]) SET active_since = NULL WHERE active_since IS NOT NULL"
            )
            try connection.execute(
                """
                UPDATE \(names["picture_models"]) SET active_since = now(), next_since = NULL WHERE id = $1
                """, [.int32(Int32(model))])
            return true
        }
    }

    /// Builds on `pictures_next` what indexes for searching `pictures` has. Those of another dimension
    /// are built for the new one. Repeating it builds what is missing.
    private func buildIndexesOfNext() throws {
        // With an empty search path the definitions come with qualified names.
        let rows = try connection.pipeline([
            PGQuery("BEGIN"), PGQuery("SET LOCAL search_path = ''"),
            PGQuery(
                """
                SELECT quote_ident(relname || '_next'), pg_get_indexdef(indexrelid),
                    (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                        WHERE attrelid = \(names.regclass()) AND attname = 'embedding'),
                    (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                        WHERE attrelid = \(names.regclass("pictures_next")) AND attname = 'embedding')
                FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                WHERE indrelid = \(names.regclass()) AND NOT indisprimary AND indisvalid
                    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
                """), PGQuery("COMMIT"),
        ])[2]
        for row in rows {
            let definition = try row.string(1)
            guard let start = definition.firstRange(of: " USING ") else { continue }
            func size(_ type: String) -> Substring { type.drop { $0 != "(" } }
            let body = definition[start.lowerBound...].replacing(
                "vec\(size(try row.string(2)))", with: "vec\(size(try row.string(3)))"
            ).replacing(
                "vector\(size(try row.string(2)))", with: "vector\(size(try row.string(3)))")
            let unique = definition.hasPrefix("CREATE UNIQUE") ? "UNIQUE" : ""
            try connection.executeScript(
                "CREATE \(unique) INDEX IF NOT EXISTS \(try row.string(0)) ON \(names["pictures_next"])\(body)"
            )
        }
    }

    /// The exchange itself: rights come along, names end up as they were.
    private func exchangeTables() throws {
        try connection.executeScript(
            """
            SET LOCAL lock_timeout = '60s';
            LOCK TABLE \(names.pictures), \(names["pictures_next"]) IN ACCESS EXCLUSIVE MODE;
            DO $$
            DECLARE item record;
            BEGIN
                FOR item IN
                    SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC'
                            ELSE quote_ident(pg_get_userbyid(acl.grantee)) END AS grantee,
                        acl.privilege_type AS privilege
                    FROM pg_class, aclexplode(relacl) AS acl
                    WHERE pg_class.oid = \(names.literal("pictures"))::regclass AND acl.grantee <> relowner
                LOOP
                    EXECUTE format('GRANT %s ON %s TO %s', item.privilege, \(names.literal("pictures_next")), item.grantee);
                END LOOP;
                DROP TABLE \(names.pictures);
                ALTER TABLE \(names["pictures_next"]) RENAME TO pictures;
                -- Partitions, and indexes of the table and of its partitions.
                FOR item IN
                    SELECT pg_class.oid::regclass AS name, relkind,
                        regexp_replace(relname, '_next(_|$)', '\\1') AS wanted
                    FROM pg_class
                    WHERE relname ~ '_next(_|$)' AND oid IN (
                        SELECT inhrelid FROM pg_inherits WHERE inhparent = \(names.literal("pictures"))::regclass
                        UNION SELECT indexrelid FROM pg_index
                        WHERE indrelid = \(names.literal("pictures"))::regclass OR indrelid IN (
                            SELECT inhrelid FROM pg_inherits WHERE inhparent = \(names.literal("pictures"))::regclass))
                LOOP
                    IF NOT EXISTS (SELECT FROM pg_class WHERE relname = item.wanted AND relnamespace =
                        (SELECT relnamespace FROM pg_class WHERE oid = item.name)) THEN
                        EXECUTE format('ALTER %s %s RENAME TO %I',
                            CASE WHEN item.relkind IN ('i', 'I') THEN 'INDEX' ELSE 'TABLE' END,
                            item.name, item.wanted);
                    END IF;
                END LOOP;
            END $$
            """)
    }
}
