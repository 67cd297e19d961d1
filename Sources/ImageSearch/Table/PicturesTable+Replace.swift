import PGClient
import S3Client

// Replacing the model: everything is embedded again into a second set of columns of `pictures`, while
// searches and the former model's ingest go on in the first. When all is there, one short transaction
// drops the first set and renames the second. docs/ingest.md compares this with a second table.

/// The columns that hold an embedding and what it was made from.
enum ColumnSet: String, Sendable {
    /// `embedding`, `etag`, …: what is searched.
    case current = ""
    /// `embedding_next`, `etag_next`, …: the model that is to replace the current one.
    case next = "_next"

    /// Every column of which there are two during a replacement, with the type of the second. All are
    /// nullable. The embedding comes first.
    static func columns(_ vector: String) -> [(name: String, type: String)] {
        [
            ("embedding", vector), ("etag", "text"), ("size", "bigint"), ("model", "integer"),
            ("stored_at", "timestamptz"), ("decoding", "text"),
        ]
    }

    /// The set's name of a column.
    subscript(_ column: String) -> String { column + rawValue }
}

/// How a run of `--replace-model` ended.
enum ReplacementOutcome: Sendable, Equatable {
    /// Searches use the new model's embeddings now.
    case switched
    /// Another worker has switched, or has pictures in hand and will.
    case leftToOthers
    /// Other programs stored this many rows since the listing began, and the new model has not seen them.
    case missing(rows: Int)
}

extension PicturesTable {
    /// Makes sure that embeddings of this model belong into the second set of columns, or into the first
    /// if the table holds them already. Refuses before any picture is embedded what would stop the switch.
    ///
    /// - Returns: the model's number.
    /// - Throws: ``TableError`` when another model is on its way, the role does not own the table, or
    ///   something depends on a column that the switch drops.
    func prepareReplacement(by model: ModelIdentity) throws -> Int {
        return try changingTable {
            let known = try models()
            if let active = known.first(where: \.isActive), active.identity.isSame(as: model) {
                return active.id
            }
            let next = known.first(where: \.isNext)
            if let next, !next.identity.isSame(as: model) {
                throw TableError.otherReplacement(next: next.identity, given: model)
            }
            try checkOwner(or: .mayNotReplace(role: connection.user))
            try checkReplaceable(isStarted: next != nil)
            if try !searchIndexes().isEmpty {
                guard !isPooled else { throw TableError.replacementThroughPool }
                guard model.dimension <= IndexOptions.maximumDimension else {
                    throw TableError.tooManyDimensionsForIndex(dimension: model.dimension)
                }
            }
            if let next { return next.id }
            let id = try register(model)
            try connection.execute(
                "UPDATE \(names["picture_models"]) SET next_since = now() WHERE id = $1",
                [.int32(Int32(id))])
            let columns = ColumnSet.columns("\(names.vector)(\(model.dimension))").map {
                "ADD COLUMN \(ColumnSet.next[$0.name]) \($0.type)"
            }
            // The default dates rows that other programs insert from now on; existing rows keep NULL.
            try run([
                "ALTER TABLE \(names.pictures) \(columns.joined(separator: ", "))",
                """
                ALTER TABLE \(names.pictures) ALTER COLUMN stored_at_next SET DEFAULT clock_timestamp()
                """,
            ])
            return id
        }
    }

    /// Drops the second set of columns.
    /// - Returns: the model whose embeddings were given up; nil when no replacement had begun.
    public func cancelReplacement() throws -> ModelIdentity? {
        try checkServerIsWritable()
        return try changingTable {
            guard let next = try models().first(where: \.isNext) else { return nil }
            try checkOwner(or: .mayNotReplace(role: connection.user))
            try run([
                "UPDATE \(names["picture_models"]) SET next_since = NULL",
                "ALTER TABLE \(names.pictures) \(Self.dropping(.next))",
            ])
            return next.identity
        }
    }

    private static func dropping(_ set: ColumnSet) -> String {
        ColumnSet.columns("").map { "DROP COLUMN IF EXISTS \(set[$0.name])" }
            .joined(separator: ", ")
    }

