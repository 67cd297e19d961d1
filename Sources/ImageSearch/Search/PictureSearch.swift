/// One picture that answers a query.
public struct SearchHit: Sendable, Equatable {
    /// 1 for the nearest; counts the pictures that were passed over.
    public let rank: Int
    /// The picture's key in the bucket.
    public let key: String
    /// Cosine of the angle between query and picture, -1 to 1.
    public let score: Double

    public init(rank: Int, key: String, score: Double) {
        self.rank = rank
        self.key = key
        self.score = score
    }
}

/// What a search found.
public struct SearchResult: Sendable, Equatable {
    /// Nearest first.
    public let hits: [SearchHit]
    /// Whether a text was longer than the model reads and was cut.
    public let isTruncated: Bool
    /// Whether more pictures come after these: there is something at `offset + limit`.
    public let hasMore: Bool

    public init(hits: [SearchHit], isTruncated: Bool, hasMore: Bool = false) {
        self.hits = hits
        self.isTruncated = isTruncated
        self.hasMore = hasMore
    }
}

/// Where a browser or a person gets a picture from.
public enum PictureLocation: Sendable {
    /// A link that works for a limited time without further rights.
    case presigned(url: String)
    /// A file of this machine, for stores that are directories. Opening it blocks and throws
    /// ``PictureSourceError``; a descriptor, unlike a path, cannot be led elsewhere later.
    case file(open: @Sendable () throws -> OpenedFile)
}

/// Searching pictures by texts and pictures, as the web pages need it. ``Searcher`` is the real one.
///
/// Implementations keep blocking work off Swift's cooperative threads.
public protocol PictureSearch: Sendable {
    /// The pictures nearest to a query.
    /// - Throws: ``SearchError`` for what a visitor asked wrongly or what is away for the moment; any
    ///   other error is a fault of the installation. All describe themselves in one sentence fit for
    ///   the operator: it names what failed and what to do, without secrets.
    func search(_ query: SearchQuery) async throws -> SearchResult

    /// Where a picture can be got, valid for an hour.
    func location(of key: String) throws -> PictureLocation

    /// Throws when searches cannot be answered now.
    func checkHealth() async throws
}

extension PictureSearch {
    /// The `limit` pictures nearest to a text.
    public func search(_ text: String, limit: Int) async throws -> SearchResult {
        try await search(SearchQuery(text, limit: limit))
    }
}
