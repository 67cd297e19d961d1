import PGClient

extension PicturesTable {
    /// Rows of one statement that reads or deletes by key.
    private static let pruneBatch = 5_000

    /// Calls `body` with all keys of a table, some thousands at a time.
    ///
    /// Each page is a statement of its own. A page begins after the last key of the one before, so rows
    /// may come and go.
    func forEachKey(in table: String, _ body: ([String]) throws -> Void) throws {
        var last: String?
        while true {
            let keys = try keys(in: table, after: last, limit: Self.pruneBatch)
            try body(keys)
            guard keys.count == Self.pruneBatch else { return }
            last = keys.last
        }
    }

    /// Keys in the database's order, after a key.
    func keys(in table: String = "pictures", after key: String?, limit: Int) throws -> [String] {
        try read(
            """
            SELECT filename FROM \(names[table]) \(key == nil ? "" : "WHERE filename > $1")
            ORDER BY filename LIMIT \(limit)
            """, key.map { [.text($0)] } ?? []
        ).map { try $0.string(0) }
    }

    /// A condition on rows of `picture` with one of the keys `$1` that may be removed: stored before
    /// the time `$2`, and not in any worker's hands.
    private func isRemovable() throws -> String {
        let isReplacing = try models().contains(where: \.isNext)
        return """
            picture.filename = ANY ($1::text[])
            AND (picture.stored_at IS NULL OR picture.stored_at < to_timestamp($2))
            \(isReplacing ? "AND coalesce(picture.stored_at_next < to_timestamp($2), true)" : "")
            AND picture.filename <> ALL (ARRAY(
                SELECT filename FROM \(names["picture_claims"])
                WHERE filename = ANY ($1::text[]) AND lease >= clock_timestamp()))
            """
    }

    /// How many rows ``remove(_:refusals:storedBefore:)`` would remove.
    func countRemovable(_ keys: [String], storedBefore time: Double) throws -> Int {
        let isRemovable = try isRemovable()
        return try keys.batches(of: Self.pruneBatch).reduce(0) { count, batch in
            let rows = try connection.execute(
                "SELECT count(*) FROM \(names.pictures) AS picture WHERE \(isRemovable)",
                [.textArray(batch), .double(time)])
            return try count + rows[0].int(0)
        }
    }

    /// Removes rows, and what is remembered of refused objects; all of it or nothing.
    /// - Parameter time: rows that were stored since stay: the listing may have passed their place
    ///   before their objects came.
    /// - Returns: how many rows were removed.
    func remove(_ keys: [String], refusals: [String], storedBefore time: Double) throws -> Int {
        do {
            return try connection.transaction {
                let isRemovable = try isRemovable()
                var removed = 0
                for batch in keys.batches(of: Self.pruneBatch) {
                    removed += try connection.execute(
                        "DELETE FROM \(names.pictures) AS picture WHERE \(isRemovable)",
                        [.textArray(batch), .double(time)]
                    ).affectedRows
                }
                for batch in refusals.batches(of: Self.pruneBatch) {
                    try connection.execute(
                        """
                        DELETE FROM \(names["picture_refusals"]) WHERE filename = ANY ($1::text[])
                        """, [.textArray(batch)])
                }
                // Previews of pictures that are no longer in the table, however they left it.
                try connection.execute(
                    """
                    DELETE FROM \(names["picture_previews"]) AS preview WHERE NOT EXISTS (
                        SELECT FROM \(names.pictures) AS picture
                        WHERE picture.filename = preview.filename)
                    """)
                return removed
            }
        } catch let error as PGError where error.isInsufficientPrivilege {
            throw TableError.mayNotPrune(role: connection.user, schema: names.schema)
        }
    }
}
