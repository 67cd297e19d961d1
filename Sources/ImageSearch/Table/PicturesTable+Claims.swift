import PGClient
import S3Client

/// How workers on any number of machines share a bucket.
///
/// A worker has a row in `picture_workers`, which it renews, and holds an advisory lock on the row's
/// number for as long as its connection lives. A picture that it is at work on has a row in
/// `picture_claims`. A worker is gone when its time has expired (a machine that was lost), or as soon
/// as its lock is free (a process that died): PostgreSQL frees it with the connection. After a restart
/// of the server nobody's lock is held for a moment; until a worker has come back, only its time counts.
/// All times are the database's.
extension PicturesTable {
    /// First half of the advisory locks' numbers: "clip" in ASCII.
    private static let lockClass = "1668049264"

    /// A query for the numbers of the workers that are alive.
    private var livingWorkers: String {
        """
        SELECT worker.id FROM \(names["picture_workers"]) AS worker
        WHERE worker.expires_at > now() AND (worker.seen_at <= pg_postmaster_start_time() OR EXISTS (
            SELECT FROM pg_locks AS held
            WHERE held.locktype = 'advisory' AND held.granted
                AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND held.classid = \(Self.lockClass) AND held.objsubid = 2
                AND held.objid = worker.id::oid))
        """
    }

    // MARK: Workers

    /// Makes this connection a worker's.
    /// - Parameter known: the worker's number if it had one, on a connection that was lost.
    /// - Returns: its number.
    func enrol(_ name: String, lease: Duration, known: Int? = nil) throws -> Int {
        try connection.transaction {
            let number: Int
            if let known {
                number = known
                try connection.execute(
                    """
                    INSERT INTO \(names["picture_workers"]) (id, name, seen_at, expires_at)
                    OVERRIDING SYSTEM VALUE
                    VALUES ($1, $2, now(), now() + $3 * interval '1 second')
                    ON CONFLICT (id) DO UPDATE
                        SET seen_at = excluded.seen_at, expires_at = excluded.expires_at
                    """, [.int32(Int32(known)), .text(name), .double(lease / .seconds(1))])
            } else {
                let rows = try connection.execute(
                    """
                    INSERT INTO \(names["picture_workers"]) (name, seen_at, expires_at)
                    VALUES ($1, now(), now() + $2 * interval '1 second') RETURNING id
                    """, [.text(name), .double(lease / .seconds(1))])
                guard let row = rows.first else { throw TableError.noTable }
                number = try row.int(0)
            }
            // Before others see the row. The lock of a connection that was lost may still be held, by
            // the server's process for it; then that one is a sign of life until it is noticed.
            try connection.execute(
                "SELECT pg_try_advisory_lock(\(Self.lockClass), $1)", [.int32(Int32(number))])
            return number
        }
    }

    /// Says that the worker is alive, and sees to it that it holds its lock.
    func renew(_ worker: Int, name: String, lease: Duration) throws {
        let renewed = try connection.execute(
            """
            UPDATE \(names["picture_workers"]) SET seen_at = now(),
                expires_at = now() + $2 * interval '1 second'
            WHERE id = $1
            """, [.int32(Int32(worker)), .double(lease / .seconds(1))])
        let held = try connection.execute(
            """
            SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
                AND classid = \(Self.lockClass) AND objid = $1::integer::oid AND objsubid = 2
            """, [.int32(Int32(worker))])
        if renewed.affectedRows == 0 || held.isEmpty {
            _ = try enrol(name, lease: lease, known: worker)
        }
    }

    /// Takes the worker and what it still claims away.
    func dismiss(_ worker: Int) throws {
        try connection.transaction {
            try connection.execute(
                "DELETE FROM \(names["picture_claims"]) WHERE worker = $1", [.int32(Int32(worker))])
            try connection.execute(
                "DELETE FROM \(names["picture_workers"]) WHERE id = $1", [.int32(Int32(worker))])
        }
    }

    /// Forgets workers that are gone, and if none is left, all claims: a listing that begins now will
    /// meet their pictures again. While others are at work they wait for those claims' pictures.
    func forgetTheDead() throws {
        try connection.transaction {
            try connection.execute(
                "DELETE FROM \(names["picture_workers"]) WHERE id NOT IN (\(livingWorkers))")
            try connection.execute(
                "DELETE FROM \(names["picture_claims"]) WHERE NOT EXISTS (SELECT FROM \(names["picture_workers"]))"
            )
        }
    }

    // MARK: Claims

    /// Claims objects for a worker. All of them get claimed that no other worker has; claiming again
    /// what one has changes nothing.
    /// - Returns: for each object whether the worker has it now.
    func claim(_ objects: [ObjectSummary], worker: Int, model: Int) throws -> [Bool] {
        guard !objects.isEmpty else { return [] }
        let rows = try connection.execute(
            """
            INSERT INTO \(names["picture_claims"]) AS claim (model, filename, worker, etag, size)
            SELECT $4, listed.filename, $5, nullif(listed.etag, ''), listed.size
            FROM unnest($1::text[], $2::text[], $3::text[]::bigint[])
                AS listed (filename, etag, size)
            ORDER BY listed.filename
            ON CONFLICT (model, filename) DO UPDATE
                SET etag = excluded.etag, size = excluded.size
                WHERE claim.worker = excluded.worker
            RETURNING filename
            """,
            objects.arrays + [.int32(Int32(model)), .int32(Int32(worker))])
        // By bytes: to Swift, two spellings of é are equal.
        let claimed = Set(try rows.map { Array(try $0.string(0).utf8) })
        return objects.map { claimed.contains(Array($0.key.utf8)) }
    }

    /// Gives claims back.
    func release(_ keys: [String], worker: Int, model: Int) throws {
        guard !keys.isEmpty else { return }
        try connection.execute(
            """
            DELETE FROM \(names["picture_claims"])
            WHERE model = $1 AND worker = $2 AND filename = ANY ($3::text[])
            """, [.int32(Int32(model)), .int32(Int32(worker)), .textArray(keys)])
    }

    /// Takes over claims of workers that are gone.
    func takeOver(worker: Int, model: Int, limit: Int) throws -> [ObjectSummary] {
        try connection.execute(
            """
            WITH orphans AS MATERIALIZED (
                SELECT filename FROM \(names["picture_claims"])
                WHERE model = $1 AND worker NOT IN (\(livingWorkers))
                LIMIT $3 FOR UPDATE SKIP LOCKED)
            UPDATE \(names["picture_claims"]) AS claim SET worker = $2
            FROM orphans WHERE claim.model = $1 AND claim.filename = orphans.filename
            RETURNING claim.filename, claim.size, claim.etag
            """, [.int32(Int32(model)), .int32(Int32(worker)), .int64(Int64(limit))]
        ).map { row in
            ObjectSummary(
                key: try row.string(0), size: Int64(try row.int(1)),
                etag: try row.isNull(2) ? nil : try row.string(2))
        }
    }

    /// Microseconds since 1970, by the database's clock.
    func now() throws -> Int64 {
        try connection.execute("SELECT now()").first?.unixMicroseconds(0) ?? 0
    }

    /// How many pictures other workers have in hand since before a time.
    func claimsOfOthers(than worker: Int, model: Int, before time: Int64) throws -> Int {
        try connection.execute(
            """
            SELECT count(*) FROM \(names["picture_claims"]) WHERE model = $1 AND worker <> $2
                AND claimed_at <= to_timestamp($3::double precision / 1000000)
            """, [.int32(Int32(model)), .int32(Int32(worker)), .int64(time)]
        ).first?.int(0) ?? 0
    }
}
