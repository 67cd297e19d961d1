import PGClient
import S3Client

// What process-images does with the tables: claim, compare, store, prune. docs/ingest.md describes how
// workers share a bucket.

/// What the database knows about a listed object.
enum KnownObject: Sendable, Equatable {
    /// New, or different from what is known.
    case changed
    /// Its row is up to date.
    case unchanged
    /// Not a picture, and not named like one.
    case noPicture
    /// It could not be embedded, and could not be now.
    case refused(reason: String)
}

/// What a run found out about objects that it had claimed.
struct IngestResults: Sendable {
    /// A picture and its embedding.
    struct Picture: Sendable {
        let object: ObjectSummary
        /// L2-normalised, `[dimension]`.
        let embedding: [Float]
    }

    /// An object that could not be embedded.
    struct Refusal: Sendable {
        let object: ObjectSummary
        /// nil for objects that are not named like pictures.
        let reason: String?
    }

    var pictures: [Picture] = []
    var refusals: [Refusal] = []
    /// Keys of objects whose failure may not repeat.
    var failures: [String] = []

    var count: Int { pictures.count + refusals.count + failures.count }
}

// MARK: - Claims

extension PicturesTable {
    /// The database's time, in seconds since 1970.
    func now() throws -> Double {
        let rows = try connection.execute(
            "SELECT extract(epoch FROM clock_timestamp())::double precision")
        return try rows.first?.double(0) ?? 0
    }

    /// Claims objects until the lease ends: those that are not claimed, whose lease has ended, or
    /// that the owner has already.
    /// - Returns: for each object whether the owner has it now.
    func claim(
        _ objects: [ObjectSummary], owner: String, lease: Duration, model: Int
    ) throws -> [Bool] {
        guard !objects.isEmpty else { return [] }
        let rows = try connection.execute(
            """
            INSERT INTO \(names["picture_claims"]) AS claim
                (filename, model, owner, lease, etag, size)
            SELECT listed.filename, $4, $5, clock_timestamp() + $6 * interval '1 second',
                nullif(listed.etag, ''), listed.size
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[])
                AS listed (filename, etag, size)
            ORDER BY listed.filename
            ON CONFLICT (filename, model) DO UPDATE
                SET owner = excluded.owner, lease = excluded.lease, etag = excluded.etag,
                    size = excluded.size
                WHERE claim.owner = excluded.owner OR claim.lease < clock_timestamp()
            RETURNING filename
            """,
            objects.arrays + [.int32(Int32(model)), .text(owner), .double(lease / .seconds(1))])
        // By bytes: to Swift, two spellings of é are equal.
        let claimed = Set(try rows.map { Array(try $0.string(0).utf8) })
        return objects.map { claimed.contains(Array($0.key.utf8)) }
    }

    /// Extends the leases of all that the owner still has, even of those that have ended meanwhile.
    func renewClaims(of owner: String, lease: Duration) throws {
        try connection.execute(
            """
            UPDATE \(names["picture_claims"])
            SET lease = clock_timestamp() + $2 * interval '1 second' WHERE owner = $1
            """, [.text(owner), .double(lease / .seconds(1))])
    }

    /// Gives back what is done or needs nothing.
    func release(_ keys: [String], owner: String, model: Int) throws {
        guard !keys.isEmpty else { return }
        try connection.execute(
            """
            DELETE FROM \(names["picture_claims"])
            WHERE model = $1 AND owner = $2 AND filename = ANY ($3::text[])
            """, [.int32(Int32(model)), .text(owner), .textArray(keys)])
    }

    /// Gives back all that the owner still has. Others find out that the rows are missing.
    func releaseAll(of owner: String) throws {
        try connection.execute(
            "DELETE FROM \(names["picture_claims"]) WHERE owner = $1", [.text(owner)])
    }

    /// Deletes claims whose lease has ended. Workers wait for rows, not for claims, so nothing is lost.
    func forgetEndedClaims() throws {
        try connection.execute(
            "DELETE FROM \(names["picture_claims"]) WHERE lease < clock_timestamp()")
    }

    /// How many pictures other workers have in hand.
    func claimsOfOthers(than owner: String, model: Int) throws -> Int {
        try connection.execute(
            """
            SELECT count(*) FROM \(names["picture_claims"])
            WHERE model = $1 AND owner <> $2 AND lease >= clock_timestamp()
            """, [.int32(Int32(model)), .text(owner)]
        ).first?.int(0) ?? 0
    }
}

// MARK: - Comparing

