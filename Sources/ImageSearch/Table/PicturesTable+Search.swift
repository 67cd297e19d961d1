import PGClient

extension PicturesTable {
    /// The `limit` pictures nearest to a unit vector.
    /// - Throws: as ``nearest(to:_:)``.
    public func nearest(to embedding: [Float], limit: Int) throws -> [SearchHit] {
        try nearest(to: embedding, SearchQuery(limit: limit)).hits
    }

    /// The pictures nearest to a unit vector that a query wants (its terms are not used), by the index or by comparing
    /// every row. Scores are exact either way; pictures with equal scores come in the order of their keys.
    /// - Throws: ``TableError`` when there is no table, or its dimension is another; `PGError` otherwise.
    public func nearest(to embedding: [Float], _ query: SearchQuery) throws -> SearchResult {
        try explainingFailures(dimension: embedding.count) {
            let state = try searchState()
            guard state.hasFacts || !query.filter.needsFacts else { throw TableError.noFacts }
            let plan = NearestPlan(query: query, state: state, names: names)
            var rows = try run(plan, embedding)
            // An index gives up after a number of rows that a filter refuses: then every row that the
            // filter takes is compared.
            if plan.mayMissFiltered, rows.count <= query.pictureLimit {
                var exact = query
                exact.isExact = true
                rows = try run(NearestPlan(query: exact, state: state, names: names), embedding)
            }
            let hits = try rows.enumerated().map { index, row in
                SearchHit(
                    rank: query.offset + index + 1, key: try row.string(0),
                    score: try row.double(1), facts: try PictureFacts(row, from: 2))
            }
            // A zero vector, which another program may have stored, has no cosine; PostgreSQL sorts NaN last.
            let near = hits.filter { !$0.score.isNaN && $0.score >= query.minimumScore ?? -2 }
            guard query.isStacked else {
                return SearchResult(
                    hits: Array(near.prefix(query.limit)), hasMore: near.count > query.limit)
            }
            return try stacked(near, query) { try rows[$0.rank - query.offset - 1].vector(6) }
        }
    }

    /// Puts each picture below the nearest hit that it is a copy of; ends before the first picture that
    /// would be a hit too many.
    private func stacked(
        _ pictures: [SearchHit], _ query: SearchQuery, embedding: (SearchHit) throws -> [Float]
    ) throws -> SearchResult {
        let found = pictures.prefix(query.pictureLimit)
        let directions = try found.map { QueryVector.direction(of: try embedding($0)) }
        let stackScore = Self.stackScore(of: directions)
        let least = Float(stackScore)
        var hits: [SearchHit] = []
        /// Each hit's place in `directions`.
        var places: [Int] = []
        for (place, picture) in found.enumerated() {
            if let first = places.firstIndex(where: {
                QueryVector.dot(directions[$0], directions[place]) >= least
            }) {
                hits[first].copies.append(picture)
            } else if hits.count < query.limit {
                hits.append(picture)
                places.append(place)
            } else {
                break
            }
        }
        var result = SearchResult(hits: hits, stackScore: stackScore)
        result.hasMore = pictures.count > result.pictureCount
        return result
    }

    /// Pictures whose distances from one another say how close unrelated ones lie.
    private static let comparedPictures = 64

    /// The cosine that makes copies of two of these pictures: 0.96, or more where unrelated pictures lie close
    /// together, as with some models. docs/operations.md has the rule and what it was judged by.
    private static func stackScore(of directions: [[Float]]) -> Double {
        let some = directions.prefix(comparedPictures)
        // Too few to tell.
        guard some.count >= 8 else { return SearchQuery.stackScore }
        let distances = some.indices.flatMap { a in
            some[..<a].map { 1 - Double(QueryVector.dot($0, some[a])) }
        }.sorted()
        let usual = 1 - SearchQuery.stackScore
        let close = distances.prefix { $0 <= usual }.count
        let near = distances.prefix { $0 <= 2 * usual }.count - close
        let far = distances.count - close - near
        // Copies leave a gap behind them, whatever their number; unrelated pictures do not.
        let areRare = close * 500 <= distances.count
        if areRare || 2 * near <= close, far > 0, 4 * near <= far {
            return SearchQuery.stackScore
        }
        let (low, median) = (distances[distances.count / 10], distances[distances.count / 2])
        let distance = max(low * low / (3 * max(median, .leastNormalMagnitude)), 0.0005)
        // It becomes part of an address.
        return max(SearchQuery.stackScore, ((1 - distance) * 1e5).rounded(.down) / 1e5)
    }

