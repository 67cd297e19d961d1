extension Migrations {
    /// Embeddings stay in their rows.
    ///
    /// A `vector(512)` has 2,056 bytes, over PostgreSQL's threshold of some 2,000, so every one would
    /// be stored out of line and a search that compares all of them would look each up by itself:
    /// measured, 2.7 times as long. With `STORAGE PLAIN` for the column alone, PostgreSQL still finds
    /// the rows too long and moves the keys out instead. With a higher target it leaves both alone,
    /// up to 2,000 dimensions, and still moves what is longer than a page. Rows that are there stay
    /// as they are until they are stored anew or the table is rewritten: `create-table --status`
    /// says so. Nothing changes for who reads or writes the table.
    static let storage = Migration(20, sql: embeddingsInRows(of: "pictures"))

    /// Settings of a table's storage are not what `CREATE TABLE … (LIKE …)` copies, so whoever makes a
    /// table beside `pictures` needs this too.
    static func embeddingsInRows(of table: String) -> String {
        """
        DO $$
        DECLARE leaf regclass;
        BEGIN
            -- To pg_partition_tree a table without partitions is no tree.
            FOR leaf IN
                SELECT oid FROM pg_class WHERE oid = '\(table)'::regclass AND relkind = 'r'
                UNION SELECT relid FROM pg_partition_tree('\(table)') WHERE isleaf
            LOOP
                EXECUTE format('ALTER TABLE %s SET (toast_tuple_target = 8160)', leaf);
            END LOOP;
        END $$;
        """
    }
}
