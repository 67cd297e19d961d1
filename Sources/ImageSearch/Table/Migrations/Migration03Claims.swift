extension Migrations {
    /// Who is at work on which picture; see `docs/ingest.md`.
    ///
    /// Neither table is logged: after a crash of the server they are empty, which costs at most that
    /// pictures in hand are embedded twice (and stored once), and they write no WAL in exchange.
    static let claims = Migration(
        3,
        sql: """
            CREATE UNLOGGED TABLE IF NOT EXISTS picture_workers (
                id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                name text NOT NULL,
                seen_at timestamptz NOT NULL,
                expires_at timestamptz NOT NULL
            );
            CREATE UNLOGGED TABLE IF NOT EXISTS picture_claims (
                model integer NOT NULL,
                filename text NOT NULL,
                worker integer NOT NULL,
                etag text,
                size bigint NOT NULL,
                claimed_at timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (model, filename)
            );
            CREATE INDEX IF NOT EXISTS picture_claims_worker ON picture_claims (worker);
            """)
}