    /// - Returns: the rows of a search, after a check that they are of the model that is searched with.
    private func run(_ plan: NearestPlan, _ embedding: [Float]) throws -> [PGRow] {
        let model = plan.state.hasModels ? searchModel : nil
        let queries = [plan.search(embedding)] + (model == nil ? [] : [activeModelQuery])
        let answers: [PGResult]
        do {
            answers = try readAll(queries, settings: plan.settings)
        } catch {
            session.searchState = nil
            throw error
        }
        if let model {
            try check(answers[1].first.map { try ModelIdentity($0) }, searchedWith: model)
        }
        return try plan.page(Array(answers[0]))
    }

    /// The statements of a search's transaction, without its `COMMIT`; the search is the last.
    package func searchQueries(_ embedding: [Float], _ query: SearchQuery) throws -> [PGQuery] {
        session.searchState = nil
        let plan = NearestPlan(query: query, state: try searchState(), names: names)
        return beginReading + plan.settings + [plan.search(embedding)]
    }

    /// The stored embedding of a picture, `[dimension]`; nil when there is no such row, or it has none yet.
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
            try read(
                """
                SELECT \(searchState().facts) FROM \(names.pictures)
                WHERE filename = $1 AND embedding IS NOT NULL
                """, [.text(key)]
            ).first.map { try PictureFacts($0, from: 0) }
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

    /// Pictures from random pages of the table, so that no whole table is read.
    func sample(_ count: Int) throws -> [StoredPicture] {
        try explainingFailures(dimension: nil) {
            let state = try searchState()
            // Of about 5,000 rows.
            let percent = min(100, 500_000 / Double(max(1, try rowEstimate())))
            return try read(
                """
                SELECT filename, \(state.facts)
                FROM \(names.pictures) TABLESAMPLE SYSTEM ($1)
                WHERE embedding IS NOT NULL\(state.hasFacts ? " AND width IS NOT NULL" : "")
                ORDER BY random() LIMIT \(count)
                """, [.double(percent)]
            ).map { try StoredPicture($0) }
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
            session.searchState = nil
            if names != known { return try explainingFailures(dimension: dimension, body) }
            try checkReadable()
            throw error
        } catch let error as PGError
            where error.sqlState?.hasPrefix("42") == true || error.kind == .decoding
        {
            try checkReadable()
            throw error
        } catch let error as PGError where error.sqlState == "22000" {
            // Two models of different dimensions: their names say more than the numbers.
            if let searchModel { try check(activeModel(), searchedWith: searchModel) }
            guard let dimension else { throw error }
            throw TableError.differentDimension(table: try self.dimension(), model: dimension)
        }
    }
}

/// The statements that answer one search, in one transaction and one round trip.
///
/// With an index, the inner query takes candidates from it by the index's operator and precision, some more than are
/// wanted; the outer one ranks them by the exact cosine of the stored vectors. So half precision affects only the
/// choice of the last candidates, never a score. Of a distributed table, ``page(_:)`` ranks them.
struct NearestPlan {
    let query: SearchQuery
    let state: SearchState
    let names: TableNames

    /// pgvector's greatest `hnsw.ef_search`.
    private static let maximumWidth = 1_000

    /// One more than is wanted shows whether there are more.
    private var wanted: Int { query.offset + query.pictureLimit + 1 }
    /// Half precision moves a cosine by less than 0.001, and mostly by a hundredth of that: neighbours
    /// change places, but few enter or leave.
    private var candidates: Int { wanted + wanted / 4 + 8 }

    private var index: SearchIndex? { query.isExact ? nil : state.index }

    /// Whether an index is asked for rows of which a filter takes only some.
    var mayMissFiltered: Bool { index != nil && !query.filter.isEmpty }

    /// What the search needs in its transaction: how far the index is followed. pgvector gives 40 rows at most unless
    /// it is told to go further, and stops there even when a filter leaves none of them.
    var settings: [PGQuery] {
        guard let index else { return [] }
        let isFiltered = !query.filter.isEmpty
        let isBeyondWidth = candidates > Self.maximumWidth
        var settings: [String] = []
        // The planner underestimates what reading the whole table costs: embeddings are stored out of line.
        if !isFiltered, !isBeyondWidth { settings.append("enable_seqscan = off") }
        switch index.method {
        case .hnsw:
            // docs/scaling.md has the measurements.
            let width = min(max(200, 2 * candidates), Self.maximumWidth)
            settings.append("hnsw.ef_search = \(width)")
            if state.hasIterativeScans, isFiltered || isBeyondWidth {
                settings.append("hnsw.iterative_scan = strict_order")
                if candidates > 5_000 {
                    settings.append("hnsw.max_scan_tuples = \(4 * candidates)")
                }
            }
        case .ivfflat:
            // Twice what pgvector's README starts with, the root of the number of lists.
            let probes = 2 * Int(Double(max(index.lists, 1)).squareRoot().rounded(.up))
            settings.append("ivfflat.probes = \(min(probes, 32_768))")
            if state.hasIterativeScans, isFiltered || candidates > 1_000 {
                // IVFFlat has no strict order; the outer query sorts.
                settings.append("ivfflat.iterative_scan = relaxed_order")
            }
        }
        return names.settings(settings)
    }

