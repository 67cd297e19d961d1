import ClipCore

/// A search that computes each text's embedding once: those of the texts asked for last are kept, up to
/// a bound. Searches themselves are always made anew, so that answers are never out of date.
///
/// Texts are told apart by their tokens, so `A  Cat` and `a cat` are the same. Of searches for one text
/// that come at the same time, one computes and the others wait for it.
public final class CachedSearch: PictureSearch {
    /// What the cache has done and holds.
    public struct Statistics: Sendable {
        public var hits = 0
        public var misses = 0
        /// Texts that are held.
        public var count = 0
    }

    private enum Entry: Sendable {
        case ready([Float])
        case computing(Task<[Float], any Error>)
    }

    private struct State {
        var cache: LRUCache<[Int32], Entry>
        var statistics = Statistics()
    }

    /// Texts that wait to be embedded; more are refused at once rather than late.
    private static let maximumWaiting = 256

    private let base: any PictureSearch
    private let tokenizer = Tokenizer()
    private let embedder: TextEmbedder
    private let threads: SearchThreads<Void>
    private let state: Monitor<State>

    /// - Parameters:
    ///   - base: makes the searches; must use the same model.
    ///   - capacity: texts that are held, some 2.5 kB each.
    /// - Throws: the error of an unusable model file.
    public init(_ base: any PictureSearch, modelPath: String, capacity: Int = 10_000) throws {
        self.base = base
        embedder = try TextEmbedder(modelPath: modelPath)
        threads = try SearchThreads(
            count: WorkerThread.processorCount, maximumWaiting: Self.maximumWaiting, resource: {})
        state = Monitor(State(cache: LRUCache(capacity: capacity)))
    }

    public var statistics: Statistics {
        state.read { state in
            var statistics = state.statistics
            statistics.count = state.cache.count
            return statistics
        }
    }

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
            let tokens = tokenizer.encode(text, contextLength: embedder.contextLength)
            isTruncated = isTruncated || tokens.isTruncated
            let embedding = try await embedding(of: text, tokens: tokens.ids)
            resolved.terms.append(.init(.embedding(embedding), weight: term.weight))
        }
        let result = try await base.search(resolved)
        return SearchResult(
            hits: result.hits, isTruncated: result.isTruncated || isTruncated,
            hasMore: result.hasMore)
    }

    private func embedding(of text: String, tokens: [Int32]) async throws -> [Float] {
        let entry = state.update { state -> Entry in
            if let entry = state.cache.value(for: tokens) {
                state.statistics.hits += 1
                return entry
            }
            state.statistics.misses += 1
            // Not the caller's child: whoever else waits for it needs it even if the caller leaves.
            let task = Task { [threads, embedder] in
                try await threads.run { try embedder.embed(text).embedding }
            }
            state.cache.insert(.computing(task), for: tokens)
            return .computing(task)
        }
        switch entry {
        case .ready(let embedding): return embedding
        case .computing(let task):
            do {
                let embedding = try await task.value
                state.update { $0.cache.insert(.ready(embedding), for: tokens) }
                return embedding
            } catch {
                state.update { $0.cache.remove(tokens) }
                throw error
            }
        }
    }

    public func location(of key: String) throws -> PictureLocation { try base.location(of: key) }

    public func checkHealth() async throws { try await base.checkHealth() }
}
