import ClipCore
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
    /// Unchanged, but its row lacks what a refresh fills in.
    case incomplete(PictureTask)
    /// Not a picture, and not named like one.
    case noPicture
    /// It could not be embedded, and could not be now.
    case refused(reason: String, format: String?)
}

/// What is to be done with a picture.
enum PictureTask: Sendable, Equatable {
    case embed
    /// Its size, its date and a preview are to be stored; its embedding stays.
    case describe
    /// The same, but it was decoded under another rule.
    case decodeAgain(former: String)
}

/// What a refresh looks for in rows of unchanged objects.
struct RefreshNeeds: Sendable {
    /// The rule that all pictures are to be decoded by.
    let decoding: String
    let needsPreviews: Bool
}

/// What a run found out about objects that it had claimed.
struct IngestResults: Sendable {
    /// What a picture's row and preview are made of.
    struct Picture: Sendable {
        let object: ObjectSummary
        /// L2-normalised, `[dimension]`; nil leaves the row's own.
        var embedding: [Float]?
        let metadata: ImageMetadata
        /// nil leaves the former one.
        var preview: Thumbnail?
    }

    /// An object that could not be embedded.
    struct Refusal: Sendable {
        let object: ObjectSummary
        /// nil for objects that are not named like pictures.
        let reason: String?
        var format: String?
        /// What would read it; see ``ImageError/missingReader``.
        var missingReader: String?
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
        try connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")[0]
            .double(0)
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

