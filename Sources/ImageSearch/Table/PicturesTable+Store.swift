import PGClient
import S3Client

/// What a run found out about some objects that it had claimed.
struct Findings: Sendable {
    /// A picture and its embedding.
    struct Picture: Sendable {
        let object: ObjectSummary
        /// L2-normalised, `[dimension]`.
        let embedding: [Float]
    }

    /// An object that holds no picture that could be embedded.
    struct Refusal: Sendable {
        let object: ObjectSummary
        /// nil for what never claimed to be a picture.
        let reason: String?
    }

    var pictures: [Picture] = []
    var refusals: [Refusal] = []
    /// Keys of objects that failed in a way that another run may not meet.
    var failures: [String] = []

    var count: Int { pictures.count + refusals.count + failures.count }
}

extension PicturesTable {
    /// Stores findings and gives up the claims on their objects, in one transaction. So a picture
    /// whose claim is gone is done, and nobody does it again; and storing the same findings again,
    /// because nobody knows whether the first time came through, changes nothing.
    ///
    /// What another worker has claimed meanwhile (this one was taken for dead) is left to that one.
    /// Keys must differ.
    /// - Returns: how many pictures were left to others.
    /// - Throws: ``TableError/modelReplaced`` when `pictures` holds another model's embeddings now.
    func store(_ findings: Findings, worker: Int, model: Int, rules: String) throws -> Int {
        guard findings.count > 0 else { return 0 }
        let me = [PGValue.int32(Int32(model)), .int32(Int32(worker))]
        return try connection.transaction {
            let table = try filledTable(model: model, isLocked: true)
            var pictures = findings.pictures
            let mine = try connection.execute(
                """
                DELETE FROM \(names["picture_claims"])
                WHERE model = $1 AND worker = $2 AND filename = ANY ($3::text[])
                """, me + [.textArray(pictures.map(\.object.key))]
            ).affectedRows
            if mine < pictures.count {
                let others = try connection.execute(
                    """
                    SELECT filename FROM \(names["picture_claims"])
                    WHERE model = $1 AND filename = ANY ($2::text[])
                    """, [me[0], .textArray(pictures.map(\.object.key))])
                let theirs = Set(try others.map { Array(try $0.string(0).utf8) })
                pictures.removeAll { theirs.contains(Array($0.object.key.utf8)) }
            }
            let left = findings.pictures.count - pictures.count
            try insert(pictures, into: table, model: model)
            try storeRefusals(findings.refusals, rules: rules)
            try release(
                findings.refusals.map(\.object.key) + findings.failures, worker: worker,
                model: model)
            return left
        }
    }

    /// In key order, so that two processes that store the same keys wait for each other instead of
    /// deadlocking.
    private func insert(_ pictures: [Findings.Picture], into table: FilledTable, model: Int) throws
    {
        guard !pictures.isEmpty else { return }
        let vectors = PGValue.vectorArray(
            pictures.map(\.embedding), elementType: names.vectorOID)
        try connection.execute(
            """
            INSERT INTO \(names[table.rawValue]) (filename, etag, size, embedding, model, stored_at)
            SELECT filename, nullif(etag, ''), size, embedding, $5, now()
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[], $4::\(names.vector)[])
                AS incoming (filename, etag, size, embedding)
            ORDER BY filename
            ON CONFLICT (filename) DO UPDATE SET embedding = excluded.embedding,
                etag = excluded.etag, size = excluded.size, model = excluded.model,
                stored_at = excluded.stored_at
            """, pictures.map(\.object).arrays + [vectors, .int32(Int32(model))])
    }

    /// Remembers which objects need not be fetched again while they are unchanged; those that a store
    /// tells no entity tag of cannot be told apart.
    private func storeRefusals(_ refusals: [Findings.Refusal], rules: String) throws {
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

    /// The table that embeddings of a model go to.
    /// - Parameter isLocked: whether it shall stay so until the end of the transaction.
    func filledTable(model: Int, isLocked: Bool = false) throws -> FilledTable {
        let rows = try connection.execute(
            """
            SELECT active_since IS NOT NULL, next_since IS NOT NULL FROM \(names["picture_models"])
            WHERE id = $1 \(isLocked ? "FOR SHARE" : "")
            """, [.int32(Int32(model))])
        guard let row = rows.first else { throw TableError.modelReplaced }
        if try row.bool(0) { return .pictures }
        guard try row.bool(1) else { throw TableError.modelReplaced }
        return .next
    }
}

extension PGError {
    /// Whether the values of a statement were at fault rather than the statement or the server:
    /// refused before it was sent, a data exception (class 22), a constraint (23), or a program
    /// limit (54) such as the size of an index row.
    var isAboutValues: Bool {
        kind == .invalidUse || ["22", "23", "54"].contains(sqlState?.prefix(2))
    }
}

/// Does something with all of a list at once; when values are at fault, with its halves, so that an
/// element that the database cannot take (a key that its encoding or its index has no room for) costs
/// only itself.
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
