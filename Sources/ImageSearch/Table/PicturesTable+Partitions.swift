import PGClient

extension PicturesTable {
    /// The most partitions that are made: each search asks every one of them.
    public static let maximumPartitions = 256

    /// Makes the table, which is not there.
    /// - Parameter partitions: 0 for a table without.
    func createTable(_ dimension: Int, partitions: Int) throws {
        let columns = "filename text PRIMARY KEY, embedding \(names.vector)(\(dimension))"
        let role = connection.user
        guard partitions > 0 else {
            return try define(
                "CREATE TABLE \(names.pictures) (\(columns))", or: .mayNotCreateTable(role: role))
        }
        try define(
            "CREATE TABLE \(names.pictures) (\(columns)) PARTITION BY HASH (filename)",
            or: .mayNotCreateTable(role: role))
        for number in 0..<partitions {
            try define(
                """
                CREATE TABLE \(names["pictures_p\(number)"]) PARTITION OF \(names.pictures)
                FOR VALUES WITH (MODULUS \(partitions), REMAINDER \(number))
                """, or: .mayNotCreateTable(role: role))
        }
    }

    /// - Throws: ``TableError/otherPartitions(table:asked:)``.
    func checkPartitions(_ asked: Int) throws {
        let rows = try connection.execute(
            """
            SELECT count(*) FROM pg_partition_tree(\(names.regclass()))
            WHERE isleaf AND level > 0
            """)
        let present = try rows.first?.int(0) ?? 0
        guard present == asked else {
            throw TableError.otherPartitions(table: present, asked: asked)
        }
    }
}
