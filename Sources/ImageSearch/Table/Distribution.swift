import PGClient

// Tables that Citus spreads over several servers. `pictures`, `picture_refusals` and `picture_previews` are
// distributed by `filename`, so that rows of one picture are on the same server and are joined there.
// `picture_claims`, `picture_models`, `picture_collection` and `picture_schema` stay on the coordinator, where
// every tool's statements arrive: they are small, and Citus refuses what claims need, a condition on the time
// in ON CONFLICT. docs/scaling.md has the measurements.

extension PicturesTable {
    /// Tables that are distributed with `pictures`.
    private static let colocatedTables = ["picture_refusals", "picture_previews"]

    /// Spreads the table over the servers of a Citus cluster, rows included.
    /// - Returns: false when it was distributed already.
    /// - Throws: ``TableError/noCitus`` without Citus, ``TableError/partitionsDistributed`` for a table with
    ///   partitions.
    public func distribute() throws -> Bool {
        try checkDistributable()
        guard !names.isDistributed else { return false }
        try connection.withoutResponseTimeout {
            try connection.transaction {
                try lockDefinitions()
                try distribute("pictures", with: "none")
                try distributeSideTables()
            }
        }
        try findNames()
        return true
    }

    /// - Throws: as ``distribute()``.
    public func checkDistributable() throws {
        guard names.hasCitus else { throw TableError.noCitus }
        let partitions = try connection.execute(
            "SELECT 1 FROM pg_class WHERE oid = \(names.regclass()) AND relkind = 'p'")
        guard partitions.isEmpty else { throw TableError.partitionsDistributed }
    }

    /// Distributes the side tables that belong to a distributed `pictures` and are not yet, such as previews
    /// that were dropped and created again.
    func distributeSideTables() throws {
        for table in Self.colocatedTables {
            let rows = try connection.execute(
                """
                SELECT 1 WHERE \(names.regclass(table)) IS NOT NULL AND NOT EXISTS (
                    SELECT FROM pg_dist_partition WHERE logicalrelid = \(names.regclass(table)))
                """)
            if !rows.isEmpty { try distribute(table, with: names.pictures) }
        }
    }

    private func distribute(_ table: String, with other: String) throws {
        try connection.execute(
            "SELECT create_distributed_table(\(names.regclass(table)), 'filename', colocate_with := $1)",
            [.text(other)])
    }

    /// Runs definitions; on Citus one by one, since it passes a statement on as it was sent.
    func run(_ statements: [String]) throws {
        if names.isDistributed {
            for statement in statements { try connection.execute(statement) }
        } else {
            try connection.executeScript(statements.joined(separator: ";\n"))
        }
    }

    /// What the shards of the table take.
    /// - Throws: ``TableError/nodeDown(_:)``.
    func shardSizes() throws -> TableSizes {
        let command = """
            SELECT concat_ws(' ', greatest(reltuples, 0)::bigint, pg_relation_size(oid), pg_indexes_size(oid),
                coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0))
            FROM pg_class WHERE oid = '%s'::regclass
            """
        let rows = try connection.execute(
            """
            SELECT count(*), bool_and(success), coalesce(min(result) FILTER (WHERE NOT success), ''),
                \((1...4).map {
                    "coalesce(sum(CASE WHEN success THEN split_part(result, ' ', \($0))::bigint END), 0)::bigint"
                }.joined(separator: ", "))
            FROM run_command_on_shards(\(names.regclass()), $1)
            """, [.text(command)])
        guard try rows[0].bool(1) else { throw TableError.nodeDown(try rows[0].string(2)) }
        return TableSizes(
            shards: try rows[0].int(0), rows: try rows[0].int(3), table: try rows[0].int(4),
            indexes: try rows[0].int(5), outOfLine: try rows[0].int(6))
    }
}