extension PicturesTable {
    /// Compares listed objects with what is known of them: by entity tag and size, under the same
    /// model. One query for all of them.
    ///
    /// - Parameters:
    ///   - rules: the decoder and its limits; what other rules refused is tried again.
    ///   - time: seconds since 1970. An object without an entity tag counts as unchanged only if its row
    ///     is at least as young; nil never.
    /// - Returns: one answer for each object, in their order.
    func compare(
        _ objects: [ObjectSummary], in set: ColumnSet, model: Int, rules: String,
        storedSince time: Double? = nil
    ) throws -> [KnownObject] {
        guard !objects.isEmpty else { return [] }
        // Only differences from `changed` are returned. A text array holds no NULL here.
        let rows = try connection.execute(
            """
            SELECT listed.place::integer - 1, refusal.filename IS NOT NULL, refusal.reason
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[]) WITH ORDINALITY
                AS listed (filename, etag, size, place)
            LEFT JOIN \(names.pictures) AS picture ON picture.filename = listed.filename
                AND coalesce(picture.\(set["etag"]), '') = listed.etag
                AND picture.\(set["size"]) = listed.size
                AND picture.\(set["model"]) = $4 AND picture.\(set["embedding"]) IS NOT NULL
                AND (listed.etag <> '' OR picture.\(set["stored_at"]) >= to_timestamp($6))
            LEFT JOIN \(names["picture_refusals"]) AS refusal ON picture.filename IS NULL
                AND refusal.filename = listed.filename
                AND refusal.etag = listed.etag AND refusal.size = listed.size
                AND refusal.rules = $5 AND listed.etag <> ''
            WHERE picture.filename IS NOT NULL OR refusal.filename IS NOT NULL
            """,
            objects.arrays + [
                .int32(Int32(model)), .text(rules), .double(time ?? .infinity),
            ])
        var answers = [KnownObject](repeating: .changed, count: objects.count)
        for row in rows {
            let place = try row.int(0)
            guard answers.indices.contains(place) else { continue }
            if try !row.bool(1) {
                answers[place] = .unchanged
            } else if try row.isNull(2) {
                answers[place] = .noPicture
            } else {
                answers[place] = .refused(reason: try row.string(2))
            }
        }
        return answers
    }
}

extension [ObjectSummary] {
    /// Keys, entity tags and sizes as three text arrays.
    var arrays: [PGValue] {
        [
            .textArray(map(\.key)), .textArray(map { $0.etag ?? "" }),
            .textArray(map { String($0.size) }),
        ]
    }
}

// MARK: - Storing

extension PicturesTable {
    /// Stores results and deletes the claims on their objects, in one transaction. Storing the same
    /// results again, after a connection was lost during the COMMIT, changes nothing. Keys must differ.
    ///
    /// A worker whose lease ended while it was suspended stores too: the worker that took the picture
    /// over stores the same.
    /// - Throws: ``TableError/modelReplaced`` when the table takes no embeddings of the model any more.
    func store(_ results: IngestResults, owner: String, model: Int, rules: String) throws {
        guard results.count > 0 else { return }
        try connection.transaction {
            let set = try columnSet(of: model, isLocked: true)
            try insert(results.pictures, into: set, model: model)
            try storeRefusals(results.refusals, rules: rules)
            try release(
                results.pictures.map(\.object.key) + results.refusals.map(\.object.key)
                    + results.failures, owner: owner, model: model)
        }
    }

    /// In key order, so that two processes that store the same keys wait for each other instead of
    /// deadlocking.
    private func insert(
        _ pictures: [IngestResults.Picture], into set: ColumnSet, model: Int
    ) throws {
        guard !pictures.isEmpty else { return }
        let vectors = PGValue.vectorArray(
            pictures.map(\.embedding), elementType: names.vectorOID)
        let columns = ["etag", "size", "embedding", "model", "stored_at"].map { set[$0] }
        try connection.execute(
            """
            INSERT INTO \(names.pictures) (filename, \(columns.joined(separator: ", ")))
            SELECT filename, nullif(etag, ''), size, embedding, $5, clock_timestamp()
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[], $4::\(names.vector)[])
                AS incoming (filename, etag, size, embedding)
            ORDER BY filename
            ON CONFLICT (filename) DO UPDATE
            SET \(columns.map { "\($0) = excluded.\($0)" }.joined(separator: ", "))
            """, pictures.map(\.object).arrays + [vectors, .int32(Int32(model))])
    }

    /// Remembers which objects need not be fetched again while they are unchanged. Those without an
    /// entity tag cannot be recognised.
    private func storeRefusals(_ refusals: [IngestResults.Refusal], rules: String) throws {
        let known = refusals.filter { $0.object.etag?.isEmpty == false }
        guard !known.isEmpty else { return }
        try connection.execute(
            """
            INSERT INTO \(names["picture_refusals"]) (filename, etag, size, reason, rules)
            SELECT filename, etag, size, nullif(reason, ''), $5
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[], $4::text[])
                AS found (filename, etag, size, reason)
            ORDER BY filename
            ON CONFLICT (filename) DO UPDATE SET etag = excluded.etag, size = excluded.size,
                reason = excluded.reason, rules = excluded.rules
            """,
            known.map(\.object).arrays + [
                .textArray(known.map { $0.reason ?? "" }), .text(rules),
            ])
    }

