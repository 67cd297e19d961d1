/// One picture that answers a query.
public struct SearchHit: Sendable, Equatable {
    /// 1 for the nearest.
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
    /// Whether the text was longer than the model reads and was cut.
    public let isTruncated: Bool

    public init(hits: [SearchHit], isTruncated: Bool) {
        self.hits = hits
        self.isTruncated = isTruncated
    }
}

/// Where a browser or a person gets a picture from.
public enum PictureLocation: Sendable, Equatable {
    /// A link that works for a limited time without further rights.
    case presigned(url: String)
    /// A file of this machine, for stores that are directories.
    case file(path: String)
}

/// Searching pictures by text, as the web pages need it. ``Searcher`` is the real one.
///
/// Implementations keep blocking work off Swift's cooperative threads.
public protocol PictureSearch: Sendable {
    /// The `limit` pictures nearest to a text.
    /// - Throws: an error whose description is one sentence fit for a visitor's operator: it names
    ///   what failed and what to do, without secrets.
    func search(_ text: String, limit: Int) async throws -> SearchResult

    /// Where a picture can be got, valid for an hour.
    func location(of key: String) throws -> PictureLocation

    /// Throws when searches cannot be answered now.
    func checkHealth() async throws
}
