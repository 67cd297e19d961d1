import ClipCore
import PGClient
import S3Client

/// One picture that answers a query.
public struct SearchHit: Sendable, Equatable {
    /// 1 for the nearest picture of all; skipped pictures count.
    public let rank: Int
    /// The picture's key in the bucket.
    public let key: String
    /// Cosine of the angle between query and picture, -1 to 1.
    public let score: Double
    /// All nil where the row does not say.
    public let facts: PictureFacts
    /// Near-duplicates that come later, in a stacked search; each has its own rank.
    public var copies: [SearchHit]

    public init(
        rank: Int, key: String, score: Double, facts: PictureFacts = PictureFacts(),
        copies: [SearchHit] = []
    ) {
        self.rank = rank
        self.key = key
        self.score = score
        self.facts = facts
        self.copies = copies
    }
}

/// The answer to a query.
public struct SearchResult: Sendable, Equatable {
    /// Nearest first.
    public let hits: [SearchHit]
    /// Whether a text was longer than the model's context and was cut.
    public internal(set) var isTruncated: Bool
    /// Whether there is a picture at `offset + pictureCount`.
    public internal(set) var hasMore: Bool
    /// The least cosine between a hit and its copies, in a stacked search.
    public let stackScore: Double
    /// Hits and their copies.
    public var pictureCount: Int { hits.reduce(0) { $0 + 1 + $1.copies.count } }

    public init(
        hits: [SearchHit], isTruncated: Bool = false, hasMore: Bool = false,
        stackScore: Double = SearchQuery.stackScore
    ) {
        self.hits = hits
        self.isTruncated = isTruncated
        self.hasMore = hasMore
        self.stackScore = stackScore
    }
}

/// Where to get a picture from.
public enum PictureLocation: Sendable {
    /// A link that works for a limited time without further rights.
    case presigned(url: String)
    /// A file of this machine, for stores that are directories. Opening it blocks and throws
    /// ``PictureSourceError``; a descriptor, unlike a path, cannot be led elsewhere later.
    case file(open: @Sendable () throws -> OpenedFile)
}

/// What the web pages need of a search; ``Searcher`` implements it without blocking Swift's cooperative threads.
public protocol PictureSearch: Sendable {
    /// The pictures nearest to a query.
    /// - Throws: ``SearchError`` when the query is wrong or something is temporarily unavailable; any other error is
    ///   a fault of the installation. Every description is one sentence without secrets.
    func search(_ query: SearchQuery) async throws -> SearchResult

    /// Where a picture can be fetched from, valid for an hour.
    func location(of key: String) throws -> PictureLocation

    /// The unit vector that a query stands for, `[embedding dimension]`.
    /// - Throws: as ``search(_:)``.
    func vector(of query: SearchQuery) async throws -> QueryEmbedder.TextEmbedding

    /// What is known of a stored picture; nil when it is not in the table.
    func facts(of key: String) async throws -> PictureFacts?

    /// The small copy of a stored picture; nil when the database has none, or it is out of date.
    func preview(of key: String) async throws -> PicturePreview?

    /// About how many pictures there are.
    func pictureCount() async throws -> Int

    /// Some pictures, others each time.
    func sample(_ count: Int) async throws -> [StoredPicture]

    /// Throws when searches cannot be answered now.
    func checkHealth() async throws
}

/// Answers concurrent searches: terms become vectors (texts through a cache), the vectors become one,
/// and one statement finds the nearest pictures.
///
/// Until ``load(loadsTexts:modelPath:)`` has returned, it answers only queries that need no model.
public final class Searcher: PictureSearch {
    /// The query needs a model, which is still being loaded.
    public struct NotReady: Error, CustomStringConvertible {
        public var description: String { "the model is still being loaded" }
    }

    /// The bucket that the pictures are in.
    package let store: any ObjectStore
    private let precision: Precision
    private let activation: Activation?
    /// nil while the model is being loaded.
    private let embedder = Monitor(QueryEmbedder?.none)
    /// The collection's rule, as the last connection to the database found it.
    private let decoding = Monitor(ImageDecoder.Rule())
    private let connections: ThreadPool<SearchConnection>
    /// Searches that run at the same time.
    let threads: Int

