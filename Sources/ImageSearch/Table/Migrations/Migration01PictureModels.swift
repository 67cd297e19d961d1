extension Migrations {
    /// The models that the table's embeddings were made with. At most one of them is active: the one
    /// whose embeddings `pictures` holds; and at most one is next: the one whose embeddings
    /// `pictures_next` is being filled with. Everybody may read them, since every search asks.
    static let pictureModels = Migration(
        1,
        sql: """
            CREATE TABLE IF NOT EXISTS picture_models (
                id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                name text NOT NULL,
                digest text NOT NULL,
                dimension integer NOT NULL,
                precision text NOT NULL,
                active_since timestamptz,
                next_since timestamptz,
                UNIQUE (digest, precision)
            );
            CREATE UNIQUE INDEX IF NOT EXISTS picture_models_active
                ON picture_models ((true)) WHERE active_since IS NOT NULL;
            CREATE UNIQUE INDEX IF NOT EXISTS picture_models_next
                ON picture_models ((true)) WHERE next_since IS NOT NULL;
            GRANT SELECT ON picture_models TO PUBLIC;
            """)
}