    /// Finds out whether the columns of the first set can be dropped: whether anything but the indexes for searching
    /// depends on them, which the switch builds again, and their own defaults, comments and rights, which it copies.
    private func checkReplaceable(isStarted: Bool) throws {
        let columns = ColumnSet.columns("").map(\.name)
        let indexes = try searchIndexes(ofPartitions: true).map(\.name)
        let rows = try connection.execute(
            """
            WITH tree AS (
                SELECT pg_class.oid FROM pg_class WHERE oid = \(names.regclass())
                UNION SELECT relid FROM pg_partition_tree(\(names.regclass()))
            ), columns AS (
                SELECT pg_attribute.*, attname = ANY ($1::text[]) AS goes
                FROM pg_attribute JOIN tree ON tree.oid = attrelid
                WHERE attnum > 0 AND NOT attisdropped
            )
            SELECT CASE classid WHEN 'pg_rewrite'::regclass
                    THEN pg_describe_object('pg_class'::regclass, ev_class, 0)
                    ELSE pg_describe_object(classid, objid, objsubid) END
            FROM pg_depend
                JOIN columns ON refobjid = attrelid AND refobjsubid = attnum
                LEFT JOIN pg_rewrite ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid
                LEFT JOIN pg_class AS index ON classid = 'pg_class'::regclass AND objid = index.oid
                LEFT JOIN pg_attrdef AS own ON classid = 'pg_attrdef'::regclass
                    AND objid = own.oid AND adrelid = attrelid AND adnum = attnum
            WHERE refclassid = 'pg_class'::regclass AND goes AND own.oid IS NULL
                AND (index.oid IS NULL OR index.relname <> ALL ($2::text[]))
            UNION SELECT 'NOT NULL of column ' || attname FROM columns WHERE goes AND attnotnull
            UNION SELECT 'generated column ' || attname FROM columns WHERE goes AND attgenerated <> ''
            UNION SELECT 'inheritance of column ' || attname FROM columns
                WHERE goes AND attinhcount > 0 AND attrelid = \(names.regclass())
            UNION SELECT 'partition key ' || attname
                FROM pg_partitioned_table JOIN columns ON attrelid = partrelid
                WHERE goes AND attnum = ANY (partattrs::smallint[])
            UNION SELECT 'column ' || attname FROM columns
                WHERE attname = ANY ($3::text[])
            ORDER BY 1
            """,
            [
                .textArray(columns), .textArray(indexes),
                .textArray(isStarted ? [] : columns.map { ColumnSet.next[$0] }),
            ])
        guard rows.isEmpty else {
            throw TableError.replacementHindered(try rows.map { try $0.string(0) })
        }
    }

    // MARK: - Finishing

    /// Lets the second set of columns take the place of the first, once every picture is in it and no
    /// other worker has any in hand.
    ///
    /// - Parameter start: when the run began to list the bucket, by the database's clock. A row that
    ///   another program inserted since and that lacks the new embedding keeps the switch from happening;
    ///   an older one belongs to an object that was not listed or could not be embedded.
    func finishReplacement(
        model: Int, owner: String, since start: Double
    ) throws -> ReplacementOutcome {
        guard try columnSet(of: model) == .next, try claimsOfOthers(than: owner, model: model) == 0
        else { return .leftToOthers }
        // Building an index is silent and may take hours.
        try connection.withoutResponseTimeout {
            try buildNextIndexes()
            try connection.transaction {
                try run([
                    "SET LOCAL statement_timeout = 0",
                    """
                    CREATE INDEX IF NOT EXISTS pictures_next_missing
                        ON \(names.pictures) (stored_at_next)
                        WHERE embedding_next IS NULL AND stored_at_next IS NOT NULL
                    """,
                ])
            }
        }
        return try changingTable(attempts: 30) {
            // From here on no worker stores into either set; see `columnSet(of:isLocked:)`.
            let next = try connection.execute(
                "SELECT id FROM \(names["picture_models"]) WHERE next_since IS NOT NULL FOR UPDATE")
            guard let row = next.first, try row.int(0) == model,
                try claimsOfOthers(than: owner, model: model) == 0
            else { return .leftToOthers }
            try checkReplaceable(isStarted: true)
            try connection.execute("LOCK TABLE \(names.pictures) IN ACCESS EXCLUSIVE MODE")
            let missing = try connection.execute(
                """
                SELECT count(*) FROM \(names.pictures)
                WHERE embedding_next IS NULL AND stored_at_next >= to_timestamp($1)
                    AND embedding IS NOT NULL
                """, [.double(start)])[0].int(0)
            if missing > 0 { return .missing(rows: missing) }
            guard try missingNextIndexes().isEmpty else { throw TableError.indexAdded }
            try switchColumns()
            try connection.execute("UPDATE \(names["picture_models"]) SET active_since = NULL")
            try connection.execute(
                """
                UPDATE \(names["picture_models"]) SET active_since = now(), next_since = NULL
                WHERE id = $1
                """, [.int32(Int32(model))])
            return .switched
        }
    }

    /// Runs a transaction that locks the whole table. While it waits for the lock, later
    /// statements wait behind it, so it gives up soon and tries again.
    private func changingTable<T>(attempts: Int = 1, _ body: () throws -> T) throws -> T {
        var attempt = 1
        while true {
            do {
                return try connection.transaction {
                    try lockDefinitions()
                    try connection.executeScript(
                        "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0")
                    if names.isDistributed {
                        // One connection to each server, since definitions follow what was read.
                        try connection.executeScript(
                            """
                            SET LOCAL citus.multi_shard_modify_mode = 'sequential';
                            SET LOCAL citus.max_adaptive_executor_pool_size = 1
                            """)
                    }
                    return try body()
                }
            } catch let error as PGError where error.sqlState == "55P03" {
                guard attempt < attempts else { throw TableError.tableInUse }
                attempt += 1
                blockThread(.seconds(2))
            }
        }
    }