    /// Reads the settings; neither connects nor loads a model.
    ///
    /// - Parameters:
    ///   - applicationName: what the database's administrator sees.
    ///   - longestStatement: how long to wait for an answer from the database.
    ///   - threads: searches that run at the same time, each with a database connection. The default is two per
    ///     processor, at most 16: a search spends half its time waiting for the database.
    /// - Throws: `SettingsError` for a missing variable, or the error of an unusable one.
    public convenience init(
        _ settings: Settings, applicationName: String = "web-app",
        longestStatement: Duration = .seconds(10), threads: Int? = nil
    ) throws {
        let schema = try settings.schema()
        try self.init(settings, threads: threads) { uri, isReplica in
            let table = try PicturesTable(
                PGConnection(
                    uri: uri, applicationName: applicationName,
                    connectTimeout: .seconds(isReplica ? 2 : 10), responseTimeout: longestStatement,
                    shufflesHosts: isReplica), schema: schema)
            // The server cancels a statement before the client stops waiting: none outlives its search.
            table.limitStatements(to: longestStatement - .milliseconds(500))
            return table
        }
    }

    /// - Parameters:
    ///   - now: the clock.
    ///   - connect: connects to the database at a URI, which may be a replica.
    package init(
        _ settings: Settings, threads: Int?,
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        connect: @escaping @Sendable (_ uri: String, _ isReplica: Bool) throws -> PicturesTable
    ) throws {
        let replicas = try settings.replicaURI()
        let primary = try settings.databaseURI()
        let bucket = try settings.bucketIdentity()
        store = try settings.objectStore()
        precision = try settings.precision()
        activation = try settings.activation()
        self.threads = threads ?? min(2 * SystemThread.processorCount, 16)
        connections = ThreadPool(threads: self.threads, waiting: 256, longestWait: .seconds(10)) {
            SearchConnection(replicas: replicas, primary: primary, now: now) { uri, isReplica in
                var table = try connect(uri, isReplica)
                table.searchBucket = bucket
                return table
            }
        }
    }

    /// Loads the model on a thread of its own.
    ///
    /// - Parameters:
    ///   - loadsTexts: false leaves the text tower to the first text.
    ///   - staysOpen: for a process that runs for long: the model file may be overwritten later.
    ///   - modelPath: finds the model file; may take as long as a download.
    /// - Throws: what `modelPath` throws, or the error of an unusable model file.
    public func load(
        loadsTexts: Bool = true, staysOpen: Bool = false,
        modelPath: @escaping @Sendable () throws -> String
    ) async throws {
        let loaded = try await ThreadPool(threads: 1, waiting: 0).run { [precision, activation] in
            let embedder = try QueryEmbedder(
                modelPath: modelPath(), activation: activation, precision: precision)
            if loadsTexts { try embedder.loadTexts(detached: staysOpen) }
            return embedder
        }
        embedder.update { $0 = loaded }
    }

    private func ready() throws(NotReady) -> QueryEmbedder {
        guard let embedder = embedder.read({ $0 }) else { throw NotReady() }
        return embedder
    }

    public func search(_ query: SearchQuery) async throws -> SearchResult {
        try query.check()
        do {
            // A query by keys uses stored embeddings, whatever model they are of.
            let embedder = query.terms.allSatisfy(\.content.isKey) ? nil : try ready()
            let (terms, isTruncated) =
                try await embedder?.embedTexts(of: query.terms) ?? (query.terms, false)
            return try await connections.run { connection in
                try connection.withTable { table in
                    var table = table
                    table.searchModel = embedder?.identity
                    let vector = try QueryVector.of(terms) { try table.embedding(of: $0) }
                    var result = try table.nearest(to: vector, query)
                    result.isTruncated = isTruncated
                    self.decoding.update { $0 = table.session.searchState?.decoding ?? $0 }
                    return result
                }
            }
        } catch {
            throw SearchError.of(error)
        }
    }

    /// A picture file's embedding under the collection's rule, `[embedding dimension]`, computed on the calling thread.
    /// - Throws: ``NotReady``, ``SearchError`` about the picture, or an error about the model.
    public func embed(_ file: [UInt8]) throws -> [Float] {
        try ready().embed(file, rule: decoding.read { $0 })
    }

    /// Tokens that a text can have.
    public func contextLength() throws -> Int { try ready().contextLength }

    /// nil while the model is being loaded.
    public var textStatistics: CacheStatistics? { embedder.read { $0 }.map(\.textStatistics) }

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