    /// The columns that ``SearchState/facts`` needs from an inner query.
    private var innerFacts: String { state.hasFacts ? ", width, height, taken_at, camera" : "" }
    /// The embedding, by which copies are found.
    private var copies: String { query.isStacked ? ", embedding" : "" }

    /// The filter's conditions on a row. A column that is NULL meets none.
    private func conditions(_ bind: (PGValue) -> String) -> [String] {
        let filter = query.filter
        // In whole numbers: a side is longer if it is more than 1.05 times the other.
        let shape: String? =
            switch filter.shape {
            case .landscape: "20 * width::bigint > 21 * height::bigint"
            case .portrait: "20 * height::bigint > 21 * width::bigint"
            case .square:
                "20 * greatest(width, height)::bigint <= 21 * least(width, height)::bigint"
            case nil: nil
            }
        return [
            filter.prefix.map { "starts_with(filename, \(bind(.text($0))))" },
            filter.after.map { "taken_at >= \(bind(.text($0.text)))::text::timestamp" },
            filter.before.map { "taken_at < \(bind(.text($0.text)))::text::timestamp" },
            filter.camera.map { "strpos(lower(camera), lower(\(bind(.text($0))))) > 0" },
            shape,
            filter.minimumWidth.map { "width >= \(bind(.int32(Int32($0))))" },
            filter.minimumHeight.map { "height >= \(bind(.int32(Int32($0))))" },
        ].compactMap(\.self)
    }

    /// The rows that are wanted, in their order. Citus would send the candidates with their vectors to another server
    /// for an outer query, so those of a distributed table are ranked here.
    func page(_ rows: [PGRow]) throws -> [PGRow] {
        guard names.isDistributed, index != nil else { return rows }
        let scored = try rows.map { row in
            let score = try row.double(1)
            return (row: row, score: score.isNaN ? -2 : score, key: try row.string(0))
        }
        return scored.sorted {
            $0.score != $1.score
                ? $0.score > $1.score : $0.key.utf8.lexicographicallyPrecedes($1.key.utf8)
        }.dropFirst(query.offset).prefix(query.pictureLimit + 1).map(\.row)
    }

    func search(_ embedding: [Float]) -> PGQuery {
        var values: [PGValue] = [.vector(embedding)]
        func bind(_ value: PGValue) -> String {
            values.append(value)
            return "$\(values.count)"
        }
        let filter = (["embedding IS NOT NULL"] + conditions(bind)).joined(separator: " AND ")
        let page = "LIMIT \(query.pictureLimit + 1) OFFSET \(query.offset)"
        let (cosine, vector) = (names.vectorOperator("<=>"), "$1::\(names.vector)")
        guard let index else {
            // Adding zero keeps PostgreSQL from using an index where every row is to be compared. A score next to
            // the distance would compare every row twice.
            return PGQuery(
                """
                SELECT filename, 1 - distance AS score, \(state.facts)\(copies)
                FROM (
                    SELECT filename, (embedding \(cosine) \(vector)) + 0 AS distance\(innerFacts)\(copies)
                    FROM \(names.pictures)
                    WHERE \(filter)
                    ORDER BY distance, filename
                    \(page)
                ) AS nearest
                """, values)
        }
        // The index's expression is `embedding` itself or a shorter form of it.
        let type = index.holdsVectors ? "" : "::\(names.vectorSchema).\(index.type)"
        let nearer = names.vectorOperator(index.sqlOperator)
        let found = """
            SELECT filename, 1 - (embedding \(cosine) \(vector)) AS score, \(state.facts)\(copies)
            """
        let nearest = """
            FROM \(names.pictures)
            WHERE \(filter)
            ORDER BY (embedding\(type)) \(nearer) (\(vector)\(type))
            LIMIT \(candidates)
            """
        if names.isDistributed { return PGQuery("\(found) \(nearest)", values) }
        return PGQuery(
            """
            \(found)
            FROM (SELECT filename, embedding\(innerFacts) \(nearest)) AS candidates
            ORDER BY (embedding \(cosine) \(vector)) + 0, filename
            \(page)
            """, values)
    }
}

extension StoredPicture {
    /// - Parameter row: the key, then the facts.
    init(_ row: PGRow) throws {
        self.init(key: try row.string(0), facts: try PictureFacts(row, from: 1))
    }
}

extension PictureFacts {
    /// - Parameter first: the place of the first column of ``SearchState/facts`` in the row.
    init(_ row: PGRow, from first: Int) throws {
        self.init(
            width: try row.isNull(first) ? nil : row.int(first),
            height: try row.isNull(first + 1) ? nil : row.int(first + 1),
            takenAt: try row.isNull(first + 2) ? nil : row.string(first + 2),
            camera: try row.isNull(first + 3) ? nil : row.string(first + 3))
    }
}
