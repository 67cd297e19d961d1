import PGClient

extension PicturesTable {
    /// A model that the database knows.
    struct KnownModel: Sendable {
        /// Its number in `picture_models`.
        let id: Int
        let identity: ModelIdentity
        /// Whether `pictures` holds its embeddings.
        let isActive: Bool
        /// Whether it is to replace the active one: its embeddings go into the second set of columns.
        let isNext: Bool
    }

    /// All models that the database knows; none when the table is of an earlier version.
    func models() throws -> [KnownModel] {
        guard try exists("picture_models") else { return [] }
        return try connection.execute(
            """
            SELECT name, digest, dimension, precision, id, active_since IS NOT NULL,
                next_since IS NOT NULL
            FROM \(names["picture_models"]) ORDER BY id
            """
        ).map { row in
            KnownModel(
                id: try row.int(4), identity: try ModelIdentity(row), isActive: try row.bool(5),
                isNext: try row.bool(6))
        }
    }

    /// The model whose embeddings the table holds; nil when it is unknown.
    public func activeModel() throws -> ModelIdentity? {
        try models().first(where: \.isActive)?.identity
    }

    /// Makes sure that embeddings of this model belong into `pictures`.
    ///
    /// A table whose model is unknown (the demo filled it, it was restored alone, or it is empty) becomes
    /// this model's: its dimension fits, and rows with another number, or with none, are embedded again.
    /// - Returns: the model's number.
    /// - Throws: ``TableError/otherModel(table:given:)`` when the table holds another model's.
    func adopt(_ model: ModelIdentity) throws -> Int {
        try connection.transaction {
            try lockDefinitions()
            let active = try models().first(where: \.isActive)
            if let active {
                if active.identity.isSame(as: model) { return active.id }
                if try hasPictures() {
                    throw TableError.otherModel(table: active.identity, given: model)
                }
            }
            let table = try dimension()
            guard table == model.dimension else {
                throw TableError.differentDimension(table: table, model: model.dimension)
            }
            try connection.execute(
                "UPDATE \(names["picture_models"]) SET active_since = NULL WHERE active_since IS NOT NULL"
            )
            let id = try register(model)
            try connection.execute(
                "UPDATE \(names["picture_models"]) SET active_since = now() WHERE id = $1",
                [.int32(Int32(id))])
            return id
        }
    }

    /// The number of a model, which is added if it is new.
    ///
    /// New numbers are derived from the model, so that they mean the same in every database: rows that
    /// were copied from another one never seem to be of a model that they are not of. Earlier versions
    /// counted from 1, and those numbers stay.
    func register(_ model: ModelIdentity) throws -> Int {
        try connection.execute(
            """
            INSERT INTO \(names["picture_models"]) (id, name, digest, dimension, precision)
            OVERRIDING SYSTEM VALUE VALUES ($5, $1, $2, $3, $4)
            ON CONFLICT (digest, precision) DO UPDATE SET name = excluded.name
            RETURNING id
            """,
            [
                .text(model.name), .text(model.digest), .int32(Int32(model.dimension)),
                .text(model.precision), .int32(model.number),
            ])[0].int(0)
    }

    /// Asks which model's embeddings the table holds.
    ///
    /// Read after a search: the model that is active by then is that of the searched columns or a later one, so a
    /// replacement is never overlooked.
    var activeModelQuery: PGQuery {
        PGQuery(
            """
            SELECT name, digest, dimension, precision FROM \(names["picture_models"])
            WHERE active_since IS NOT NULL
            """)
    }

    /// Refuses the answer to a search with another model than the table's, which is meaningless.
    /// - Parameter active: nil for a table that other programs filled.
    func check(_ active: ModelIdentity?, searchedWith model: ModelIdentity) throws {
        guard let active, active.digest != model.digest else { return }
        throw TableError.otherModelSearched(table: active, given: model)
    }
}

extension ModelIdentity {
    /// - Parameter row: name, digest, dimension and precision.
    init(_ row: PGRow) throws {
        self.init(
            name: try row.string(0), digest: try row.string(1), dimension: try row.int(2),
            precision: try row.string(3))
    }
    /// Whether two models' picture embeddings are the same. Names are for people.
    package func isSame(as other: ModelIdentity) -> Bool {
        digest == other.digest && precision == other.precision
    }
}