    /// The columns that embeddings of a model go to.
    /// - Parameter isLocked: whether that stays so until the end of the transaction.
    func columnSet(of model: Int, isLocked: Bool = false) throws -> ColumnSet {
        let rows = try connection.execute(
            """
            SELECT active_since IS NOT NULL, next_since IS NOT NULL FROM \(names["picture_models"])
            WHERE id = $1 \(isLocked ? "FOR SHARE" : "")
            """, [.int32(Int32(model))])
        guard let row = rows.first else { throw TableError.modelReplaced }
        if try row.bool(0) { return .current }
        guard try row.bool(1) else { throw TableError.modelReplaced }
        return .next
    }

    /// Finds out before any work is done whether the role may use the tables beside `pictures`.
    func checkSideTables() throws {
        let tables = Migrations.sideTables.map(names.literal).joined(separator: ", ")
        let rows = try connection.execute(
            """
            SELECT bool_and(has_table_privilege(name, privilege))
            FROM unnest(ARRAY[\(tables)]) AS name,
                unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
            """)
        guard let row = rows.first, try row.bool(0) else {
            throw TableError.mayNotUseSideTables(role: connection.user)
        }
    }
}

// MARK: - Pruning

extension PicturesTable {
    /// Rows of one statement that reads or deletes by key.
    private static let pruneBatch = 5_000

    /// Calls `body` with all keys of a table, some thousands at a time.
    ///
    /// Each page is a statement of its own. A page begins after the last key of the former, so rows that
    /// come and go meanwhile harm nothing.
    func forEachKey(in table: String, _ body: ([String]) throws -> Void) throws {
        var last: String?
        while true {
            let rows = try connection.execute(
                """
                SELECT filename FROM \(names[table]) \(last == nil ? "" : "WHERE filename > $1")
                ORDER BY filename LIMIT \(Self.pruneBatch)
                """, last.map { [.text($0)] } ?? [])
            let keys = try rows.map { try $0.string(0) }
            try body(keys)
            guard keys.count == Self.pruneBatch else { return }
            last = keys.last
        }
    }

    /// A condition on rows of `picture` with one of the keys `$1` that may be removed: stored before
    /// the time `$2`, and not in any worker's hands.
    private func isRemovable() throws -> String {
        let isReplacing = try models().contains(where: \.isNext)
        return """
            picture.filename = ANY ($1::text[])
            AND (picture.stored_at IS NULL OR picture.stored_at < to_timestamp($2))
            \(isReplacing ? "AND coalesce(picture.stored_at_next < to_timestamp($2), true)" : "")
            AND NOT EXISTS (SELECT FROM \(names["picture_claims"]) AS claim
                WHERE claim.filename = picture.filename AND claim.lease >= clock_timestamp())
            """
    }

    /// How many rows ``remove(_:refusals:storedBefore:)`` would remove.
    func countRemovable(_ keys: [String], storedBefore time: Double) throws -> Int {
        let isRemovable = try isRemovable()
        return try keys.batches(of: Self.pruneBatch).reduce(0) { count, batch in
            let rows = try connection.execute(
                "SELECT count(*) FROM \(names.pictures) AS picture WHERE \(isRemovable)",
                [.textArray(batch), .double(time)])
            return count + (try rows.first?.int(0) ?? 0)
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
                return removed
            }
        } catch let error as PGError where error.isInsufficientPrivilege {
            throw TableError.mayNotPrune(role: connection.user)
        }
    }
}

extension Array {
    /// The elements in order, in arrays of at most `size`.
    func batches(of size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}

// MARK: - Errors of values

extension PGError {
    /// Whether the values of a statement were at fault rather than the statement or the server:
    /// refused before it was sent, a data exception (class 22), a constraint (23), or a program
    /// limit (54) such as the size of an index row.
    var isAboutValues: Bool {
        kind == .invalidUse || ["22", "23", "54"].contains(sqlState?.prefix(2))
    }
}

/// Runs `body` with a whole list; when values are at fault, with its halves, so that an element that
/// the database cannot take (its encoding or its index has no room for the key) costs only itself.
/// - Parameter failed: told of each element that alone was at fault.
func halving<Element>(
    _ elements: [Element], _ body: ([Element]) throws -> Void,
    failed: (Element, PGError) throws -> Void
) throws {
    var pending = [elements]
    while let part = pending.popLast() {
        guard !part.isEmpty else { continue }
        do {
            try body(part)
        } catch let error as PGError where error.isAboutValues {
            guard part.count > 1 else {
                try failed(part[0], error)
                continue
            }
            let middle = part.count / 2
            pending += [Array(part[middle...]), Array(part[..<middle])]
        }
    }
}