    /// The name under which an index is built on the second set.
    private static func nextName(_ index: SearchIndex) -> String { "pictures_next_\(index.oid)" }

    /// Valid indexes of the first set that have no valid counterpart on the second.
    private func missingNextIndexes() throws -> [SearchIndex] {
        try searchIndexes().filter { index in
            try index.isValid && isValid(index: Self.nextName(index)) != true
        }
    }

    /// Builds on the second set what indexes for searching the first has, for its dimension, while others
    /// search and store.
    private func buildNextIndexes() throws {
        guard try !missingNextIndexes().isEmpty else { return }
        guard !isPooled else { throw TableError.replacementThroughPool }
        try lockIndexes { _ in }
        defer { unlockIndexes() }
        try prepareSession(IndexOptions(.hnsw))
        let dimension = try dimension(of: ColumnSet.next["embedding"])
        for index in try missingNextIndexes() {
            try buildIndex(
                Self.nextName(index), partSuffix: "next_\(index.oid)",
                index.definition(on: ColumnSet.next["embedding"], dimension: dimension, names))
        }
    }

    /// The switch itself: what belongs to the columns of the first set is copied, they are dropped, and
    /// those of the second and their indexes get their names.
    private func switchColumns() throws {
        try copyColumnProperties()
        let indexes = try connection.execute(
            """
            SELECT next.relname::text, old.relname::text, obj_description(old.oid, 'pg_class')
            FROM pg_index AS old_index
                JOIN pg_class AS old ON old.oid = old_index.indexrelid
                LEFT JOIN pg_inherits AS old_part ON old_part.inhrelid = old.oid
                JOIN pg_index AS next_index ON next_index.indrelid = old_index.indrelid
                JOIN pg_class AS next ON next.oid = next_index.indexrelid
                LEFT JOIN pg_inherits AS next_part ON next_part.inhrelid = next.oid
                LEFT JOIN pg_class AS next_whole ON next_whole.oid = next_part.inhparent
            WHERE coalesce(next_whole.relname, next.relname)
                    = 'pictures_next_' || coalesce(old_part.inhparent, old.oid)
                AND next.relnamespace = (
                    SELECT relnamespace FROM pg_class WHERE oid = \(names.regclass()))
            """)
        var script = [
            "DROP INDEX \(names["pictures_next_missing"])",
            "ALTER TABLE \(names.pictures) \(Self.dropping(.current))",
        ]
        for (name, _) in ColumnSet.columns("") {
            script.append(
                "ALTER TABLE \(names.pictures) RENAME COLUMN \(ColumnSet.next[name]) TO \(name)")
        }
        for row in indexes {
            let (next, old) = (try row.string(0), try row.string(1))
            script.append(
                "ALTER INDEX \(names[quotedName(next)]) RENAME TO \(quotedName(old))")
            if try !row.isNull(2) {
                script.append(
                    "COMMENT ON INDEX \(names[quotedName(old)]) IS \(quotedText(try row.string(2)))"
                )
            }
        }
        try run(script)
    }

    /// Gives the columns of the second set the defaults, rights, comments, storage and statistics
    /// settings of the first.
    private func copyColumnProperties() throws {
        let columns = ColumnSet.columns("").map(\.name).joined(separator: ",")
        try connection.executeScript(
            """
            DO $$
            DECLARE
                pictures regclass := \(names.literal("pictures"));
                old record;
                grant_ record;
                next text;
            BEGIN
                FOR old IN
                    SELECT *, pg_get_expr(adbin, adrelid) AS default_,
                        col_description(attrelid, attnum) AS comment_
                    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                    WHERE attrelid = pictures AND NOT attisdropped
                        AND attname = ANY ('{\(columns)}')
                LOOP
                    next := old.attname || '_next';
                    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I %s', pictures, next,
                        coalesce('SET DEFAULT ' || old.default_, 'DROP DEFAULT'));
                    IF old.attstorage <> (SELECT attstorage FROM pg_attribute
                        WHERE attrelid = pictures AND attname = next)
                    THEN
                        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', pictures, next,
                            CASE old.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END);
                    END IF;
                    IF old.attstattarget >= 0 THEN
                        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', pictures, next,
                            old.attstattarget);
                    END IF;
                    IF old.attoptions IS NOT NULL THEN
                        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', pictures, next,
                            array_to_string(old.attoptions, ', '));
                    END IF;
                    IF old.comment_ IS NOT NULL THEN
                        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', pictures, next, old.comment_);
                    END IF;
                    FOR grant_ IN
                        SELECT CASE grantee WHEN 0 THEN 'PUBLIC'
                                ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
                            privilege_type,
                            CASE WHEN is_grantable THEN 'WITH GRANT OPTION' ELSE '' END AS option
                        FROM aclexplode(old.attacl)
                    LOOP
                        EXECUTE format('GRANT %s (%I) ON %s TO %s %s', grant_.privilege_type, next,
                            pictures, grant_.grantee, grant_.option);
                    END LOOP;
                END LOOP;
            END $$
            """)
    }
}