    /// Extends the leases of all claims that the owner still has, even of those that have ended.
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
            """, [.int32(Int32(model)), .text(owner)])[0].int(0)
    }
}

// MARK: - Comparing

extension PicturesTable {
    /// Compares listed objects with what is known of them: by entity tag and size, under the same
    /// model. One query for all of them.
    ///
    /// - Parameters:
    ///   - rules: the decoder and its limits; what other rules refused is tried again.
    ///   - needs: what rows of unchanged objects must have to be up to date; nil for nothing more.
    ///   - time: seconds since 1970. An object without an entity tag counts as unchanged only if its row
    ///     is at least as young; nil never.
    /// - Returns: one answer for each object, in their order.
    func compare(
        _ objects: [ObjectSummary], in set: ColumnSet, model: Int, rules: String,
        needs: RefreshNeeds? = nil, storedSince time: Double? = nil
    ) throws -> [KnownObject] {
        guard !objects.isEmpty else { return [] }
        let listed = """
            unnest($1::text[], $2::text[], $3::text[]::bigint[]) WITH ORDINALITY
                AS listed (filename, etag, size, place)
            """
        // Rows of earlier versions were decoded as they are stored.
        let missing = """
            picture.width IS NULL \(needs?.needsPreviews == true ? "OR preview.filename IS NULL" : ""),
            coalesce(nullif(coalesce(picture.\(set["decoding"]), 'stored'), $7), '')
            """
        let previews = """
            LEFT JOIN \(names["picture_previews"]) AS preview ON preview.filename = picture.filename
                AND preview.etag IS NOT DISTINCT FROM picture.\(set["etag"])
            """
        // Only differences from `changed` are returned. A text array holds no NULL here. Both parts are
        // inner joins by the key: outer joins of the list would make Citus fetch whole tables.
        let rows = try connection.execute(
            """
            SELECT listed.place::integer - 1, false, NULL::text, NULL::text,
                \(needs == nil ? "false, ''" : missing), ''
            FROM \(listed) JOIN \(names.pictures) AS picture ON picture.filename = listed.filename
                AND coalesce(picture.\(set["etag"]), '') = listed.etag
                AND picture.\(set["size"]) = listed.size
                AND picture.\(set["model"]) = $4 AND picture.\(set["embedding"]) IS NOT NULL
                AND (listed.etag <> '' OR picture.\(set["stored_at"]) >= to_timestamp($6))
            \(needs?.needsPreviews == true ? previews : "")
            UNION ALL
            SELECT listed.place::integer - 1, true, refusal.reason, refusal.format, false, '',
                substr(refusal.rules, length($5) + 1)
            FROM \(listed) JOIN \(names["picture_refusals"]) AS refusal
                ON refusal.filename = listed.filename
                AND refusal.etag = listed.etag AND refusal.size = listed.size
                AND starts_with(refusal.rules, $5) AND listed.etag <> ''
            """,
            objects.arrays + [
                .int32(Int32(model)), .text(rules), .double(time ?? .infinity),
            ] + (needs.map { [.text($0.decoding)] } ?? []))
        var answers = [KnownObject](repeating: .changed, count: objects.count)
        for row in rows {
            let place = try row.int(0)
            guard answers.indices.contains(place) else { continue }
            if try !row.bool(1) {
                let former = try row.string(5)
                answers[place] =
                    former != ""
                    ? .incomplete(.decodeAgain(former: former))
                    : try row.bool(4) ? .incomplete(.describe) : .unchanged
            } else if answers[place] != .changed {
                // Its row is newer than the refusal.
            } else if try row.isNull(2) {
                answers[place] = .noPicture
            } else if case let reader = try row.string(6),
                reader.isEmpty || ImageDecoder.lacks(reader)
            {
                answers[place] = .refused(
                    reason: try row.string(2), format: try row.isNull(3) ? nil : row.string(3))
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

extension [IngestResults.Picture] {
    /// Keys, entity tags, sizes, widths, heights, times, offsets and cameras as text arrays.
    fileprivate var arrays: [PGValue] {
        map(\.object).arrays + [
            .textArray(map { String($0.metadata.width) }),
            .textArray(map { String($0.metadata.height) }),
            .textArray(map { $0.metadata.takenAt ?? "" }),
            .textArray(map { $0.metadata.takenOffset ?? "" }),
            .textArray(map { $0.metadata.camera ?? "" }),
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
    func store(
        _ results: IngestResults, owner: String, model: Int, rules: String, decoding: String
    ) throws {
        guard results.count > 0 else { return }
        try connection.transaction {
            let set = try columnSet(of: model, isLocked: true)
            try insert(results.pictures, into: set, model: model, decoding: decoding)
            try storeRefusals(results.refusals, rules: rules)
            try release(
                results.pictures.map(\.object.key) + results.refusals.map(\.object.key)
                    + results.failures, owner: owner, model: model)
        }
    }

    /// In key order, so that two processes that store the same keys wait for each other instead of deadlocking.
    private func insert(
        _ pictures: [IngestResults.Picture], into set: ColumnSet, model: Int, decoding: String
    ) throws {
        let new = pictures.filter { $0.embedding != nil }
        let incoming = """
            unnest($1::text[], $2::text[], $3::text[]::bigint[], $4::text[]::integer[],
                $5::text[]::integer[], $6::text[], $7::text[], $8::text[]
            """
        let facts = ["width", "height", "taken_at", "taken_offset", "camera"]
        let columns = (["filename", "etag", "size"] + facts).joined(separator: ", ")
        if !new.isEmpty {
            let vectors = PGValue.vectorArray(
                new.compactMap(\.embedding), elementType: names.vectorOID)
            let target =
                ["etag", "size", "decoding", "embedding", "model", "stored_at"].map { set[$0] }
                + facts
            try connection.execute(
                """
                INSERT INTO \(names.pictures) (filename, \(target.joined(separator: ", ")))
                SELECT filename, nullif(etag, ''), size, $9, embedding, $11, clock_timestamp(),
                    width, height, nullif(taken_at, '')::timestamp,
                    nullif(taken_offset, '')::interval, nullif(camera, '')
                FROM \(incoming), $10::\(names.vector)[]) AS incoming (\(columns), embedding)
                ORDER BY filename
                ON CONFLICT (filename) DO UPDATE
                SET \(target.map { "\($0) = excluded.\($0)" }.joined(separator: ", "))
                """, new.arrays + [.text(decoding), vectors, .int32(Int32(model))])
        }
        let known = pictures.filter { $0.embedding == nil }
        if !known.isEmpty {
            // Rows of the same objects only. Citus casts columns in a list of its own, not in an UPDATE.
            try connection.execute(
                """
                WITH incoming AS MATERIALIZED (
                    SELECT filename, etag, size, width, height,
                        nullif(taken_at, '')::timestamp AS taken_at,
                        nullif(taken_offset, '')::interval AS taken_offset,
                        nullif(camera, '') AS camera
                    FROM \(incoming)) AS incoming (\(columns))
                )
                UPDATE \(names.pictures) AS picture
                SET \(facts.map { "\($0) = incoming.\($0)" }.joined(separator: ", ")),
                    \(set["decoding"]) = $9
                FROM incoming
                WHERE picture.filename = incoming.filename
                    AND coalesce(picture.\(set["etag"]), '') = incoming.etag
                    AND picture.\(set["size"]) = incoming.size
                """, known.arrays + [.text(decoding)])
        }
        try storePreviews(of: pictures)
    }

    private func storePreviews(of pictures: [IngestResults.Picture]) throws {
        let previews = pictures.filter { $0.preview != nil }
        guard !previews.isEmpty else { return }
        try connection.execute(
            """
            INSERT INTO \(names["picture_previews"]) (filename, etag, type, bytes)
            SELECT filename, nullif(etag, ''), type, bytes
            FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
                AS incoming (filename, etag, type, bytes)
            ORDER BY filename
            ON CONFLICT (filename) DO UPDATE
                SET etag = excluded.etag, type = excluded.type, bytes = excluded.bytes
            """,
            [
                .textArray(previews.map(\.object.key)),
                .textArray(previews.map { $0.object.etag ?? "" }),
                .textArray(previews.compactMap { $0.preview?.format.mediaType }),
                .byteaArray(previews.compactMap { $0.preview?.bytes }),
            ])
    }

    /// Remembers which objects need not be fetched again while they are unchanged. Those without an
    /// entity tag cannot be recognised.
    private func storeRefusals(_ refusals: [IngestResults.Refusal], rules: String) throws {
        let known = refusals.filter { $0.object.etag?.isEmpty == false }
        guard !known.isEmpty else { return }
        try connection.execute(
            """
            INSERT INTO \(names["picture_refusals"]) (filename, etag, size, reason, format, rules)
            SELECT filename, etag, size, nullif(reason, ''), nullif(format, ''), rules
            FROM unnest(
                $1::text[], $2::text[], $3::text[]::bigint[], $4::text[], $5::text[], $6::text[])
                AS found (filename, etag, size, reason, format, rules)
            ORDER BY filename
            ON CONFLICT (filename) DO UPDATE SET etag = excluded.etag, size = excluded.size,
                reason = excluded.reason, format = excluded.format, rules = excluded.rules
            """,
            known.map(\.object).arrays + [
                .textArray(known.map { $0.reason ?? "" }),
                .textArray(known.map { $0.format ?? "" }),
                .textArray(known.map { rules + ($0.missingReader ?? "") }),
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

    /// Checks before any work is done that the role may use the tables beside `pictures`.
    func checkSideTables() throws {
        let rights = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        guard try tables(Migrations.sideTables, without: rights).isEmpty else {
            throw TableError.mayNotUseSideTables(role: connection.user, schema: names.schema)
        }
    }

    /// Checks that the role may read those of these tables that are there.
    func checkReadable(_ tables: [String]) throws {
        let unreadable = try self.tables(tables, without: ["SELECT"])
        guard unreadable.isEmpty else {
            throw TableError.mayNotRead(role: connection.user, tables: unreadable)
        }
    }

    /// Which of these tables are there and lack a right for this role.
    func tables(_ tables: [String], without rights: [String]) throws -> [String] {
        try tables.filter { table in
            try !connection.execute(
                """
                SELECT bool_and(coalesce(has_table_privilege(\(names.regclass(table)), privilege), true))
                FROM unnest($1::text[]) AS privilege
                """, [.textArray(rights)])[0].bool(0)
        }.map { names[$0] }
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
    /// Whether the values of a statement were at fault rather than the statement or the server: refused before it was
    /// sent, a data exception (class 22), a constraint (23), or a program limit (54) such as the size of an index row.
    var isAboutValues: Bool {
        kind == .invalidUse || ["22", "23", "54"].contains(sqlState?.prefix(2))
    }
}

/// Runs `body` with a whole list; when values are at fault, with its halves, so that an element that
/// the database cannot take (its encoding or its index has no room for the key) costs only itself.
/// - Parameter failed: called with each element that the database refuses by itself.
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
