/// Stands for a search that is still being made ready (its model may have to be downloaded), so that a
/// server can already say so.
public final class DeferredSearch: PictureSearch {
    /// The search is not ready yet; it will be.
    public struct NotReady: Error, CustomStringConvertible {
        public var description: String { "the model is still being loaded" }
    }

    private struct Parts: Sendable {
        let search: CachedSearch
        let pictures: PictureEmbedder
    }

    private let parts = Monitor(Parts?.none)

    public init() {}

    /// Loads the model and makes the search ready, on a thread of its own.
    ///
    /// - Parameter modelPath: finds the model file; may take as long as a download.
    /// - Throws: what `modelPath` throws, `SettingsError` for a missing variable, or the error of an
    ///   unusable model file.
    public func load(
        _ settings: Settings, modelPath: @escaping @Sendable () throws -> String
    ) async throws {
        let loaded = try await withCheckedThrowingContinuation { continuation in
            do {
                try WorkerThread.start {
                    continuation.resume(
                        with: Result {
                            let searcher = try Searcher(settings, modelPath: modelPath())
                            return Parts(
                                search: try CachedSearch(searcher, texts: searcher.texts),
                                pictures: searcher.pictures)
                        })
                }
            } catch {
                continuation.resume(throwing: error)
            }
        }
        parts.update { $0 = loaded }
    }

    private func ready() throws(NotReady) -> Parts {
        guard let parts = parts.read({ $0 }) else { throw NotReady() }
        return parts
    }

    public func search(_ query: SearchQuery) async throws -> SearchResult {
        try await ready().search.search(query)
    }

    public func location(of key: String) throws -> PictureLocation {
        try ready().search.location(of: key)
    }

    public func checkHealth() async throws { try await ready().search.checkHealth() }

    /// The embedding of a picture file; see ``PictureEmbedder``.
    public func embed(_ file: [UInt8]) throws -> [Float] { try ready().pictures.embed(file) }

    /// What the cache of texts has done; nil while there is none.
    public var textStatistics: CacheStatistics? {
        parts.read { $0 }.map(\.search.statistics)
    }
}
