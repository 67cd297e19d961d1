import S3Client

/// Turns a query into one vector and asks the table for what is nearest to it.
struct QueryResolver {
    /// Loads the text tower; only called when the query has a text.
    let texts: () throws -> TextEmbedder
    /// The embedding of the picture that is the term at a place.
    let pictures: (Int) throws -> [Float]?

    /// The model; only asked for when the query has a text or a picture.
    let identity: () throws -> ModelIdentity

    /// A query's place in the space that pictures share.
    struct Resolved {
        /// A unit vector, `[embedding dimension]`.
        let vector: [Float]
        let isTruncated: Bool
    }

    func answer(_ query: SearchQuery, from table: PicturesTable) throws -> SearchResult {
        let resolved = try resolve(query, from: table)
        let selection = PicturesTable.Selection(
            limit: query.limit, offset: query.offset, minimumScore: query.minimumScore,
            prefix: query.prefix, isExact: query.isExact)
        var table = table
        // Stored embeddings are of the table's model, whichever that is.
        table.searchModel = try query.isOfStoredPictures ? nil : identity()
        let nearest = try table.nearest(to: resolved.vector, selection)
        return SearchResult(
            hits: nearest.hits, isTruncated: resolved.isTruncated, hasMore: nearest.hasMore)
    }

    /// - Parameter table: asked for stored vectors; nil when there is none to ask.
    func resolve(_ query: SearchQuery, from table: PicturesTable?) throws -> Resolved {
        var parts: [(weight: Double, vector: [Float])] = []
        var isTruncated = false
        for (place, term) in query.terms.enumerated() {
            let vector: [Float]
            switch term.content {
            case .text(let text):
                let embedded = try texts().embed(text)
                isTruncated = isTruncated || embedded.isTruncated
                vector = embedded.embedding
            case .picture:
                guard let embedding = try pictures(place) else {
                    preconditionFailure("pictures are embedded before a query is resolved")
                }
                vector = embedding
            case .key(let key):
                guard let stored = try table?.embedding(of: key) else {
                    throw SearchError.unknownKey(key)
                }
                vector = try Self.unit(stored, key: key)
            case .embedding(let embedding):
                vector = embedding
            }
            if let first = parts.first, first.vector.count != vector.count {
                throw TableError.differentDimension(
                    table: max(first.vector.count, vector.count),
                    model: min(first.vector.count, vector.count))
            }
            parts.append((term.weight, vector))
        }
        return Resolved(vector: try QueryVector.combine(parts), isTruncated: isTruncated)
    }

    /// What other programs stored need not be a unit vector.
    private static func unit(_ vector: [Float], key: String) throws -> [Float] {
        let length = QueryVector.norm(of: vector.lazy.map(Double.init))
        guard length > 0, length.isFinite else {
            throw SearchError.invalid(
                "the picture \(quoted(key)) is stored with an embedding of length zero: embed it again with process-images"
            )
        }
        return vector.map { Float(Double($0) / length) }
    }
}

extension SearchQuery {
    /// Whether no model is needed to answer it.
    fileprivate var isOfStoredPictures: Bool {
        terms.allSatisfy { term in
            if case .key = term.content { true } else { false }
        }
    }
}