    public func vector(of query: SearchQuery) async throws -> QueryEmbedder.TextEmbedding {
        try query.check()
        let (terms, isTruncated) = try await ready().embedTexts(of: query.terms)
        let vector =
            terms.contains(where: \.content.isKey)
            ? try await ask { table in try QueryVector.of(terms) { try table.embedding(of: $0) } }
            : try QueryVector.of(terms) { _ in nil }
        return (vector, isTruncated)
    }

    public func facts(of key: String) async throws -> PictureFacts? {
        try await ask { try $0.facts(of: key) }
    }

    public func preview(of key: String) async throws -> PicturePreview? {
        try await ask { try $0.preview(of: key) }
    }

    public func checkHealth() async throws {
        _ = try ready()
        try await connect()
    }

    /// Connects to the database, so that a mistake in its settings shows before a model is loaded.
    public func connect() async throws {
        let found = try await ask { table in
            _ = try table.dimension()
            return try table.searchState().decoding
        }
        decoding.update { $0 = found }
    }

    public func pictureCount() async throws -> Int { try await ask { try $0.rowEstimate() } }

    public func sample(_ count: Int) async throws -> [StoredPicture] {
        try await ask { try $0.sample(count) }
    }

    /// Whether any picture is stored.
    public func hasPictures() async throws -> Bool { try await ask { try $0.hasPictures() } }

    func ask<Value: Sendable>(
        _ body: @escaping @Sendable (PicturesTable) throws -> Value
    ) async throws -> Value {
        do {
            return try await connections.run { try $0.withTable(body) }
        } catch {
            throw SearchError.of(error)
        }
    }
}

/// One thread's connection, opened on first use and replaced when it is lost. Prefers a replica, and falls back to
/// the primary.
final class SearchConnection {
    private let replicas: String?
    private let primary: String
    private let now: () -> ContinuousClock.Instant
    private let connect: (_ uri: String, _ isReplica: Bool) throws -> PicturesTable
    private var table: PicturesTable?
    /// Whether `table` is at the primary because no replica answered.
    private var isFallback = false
    /// Replicas are not tried before this time.
    private var replicasMissedUntil: ContinuousClock.Instant?

    /// How long replicas that did not answer are left alone.
    private static let pause = Duration.seconds(30)
    /// A lost connection and its replacement may each have been to a server that is shutting down.
    private static let attempts = 3

    /// - Parameters:
    ///   - replicas: streaming replicas, several hosts allowed; nil without any.
    ///   - primary: asked when no replica answers.
    init(
        replicas: String?, primary: String, now: @escaping () -> ContinuousClock.Instant,
        connect: @escaping (_ uri: String, _ isReplica: Bool) throws -> PicturesTable
    ) {
        self.replicas = replicas
        self.primary = primary
        self.now = now
        self.connect = connect
    }

    /// Runs a query; after a lost connection again on a new one, so that a restart of the server fails no search.
    func withTable<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        for _ in 1..<Self.attempts {
            let isNew = table?.isUsable != true
            let table = try usableTable()
            do {
                return try body(table)
            } catch let error as PGError where error.isConnectionLost {
                self.table = nil
                // A server that is up but silent would be silent again.
                if error.kind == .timeout { throw error }
                // Without replicas there is no other server to try after losing a second connection.
                if isNew, replicas == nil { throw error }
            } catch let error as PGError where error.isSerializationFailure && !isFallback {
                // A replica cancels queries that conflict with its recovery.
                self.table = try connectToPrimary()
                replicasMissedUntil = now() + Self.pause
            }
        }
        return try body(usableTable())
    }

    private func usableTable() throws -> PicturesTable {
        let mayTryReplicas = replicasMissedUntil.map { $0 <= now() } ?? true
        if let table, table.isUsable, !(isFallback && mayTryReplicas) { return table }
        if let replicas, mayTryReplicas {
            do {
                let found = try connect(replicas, true)
                replicasMissedUntil = nil
                (table, isFallback) = (found, false)
                return found
            } catch let error as PGError {
                // A mistake in the settings must not be hidden by the fallback.
                if error.kind == .invalidUse || error.isAuthenticationFailure { throw error }
                replicasMissedUntil = now() + Self.pause
                if let table, table.isUsable { return table }
            }
        }
        let found = try connectToPrimary()
        table = found
        return found
    }

    private func connectToPrimary() throws -> PicturesTable {
        let found = try connect(primary, false)
        isFallback = replicas != nil
        return found
    }
}
