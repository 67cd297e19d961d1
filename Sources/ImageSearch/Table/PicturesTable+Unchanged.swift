import PGClient
import S3Client

/// Which table a run fills: the one that is searched, or the one that is to take its place.
enum FilledTable: String, Sendable {
    case pictures
    case next = "pictures_next"
}

/// What the database knows of a listed object.
enum KnownObject: Sendable, Equatable {
    /// It is new, or not the one that is known.
    case changed
    /// Its row is up to date.
    case unchanged
    /// It was found to hold no picture, and never claimed to.
    case noPicture
    /// It could not be embedded, for this reason, and would not be now.
    case refused(reason: String)
}

extension PicturesTable {
    /// Compares listed objects with what is known of them: by entity tag and size, under the same
    /// model. One query for all of them; without an entity tag an object counts as changed.
    ///
    /// - Parameter rules: the decoder and its limits; what others refused gets another chance.
    /// - Returns: one answer an object, in their order.
    func compare(
        _ objects: [ObjectSummary], in table: FilledTable, model: Int, rules: String
    ) throws -> [KnownObject] {
        guard !objects.isEmpty else { return [] }
        // Only differences from `changed` travel back. A text array can hold no NULL.
        let rows = try connection.execute(
            """
            SELECT listed.place::integer - 1, refusal.filename IS NOT NULL, refusal.reason
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[]) WITH ORDINALITY
                AS listed (filename, etag, size, place)
            LEFT JOIN \(names[table.rawValue]) AS picture ON picture.filename = listed.filename
                AND picture.etag = listed.etag AND picture.size = listed.size
                AND picture.model = $4 AND picture.embedding IS NOT NULL
            LEFT JOIN \(names["picture_refusals"]) AS refusal ON picture.filename IS NULL
                AND refusal.filename = listed.filename
                AND refusal.etag = listed.etag AND refusal.size = listed.size
                AND refusal.rules = $5
            WHERE listed.etag <> ''
                AND (picture.filename IS NOT NULL OR refusal.filename IS NOT NULL)
            """,
            objects.arrays + [.int32(Int32(model)), .text(rules)])
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

extension PicturesTable {
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
