import PGClient

/// The statements that answer one search, in one transaction and one round trip.
///
/// With an index, the inner query takes candidates from it in the index's own terms (its operator,
/// and half precision where it holds that), some more than are wanted; the outer one ranks them by
/// the exact cosine of the stored vectors. So what half precision blurs is the choice at the edge of
/// the candidates only, never a score.
struct NearestPlan {
    private let query: SearchQuery
    let state: SearchState
    private let names: TableNames

    /// pgvector's bounds of `hnsw.ef_search`.
    private static let searchWidths = 40...1_000

    init(_ query: SearchQuery, state: SearchState, names: TableNames) {
        self.names = names
        self.query = query
        self.state = state
    }

    /// One more than is wanted tells whether there is more.
    private var wanted: Int { query.offset + query.limit + 1 }
    /// Half precision moves a cosine by less than 0.001, and mostly by a hundredth of that: neighbours
    /// change places, but few enter or leave.
    private var candidates: Int { wanted + wanted / 4 + 8 }

    private var index: SearchIndex? {
        guard !query.isExact, let index = state.index else { return nil }
        return index
    }

    /// Whether an index is asked for rows of which a filter takes only some.
    var mayMissFiltered: Bool { index != nil && !query.filter.isEmpty }

    /// The search with the settings that it needs, for a transaction of its own.
    func queries(for embedding: [Float]) -> [PGQuery] {
        settings.map { PGQuery("SET LOCAL \($0.name) = \($0.value)") } + [search(embedding)]
    }

    /// How far the index is followed. pgvector gives 40 rows at most unless it is told to go
    /// further, and stops there even when a filter leaves none of them.
    var settings: [(name: String, value: String)] {
        guard let index else { return [] }
        let isFiltered = !query.filter.isEmpty
        let isBeyondWidth = index.method == .hnsw && candidates > Self.searchWidths.upperBound
        var settings: [(String, String)] = []
        // The planner does not know what fetching embeddings costs that are out of line, and takes the
        // whole table for cheaper than it is.
        if !isFiltered, candidates <= Self.searchWidths.upperBound {
            settings.append(("enable_seqscan", "off"))
        }
        switch index.method {
        case .hnsw:
            let width = min(max(Self.width(for: candidates), 40), Self.searchWidths.upperBound)
            settings.append(("hnsw.ef_search", "\(width)"))
            if state.hasIterativeScans, isFiltered || isBeyondWidth {
                settings.append(("hnsw.iterative_scan", "strict_order"))
                if candidates > 5_000 {
                    settings.append(("hnsw.max_scan_tuples", "\(4 * candidates)"))
                }
            }
        case .ivfflat:
            // Twice what pgvector's README starts with, the root of the number of lists.
            let probes = 2 * Int(Double(max(index.lists, 1)).squareRoot().rounded(.up))
            settings.append(("ivfflat.probes", "\(min(max(probes, 1), 32_768))"))
            if state.hasIterativeScans, isFiltered || candidates > 1_000 {
                // IVFFlat has no strict order; the outer query sorts.
                settings.append(("ivfflat.iterative_scan", "relaxed_order"))
            }
        }
        return settings
    }

    /// `hnsw.ef_search` for a number of candidates: docs/scaling.md has the measurements.
    private static func width(for candidates: Int) -> Int { max(200, 2 * candidates) }

    /// The columns beside `filename`, with a comma before them; none in a table of an earlier version.
    private var facts: String { state.hasFacts ? ", width, height, taken_at, camera" : "" }
    private var outerFacts: String { state.hasFacts ? ", \(PictureFacts.columns)" : "" }

    /// The filter's conditions on a row. A column that is NULL meets none.
    private func conditions(_ bind: (PGValue) -> String) -> [String] {
        let filter = query.filter
        var conditions: [String] = []
        if let prefix = filter.prefix {
            conditions.append("starts_with(filename, \(bind(.text(prefix))))")
        }
        if let after = filter.after {
            conditions.append("taken_at >= \(bind(.text(after.text)))::text::timestamp")
        }
        if let before = filter.before {
            conditions.append("taken_at < \(bind(.text(before.text)))::text::timestamp")
        }
        if let camera = filter.camera {
            conditions.append("strpos(lower(camera), lower(\(bind(.text(camera))))) > 0")
        }
        // In whole numbers: a side is longer if it is more than 1.05 times the other.
        switch filter.shape {
        case .landscape: conditions.append("20 * width::bigint > 21 * height::bigint")
        case .portrait: conditions.append("20 * height::bigint > 21 * width::bigint")
        case .square:
            conditions.append(
                "20 * greatest(width, height)::bigint <= 21 * least(width, height)::bigint")
        case nil: break
        }
        if let width = filter.minimumWidth {
            conditions.append("width >= \(bind(.int32(Int32(width))))")
        }
        if let height = filter.minimumHeight {
            conditions.append("height >= \(bind(.int32(Int32(height))))")
        }
        return conditions
    }

    private func search(_ embedding: [Float]) -> PGQuery {
        var values: [PGValue] = [.vector(embedding)]
        func bind(_ value: PGValue) -> String {
            values.append(value)
            return "$\(values.count)"
        }
        let filter = (["embedding IS NOT NULL"] + conditions(bind)).joined(separator: " AND ")
        let limit = bind(.int64(Int64(query.limit + 1)))
        let offset = bind(.int64(Int64(query.offset)))
        let (cosine, vector) = (names.vectorOperator("<=>"), "$1::\(names.vector)")
        guard let index else {
            // Adding zero keeps an index from being taken where every row is to be compared. Were the
            // score computed beside it, every row would be compared twice.
            return PGQuery(
                """
                SELECT filename, 1 - distance AS score\(outerFacts)
                FROM (
                    SELECT filename, (embedding \(cosine) \(vector)) + 0 AS distance\(facts)
                    FROM \(names.pictures)
                    WHERE \(filter)
                    ORDER BY distance, filename
                    LIMIT \(limit) OFFSET \(offset)
                ) AS nearest
                """, values)
        }
        // The index's expression is `embedding` itself or a shorter form of it.
        let type = index.holdsVectors ? "" : "::\(names.vectorSchema).\(index.type)"
        let nearer = names.vectorOperator(index.distance.sqlOperator)
        return PGQuery(
            """
            SELECT filename, 1 - (embedding \(cosine) \(vector)) AS score\(outerFacts)
            FROM (
                SELECT filename, embedding\(facts)
                FROM \(names.pictures)
                WHERE \(filter)
                ORDER BY (embedding\(type)) \(nearer) (\(vector)\(type))
                LIMIT \(bind(.int64(Int64(candidates))))
            ) AS candidates
            ORDER BY (embedding \(cosine) \(vector)) + 0, filename
            LIMIT \(limit) OFFSET \(offset)
            """, values)
    }
}

extension PictureFacts {
    /// What ``init(_:from:)`` reads.
    static let columns = "width, height, to_char(taken_at, 'YYYY-MM-DD\"T\"HH24:MI:SS'), camera"

    /// - Parameter first: the place of the first column in the row.
    init(_ row: PGRow, from first: Int) throws {
        self.init(
            width: try row.isNull(first) ? nil : row.int(first),
            height: try row.isNull(first + 1) ? nil : row.int(first + 1),
            takenAt: try row.isNull(first + 2) ? nil : row.string(first + 2),
            camera: try row.isNull(first + 3) ? nil : row.string(first + 3))
    }
}
