import ClipCore
import PGClient
import S3Client

/// Answers searches for a server: many at once, each on one of a fixed number of threads that own
/// their database connections.
///
/// Pictures that are searched with are decoded and encoded on threads of their own, few of them: one
/// takes as long as many texts, and its pixels take memory.
public final class Searcher: PictureSearch {
    /// A visitor waits no longer than this for the database.
    private static let longestStatement = Duration.seconds(10)
    private static let maximumWaiting = 256
    /// Fewer than texts: their bytes are held while they wait.
    private static let maximumWaitingPictures = 16

    /// The model's two towers, for whoever embeds beside the searches.
    let texts: TextEmbedder
    let pictures: PictureEmbedder
    private let store: any ObjectStore
    private let threads: SearchThreads<SearchConnection>
    private let pictureThreads: SearchThreads<Void>

    /// - Parameters:
    ///   - threads: searches computed at the same time, each with a database connection; by default
    ///     two a processor, since a search spends about half its time waiting for the database, but
    ///     at most 16.
    ///   - pictureThreads: pictures decoded and encoded at the same time; by default one for every
    ///     two processors.
    /// - Throws: `SettingsError` for a missing variable, or the error of an unusable model file.
    public init(
        _ settings: Settings, modelPath: String, threads: Int? = nil, pictureThreads: Int? = nil
    ) throws {
        let route = try settings.searchRoute()
        store = try settings.objectStore()
        let activation = try settings.activation()
        texts = try TextEmbedder(modelPath: modelPath, activation: activation)
        pictures = PictureEmbedder(
            modelPath: modelPath, activation: activation, precision: try settings.precision())
        self.threads = try SearchThreads(
            count: threads ?? min(2 * WorkerThread.processorCount, 16),
            maximumWaiting: Self.maximumWaiting
        ) {
            SearchConnection(
                route, applicationName: "web-app", responseTimeout: Self.longestStatement)
        }
        self.pictureThreads = try SearchThreads(
            count: pictureThreads ?? max(1, WorkerThread.processorCount / 2),
            maximumWaiting: Self.maximumWaitingPictures, resource: {})
    }

    public func search(_ query: SearchQuery) async throws -> SearchResult {
        try query.check()
        do {
            let pictures = try await embedPictures(of: query)
            return try await threads.run { [texts] connection in
                let resolver = QueryResolver(
                    texts: { texts }, pictures: { pictures[$0] }, identity: { texts.identity })
                return try connection.withTable { try resolver.answer(query, from: $0) }
            }
        } catch {
            throw SearchError.of(error)
        }
    }

    /// The embeddings of a query's pictures, by the terms' places.
    private func embedPictures(of query: SearchQuery) async throws -> [Int: [Float]] {
        var embeddings: [Int: [Float]] = [:]
        for (place, term) in query.terms.enumerated() {
            guard case .picture(let bytes) = term.content else { continue }
            embeddings[place] = try await pictureThreads.run { [pictures] in
                try pictures.embed(bytes)
            }
        }
        return embeddings
    }

    public func location(of key: String) throws -> PictureLocation {
        if let directory = store as? DirectoryBucket {
            try directory.check(key)
            return .file {
                do {
                    return try directory.open(key)
                } catch {
                    throw PictureSourceError(error)
                }
            }
        }
        return .presigned(url: try store.presignedURL(for: key))
    }

    public func checkHealth() async throws {
        do {
            try await threads.run { connection in
                try connection.withTable { _ = try $0.dimension() }
            }
        } catch {
            throw SearchError.of(error)
        }
    }
}
