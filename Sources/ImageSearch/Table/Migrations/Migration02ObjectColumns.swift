extension Migrations {
    /// What a row knows of the object that it was made from: by them a run tells unchanged objects.
    /// `model` is a number of `picture_models`. All are NULL in rows that others insert, but
    /// `stored_at`, which shows whether a row is younger than a listing.
    static let objectColumns = Migration(
        2,
        sql: """
            ALTER TABLE pictures
                ADD COLUMN IF NOT EXISTS etag text,
                ADD COLUMN IF NOT EXISTS size bigint,
                ADD COLUMN IF NOT EXISTS model integer,
                ADD COLUMN IF NOT EXISTS stored_at timestamptz DEFAULT now();
            """)
}
