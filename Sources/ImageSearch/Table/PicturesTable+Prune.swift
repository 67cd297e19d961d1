import PGClient
import S3Client

/// Removing rows whose objects are gone, after a listing that was complete.
extension PicturesTable {
    /// Begins to note what a listing finds, in a table of this connection's own. What was noted before
    /// is forgotten.
    /// - Returns: the time by the database's clock: rows that are younger stay, since the listing may
    ///   have passed their place before their objects came.
    func beginNoting() throws -> Int64 {
        try connection.executeScript(
            """
            CREATE TEMPORARY TABLE IF NOT EXISTS listed_pictures (filename text);
            TRUNCATE listed_pictures;
            """)
        return try now()
    }

    /// Notes keys that were listed.
    func noteListed(_ keys: [String]) throws {
        try connection.copyIn("COPY listed_pictures FROM STDIN (FORMAT binary)") { writer in
            for key in keys { try writer.write([.text(key)]) }
        }
    }

    /// A condition on rows whose objects were not listed, are not at work anywhere, and are older than
    /// the listing.
    private var isGone: String {
        """
        NOT EXISTS (SELECT FROM listed_pictures AS listed
            WHERE listed.filename = picture.filename)
        AND NOT EXISTS (SELECT FROM \(names["picture_claims"]) AS claim
            WHERE claim.filename = picture.filename)
        AND (picture.stored_at IS NULL
            OR picture.stored_at < to_timestamp($1::double precision / 1000000))
        """
    }

    /// How many rows the table has, and of how many the objects are gone.
    func countGone(since time: Int64) throws -> (rows: Int, gone: Int) {
        try connection.execute("ANALYZE listed_pictures")
        let rows = try connection.execute(
            """
            SELECT count(*), count(*) FILTER (WHERE \(isGone)) FROM \(names["pictures"]) AS picture
            """, [.int64(time)])
        guard let row = rows.first else { return (0, 0) }
        return (try row.int(0), try row.int(1))
    }

    /// Removes the rows whose objects are gone, and what is remembered of refused objects that are
    /// gone; all of them or none.
    /// - Returns: how many rows were removed.
    func removeGone(since time: Int64) throws -> Int {
        do {
            try connection.execute("ANALYZE listed_pictures")
            return try connection.transaction {
                let removed = try connection.execute(
                    "DELETE FROM \(names["pictures"]) AS picture WHERE \(isGone)", [.int64(time)])
                try connection.execute(
                    """
                    DELETE FROM \(names["picture_refusals"]) AS refusal
                    WHERE NOT EXISTS (SELECT FROM listed_pictures AS listed
                        WHERE listed.filename = refusal.filename)
                    """)
                return removed.affectedRows
            }
        } catch let error as PGError where error.isInsufficientPrivilege {
            throw TableError.mayNotPrune(role: connection.user)
        }
    }
}
