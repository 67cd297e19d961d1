import Foundation
import Hummingbird
import ImageSearch
import Logging
import NIOCore
import S3Client
import SearchSite
import Synchronization

/// A search whose answers a test decides.
final class FakeSearch: PictureSearch {
    struct Failure: Error, CustomStringConvertible {
        var description = "the database does not answer; check PG_SERVICE_URI"
    }

    let result: SearchResult?
    let error: any Error
    let isHealthy: Bool
    private let locate: @Sendable (String) throws -> PictureLocation
    /// How often its health was asked for.
    let checks = Atomic(0)
    private let heard = Mutex<(queries: [SearchQuery], keys: [String])>(([], []))

    /// - Parameters:
    ///   - result: `nil` fails.
    ///   - error: what it then throws.
    init(
        result: SearchResult? = FakeSearch.found(["a.jpg", "b.jpg"]),
        error: any Error = Failure(), isHealthy: Bool = true,
        locate: @escaping @Sendable (String) throws -> PictureLocation = {
            FakeSearch.file("/no", $0)
        }
    ) {
        self.result = result
        self.error = error
        self.isHealthy = isHealthy
        self.locate = locate
    }

    /// A picture in a folder, as a store that is a directory has it.
    static func file(_ folder: String, _ key: String) -> PictureLocation {
        .file {
            let url = URL(filePath: folder)
            guard
                let bucket = try? DirectoryBucket(
                    directory: url.deletingLastPathComponent().path, bucket: url.lastPathComponent)
            else { throw PictureSourceError.missing }
            do {
                return try bucket.open(key)
            } catch let error as S3Error where !error.isLocalLimit {
                throw PictureSourceError.missing
            } catch {
                throw PictureSourceError.unavailable("\(error)")
            }
        }
    }

    static func found(
        _ keys: [String], isTruncated: Bool = false, hasMore: Bool = false
    ) -> SearchResult {
        let hits = keys.enumerated().map { index, key in
            SearchHit(rank: index + 1, key: key, score: 0.3125 - Double(index) / 100)
        }
        return SearchResult(hits: hits, isTruncated: isTruncated, hasMore: hasMore)
    }

    var queries: [SearchQuery] { heard.withLock { $0.queries } }
    /// The texts of all queries, in order.
    var texts: [String] {
        queries.flatMap(\.terms).compactMap { term in
            guard case .text(let text) = term.content else { return nil }
            return text
        }
    }
    var limits: [Int] { queries.map(\.limit) }
    /// Keys whose location was asked for, without the site's own probe for an origin.
    var keys: [String] { heard.withLock { $0.keys } }

    /// The same, each once and as bytes (to Swift, two spellings of é are equal), without the made-up
    /// key whose address the content security policy names.
    var keysOfPictures: [[UInt8]] {
        var seen = Set<[UInt8]>()
        return keys.filter { $0 != "picture.jpg" }.map { Array($0.utf8) }
            .filter { seen.insert($0).inserted }
    }

    func search(_ query: SearchQuery) async throws -> SearchResult {
        heard.withLock { $0.queries.append(query) }
        guard let result else { throw error }
        return result
    }

    func location(of key: String) throws -> PictureLocation {
        heard.withLock { $0.keys.append(key) }
        return try locate(key)
    }

    func checkHealth() async throws {
        checks.add(1, ordering: .relaxed)
        if !isHealthy { throw Failure() }
    }
}

/// Searches without a database.
extension PictureSearch {
    func vector(of query: SearchQuery) async throws -> QueryEmbedder.TextEmbedding {
        throw SearchError.overloaded
    }

    func facts(of key: String) async throws -> PictureFacts? { nil }

    func preview(of key: String) async throws -> PicturePreview? { nil }

    func pictureCount() async throws -> Int { 1_005 }

    func sample(_ count: Int) async throws -> [StoredPicture] {
        (1...count).map {
            StoredPicture(key: "s\($0)&.jpg", facts: PictureFacts(width: 300, height: 200))
        }
    }
}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Keeps what is logged, at every level.
final class RecordedLog: LogHandler, Sendable {
    private let recorded = Mutex<[String]>([])
    var lines: [String] { recorded.withLock { $0 } }

    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }
            .map { " \($0.key)=\($0.value)" }.joined()
        recorded.withLock { $0.append("\(event.level) \(event.message)\(metadata)") }
    }
}

/// An answer with its body read to the end.
struct Answer {
    let status: Int
    let headers: HTTPFields
    let body: [UInt8]
    var text: String { String(decoding: body, as: UTF8.self) }
    func header(_ name: String) -> String? { headers[HTTPField.Name(name)!] }
}

typealias HTTPField = HTTPFields.Element

extension SearchSite {
    /// A site with some of an operator's choices.
    init(
        search: FakeSearch, embedder: (any PictureEmbedding)? = nil, logger: Logger = silent,
        _ choose: (inout Configuration) -> Void
    ) {
        var configuration = Configuration()
        choose(&configuration)
        self.init(
            search: search, embedder: embedder, configuration: configuration, logger: logger)
    }

    /// Sends a request through all middleware and routes, without a server.
    func ask(
        _ target: String, method: HTTPRequest.Method = .get, headers: [String: String] = [:],
        body: [[UInt8]] = [], breaksOff: (any Error)? = nil, authority: String? = "localhost",
        peer: String? = nil, logger: Logger = silent
    ) async throws -> Answer {
        var fields = HTTPFields()
        for (name, value) in headers { fields[HTTPField.Name(name)!] = value }
        let parts = AsyncThrowingStream { continuation in
            for part in body { continuation.yield(ByteBuffer(bytes: part)) }
            continuation.finish(throwing: breaksOff)
        }
        let request = Request(
            head: HTTPRequest(
                method: method, scheme: "http", authority: authority, path: target,
                headerFields: fields),
            body: RequestBody(asyncSequence: parts))
        let response = try await responder().respond(
            to: request,
            context: SiteContext(
                logger: logger, peer: try peer.map { try SocketAddress(ipAddress: $0, port: 1) }))
        let collected = Collected()
        try await response.body.write(CollectingWriter(collected: collected))
        return Answer(
            status: response.status.code, headers: response.headers,
            body: collected.bytes.withLock { $0 })
    }

    /// Posts a form body as the script does.
    func post(_ body: String, type: String? = "application/x-www-form-urlencoded;charset=UTF-8")
        async throws -> Answer
    {
        try await ask(
            "/search_form", method: .post, headers: type.map { ["Content-Type": $0] } ?? [:],
            body: [Array(body.utf8)])
    }
}

private final class Collected: Sendable {
    let bytes = Mutex<[UInt8]>([])
}

private struct CollectingWriter: ResponseBodyWriter {
    let collected: Collected

    func write(_ buffer: ByteBuffer) async throws {
        collected.bytes.withLock { $0 += buffer.readableBytesView }
    }

    func finish(_ trailingHeaders: HTTPFields?) async throws {}
}

/// An empty folder that is removed with the last reference.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "site-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ bytes: [UInt8], to name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    }
}
