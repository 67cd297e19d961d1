import ClipCore

/// A search that computes each text's embedding once: those of the texts asked for last are kept, up to
/// a bound. Searches themselves are always made anew, so that answers are never out of date.
///
/// Texts are told apart by their tokens, so `A  Cat` and `a cat` are the same. Of searches for one text
/// that come at the same time, one computes and the others wait for it.
public final class CachedSearch: PictureSearch {
    /// Texts that wait to be embedded; more are refused at once rather than late.
    private static let maximumWaiting = 256

    private let base: any PictureSearch
    private let texts: TextEmbedder
    private let threads: SearchThreads<Void>
    private let embeddings: ComputedCache<[Int32], [Float]>

    /// - Parameters:
    ///   - base: makes the searches.
    ///   - texts: embeds texts with the same model.
    ///   - capacity: texts that are held, some 2.5 kB each.
    init(_ base: any PictureSearch, texts: TextEmbedder, capacity: Int = 10_000) throws {
        self.base = base
        self.texts = texts
        threads = try SearchThreads(
            count: WorkerThread.processorCount, maximumWaiting: Self.maximumWaiting, resource: {})
        embeddings = ComputedCache(capacity: capacity)
    }

    /// What has become of texts.
    public var statistics: CacheStatistics { embeddings.statistics }

    public func search(_ query: SearchQuery) async throws -> SearchResult {
        try query.check()
        var resolved = query
        resolved.terms = []
        var isTruncated = false
        for term in query.terms {
            guard case .text(let text) = term.content else {
                resolved.terms.append(term)
                continue
            }
            let tokens = texts.tokens(of: text)
            isTruncated = isTruncated || tokens.isTruncated
            let embedding = try await embeddings.value(for: tokens.ids) { [threads, texts] in
                try await threads.run { try texts.embed(tokens).embedding }
            }
            resolved.terms.append(.init(.embedding(embedding), weight: term.weight))
        }
        let result = try await base.search(resolved)
        return SearchResult(
            hits: result.hits, isTruncated: result.isTruncated || isTruncated,
            hasMore: result.hasMore)
    }

    public func location(of key: String) throws -> PictureLocation { try base.location(of: key) }

    public func checkHealth() async throws { try await base.checkHealth() }
}
