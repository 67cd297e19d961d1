import PGClient

extension PicturesTable {
    /// The pictures that were found, and whether more come after them.
    public struct Nearest: Sendable, Equatable {
        public let hits: [SearchHit]
        public let hasMore: Bool
    }

    /// The `limit` pictures whose embeddings make the smallest angle with a unit vector.
    /// - Throws: as ``nearest(to:_:)``.
    public func nearest(to embedding: [Float], limit: Int) throws -> [SearchHit] {
        try nearest(to: embedding, SearchQuery(limit: limit)).hits
    }

    /// The part of the answer that a query wants: the pictures whose embeddings make the smallest angle
    /// with a unit vector (the query's terms are not used), by the index that is
    /// there or by comparing every row. Scores are exact either way; pictures with equal scores come
    /// in the order of their keys.
    /// - Throws: ``TableError`` when there is no table, or its dimension is another; `PGError`
    ///   otherwise.
    public func nearest(to embedding: [Float], _ query: SearchQuery) throws -> Nearest {
        try explainingFailures(dimension: embedding.count) {
            let state = try searchState()
            guard state.hasFacts || !query.filter.needsFacts else { throw TableError.noFacts }
            let plan = NearestPlan(query, state: state, names: names)
            var rows = try run(plan, embedding)
            // An index gives up after so many rows that a filter refuses: then every row that the
            // filter takes is compared.
            if plan.mayMissFiltered, rows.count <= query.limit {
                var exact = query
                exact.isExact = true
                rows = try run(NearestPlan(exact, state: state, names: names), embedding)
            }
            let hits = try rows.enumerated().map { index, row in
                SearchHit(
                    rank: query.offset + index + 1, key: try row.string(0),
                    score: try row.double(1),
                    facts: state.hasFacts ? try PictureFacts(row, from: 2) : PictureFacts())
            }
            // A row that some other program stored with a zero vector has no angle with anything;
            // PostgreSQL sorts NaN last.
            let near = hits.filter { !$0.score.isNaN && $0.score >= query.minimumScore ?? -2 }
            return Nearest(
                hits: Array(near.prefix(query.limit)), hasMore: near.count > query.limit)
        }
    }

    /// - Returns: the rows of a search, after a check that they are of the model that is searched with.
    private func run(_ plan: NearestPlan, _ embedding: [Float]) throws -> [PGRow] {
        let model = plan.state.hasModels ? searchModel : nil
        let search = beginReading + plan.queries(for: embedding)
        let answers: [PGResult]
        do {
            answers = try connection.pipeline(
                search + (model == nil ? [] : [activeModelQuery]) + [PGQuery("COMMIT")])
        } catch {
            searchStateCache.forget()
            throw error
        }
        if let model { try checkSearched(with: model, Array(answers[search.count])) }
        return Array(answers[search.count - 1])
    }

    /// The statements of a search's transaction, without its `COMMIT`; the search is the last.
    package func searchQueries(_ embedding: [Float], _ query: SearchQuery) throws -> [PGQuery] {
        searchStateCache.forget()
        let plan = NearestPlan(query, state: try searchState(), names: names)
        return beginReading + plan.queries(for: embedding)
    }

    /// The stored embedding of a picture, `[dimension]`; nil when there is no such row, or it has
    /// none yet.
    /// - Throws: as ``nearest(to:_:)``.
    public func embedding(of key: String) throws -> [Float]? {
        // No key that PostgreSQL stores holds one.
        guard !key.utf8.contains(0) else { return nil }
        return try explainingFailures(dimension: nil) {
            let rows = try read(
                "SELECT embedding FROM \(names.pictures) WHERE filename = $1 AND embedding IS NOT NULL",
                [.text(key)])
            return try rows.first?.vector(0)
        }
    }

    /// What a row knows of its picture; nil when there is no such row, or it has no embedding yet.
    /// - Throws: as ``nearest(to:_:)``.
    public func facts(of key: String) throws -> PictureFacts? {
        guard !key.utf8.contains(0) else { return nil }
        return try explainingFailures(dimension: nil) {
            let hasFacts = try searchState().hasFacts
            let rows = try read(
                """
                SELECT \(hasFacts ? PictureFacts.columns : "1") FROM \(names.pictures)
                WHERE filename = $1 AND embedding IS NOT NULL
                """, [.text(key)])
            return try rows.first.map { hasFacts ? try PictureFacts($0, from: 0) : PictureFacts() }
        }
    }

    /// The small copy of a picture; nil when there is none, or it is of a former object of that key.
    /// - Throws: as ``nearest(to:_:)``.
    public func preview(of key: String) throws -> PicturePreview? {
        guard !key.utf8.contains(0) else { return nil }
        return try explainingFailures(dimension: nil) {
            guard try searchState().hasPreviews else { return nil }
            let rows = try read(
                """
                SELECT preview.type, preview.bytes FROM \(names["picture_previews"]) AS preview
                JOIN \(names.pictures) AS picture ON picture.filename = preview.filename
                    AND picture.etag IS NOT DISTINCT FROM preview.etag
                WHERE preview.filename = $1 AND picture.embedding IS NOT NULL
                """, [.text(key)])
            return try rows.first.map {
                PicturePreview(type: try $0.string(0), bytes: try $0.bytes(1))
            }
        }
    }

    /// Whether the table holds any embedding.
    /// - Throws: as ``nearest(to:_:)``.
    public func hasPictures() throws -> Bool {
        try explainingFailures(dimension: nil) {
            try !read("SELECT 1 FROM \(names.pictures) WHERE embedding IS NOT NULL LIMIT 1").isEmpty
        }
    }

    /// Runs a query of the table, and says what is wrong with the table when it fails for that.
    private func explainingFailures<T>(dimension: Int?, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as PGError where error.isUndefinedTable || error.isUndefinedObject {
            // A table that was created since the names were looked up may be in another schema.
            let known = names
            try findNames()
            searchStateCache.forget()
            if names != known { return try explainingFailures(dimension: dimension, body) }
            // Without the extension, the type or operator is what is missing first.
            guard try columns().isEmpty else { throw error }
            throw TableError.noTable
        } catch let error as PGError where error.sqlState == "22000" {
            // Two models of different dimensions: their names say more than the numbers.
            if let searchModel { try checkSearched(with: searchModel) }
            guard let dimension else { throw error }
            throw TableError.differentDimension(table: try self.dimension(), model: dimension)
        }
    }
}
