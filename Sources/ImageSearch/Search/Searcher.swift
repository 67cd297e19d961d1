import PGClient
import S3Client

/// Answers searches for a server: many at once, each on one of a fixed number of threads that own
/// their database connections.
public final class Searcher: PictureSearch {
    /// A visitor waits no longer than this for the database.
    private static let longestStatement = Duration.seconds(10)

    private let embedder: TextEmbedder
    private let store: any ObjectStore
    private let threads: SearchThreads

    /// - Parameters:
    ///   - threads: searches computed at the same time, each with a database connection; by default
    ///     two a processor, since a search spends about half its time waiting for the database, but
    ///     at most 16.
    /// - Throws: `SettingsError` for a missing variable, or the error of an unusable model file.
    public init(_ settings: Settings, modelPath: String, threads: Int? = nil) throws {
        let uri = try settings.databaseURI()
        store = try settings.objectStore()
        embedder = try TextEmbedder(modelPath: modelPath)
        let count = threads ?? min(2 * WorkerThread.processorCount, 16)
        self.threads = try SearchThreads(count: count) {
            try PicturesTable(
                uri: uri, applicationName: "web-app", responseTimeout: Self.longestStatement)
        }
    }

    public func search(_ text: String, limit: Int) async throws -> SearchResult {
        try await threads.run { [embedder] connection in
            let query = try embedder.embed(text)
            let hits = try connection.withTable {
                try $0.nearest(to: query.embedding, limit: limit)
            }
            return SearchResult(hits: hits, isTruncated: query.isTruncated)
        }
    }

    public func location(of key: String) throws -> PictureLocation {
        if let directory = store as? DirectoryBucket {
            return .file(path: try directory.path(for: key))
        }
        return .presigned(url: try store.presignedURL(for: key))
    }

    public func checkHealth() async throws {
        try await threads.run { connection in
            try connection.withTable { _ = try $0.dimension() }
        }
    }
}

/// More searches at once than can be answered in good time.
public struct SearchOverload: Error, CustomStringConvertible {
    public var description: String { "too many searches at once: try again in a moment" }
}

/// A fixed number of threads, each with its own database connection, and a queue of searches.
final class SearchThreads: Sendable {
    /// Searches that may wait; more are refused at once rather than late.
    private static let maximumWaiting = 256

    private let jobs = BoundedQueue<@Sendable (SearchConnection) -> Void>(capacity: maximumWaiting)

    init(count: Int, connect: @escaping @Sendable () throws -> PicturesTable) throws {
        for _ in 0..<count {
            // Threads end when the queue is finished; nobody needs to wait for them.
            try WorkerThread.start { [jobs] in
                let connection = SearchConnection(connect)
                while let job = jobs.pop() { job(connection) }
            }
        }
    }

    deinit {
        jobs.finish()
    }

    func run<T: Sendable>(
        _ body: @escaping @Sendable (SearchConnection) throws -> T
    ) async throws -> T {
        // Cancelling (a server that shuts down) ends the wait, while the thread goes on by itself.
        let waiting = Waiting<T>()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                waiting.begin(continuation)
                let isQueued = jobs.offer { connection in
                    waiting.end(Result { try body(connection) })
                }
                if !isQueued { waiting.end(.failure(SearchOverload())) }
            }
        } onCancel: {
            waiting.end(.failure(CancellationError()))
        }
    }
}

/// A continuation that the first of several ends.
private final class Waiting<T: Sendable>: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<T, any Error>)
        case ended
        /// Ended before the wait began.
        case endedEarly(Result<T, any Error>)
    }

    private let state = Monitor(State.new)

    func begin(_ continuation: CheckedContinuation<T, any Error>) {
        let early: Result<T, any Error>? = state.update { state in
            if case .endedEarly(let result) = state {
                state = .ended
                return result
            }
            state = .waiting(continuation)
            return nil
        }
        if let early { continuation.resume(with: early) }
    }

    func end(_ result: Result<T, any Error>) {
        let continuation: CheckedContinuation<T, any Error>? = state.update { state in
            switch state {
            case .new:
                state = .endedEarly(result)
                return nil
            case .waiting(let continuation):
                state = .ended
                return continuation
            case .ended, .endedEarly: return nil
            }
        }
        continuation?.resume(with: result)
    }
}

/// One thread's connection: opened when first needed, and opened anew after it was lost.
final class SearchConnection {
    private let connect: () throws -> PicturesTable
    private var table: PicturesTable?

    init(_ connect: @escaping () throws -> PicturesTable) { self.connect = connect }

    /// Runs a query. A connection that turns out to be dead is replaced and the query run once more,
    /// so that a restart of the server costs no search that comes after it.
    func withTable<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        if let table, table.isUsable {
            do {
                return try body(table)
            } catch let error as PGError where error.isConnectionLost {
                self.table = nil
                // A server that is there but silent would be silent again.
                if error.kind == .timeout { throw error }
            }
        }
        let table = try connect()
        self.table = table
        return try body(table)
    }
}
