extension Migrations {
    /// Objects that hold no picture that could be embedded, so that the next run need not fetch them
    /// again while they are unchanged. `reason` is NULL for what never claimed to be a picture;
    /// `rules` names the decoder and its limits, with another of which an object gets another chance.
    static let refusals = Migration(
        4,
        sql: """
            CREATE TABLE IF NOT EXISTS picture_refusals (
                filename text PRIMARY KEY,
                etag text NOT NULL,
                size bigint NOT NULL,
                rules text NOT NULL,
                reason text
            );
            """)
}
