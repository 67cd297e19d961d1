import ImageSearch
import NIOPosix

/// The pictures that the site hands out: files of the store's directory, or objects that it fetches
/// from the store, and copies of both, which are made once and kept in memory up to a bound.
final class PictureStock: Sendable {
    /// The largest file that is made small.
    static let maximumBytes = 64 << 20
    /// Originals on their way from the store to visitors at the same time, and of them to one address.
    private static let maximumStreams = 16
    private static let maximumStreamsPerClient = 6

    private let search: any PictureSearch
    private let source: (any PictureSource)?
    /// Whether objects of a store may be handed out at all.
    let isProxy: Bool
    /// By size, version and key, as bytes: to Swift, two spellings of é are equal. Nil where the picture itself
    /// will do.
    private let copies: ComputedCache<[UInt8], [UInt8]?>
    /// A page asks for all its pictures at once.
    private let work = ThreadPool<Void>(threads: 2, waiting: 512)
    private let sizes = ThreadPool<Void>(threads: 1, waiting: 8)
    private let streams = Budget(maximumStreams, perClient: maximumStreamsPerClient)
    private let streamThreads = NIOThreadPool(numberOfThreads: maximumStreams)

    init(
        search: any PictureSearch, source: (any PictureSource)?, isProxy: Bool, thumbnailBytes: Int
    ) {
        self.search = search
        self.source = source
        self.isProxy = isProxy
        // What an entry takes besides the copy's bytes is a rough figure.
        copies = ComputedCache(capacity: thumbnailBytes, overhead: 512) { $0?.count ?? 0 }
        streamThreads.start()
    }

    deinit { streamThreads.shutdownGracefully { _ in } }

    /// What has become of small copies; their cost is in bytes.
    var statistics: CacheStatistics { copies.statistics }

    /// The file of a picture in a store that is a directory; nil when there is none or it is not a picture.
    func file(_ key: String) async throws -> PictureFile? {
        guard case .file(let open)? = try? search.location(of: key) else { return nil }
        do {
            return try await NIOThreadPool.singleton.runIfActive { try PictureFile(try open()) }
        } catch PictureSourceError.missing {
            return nil
        }
    }

    /// A picture's bytes from the store.
    /// - Throws: ``SiteFailure`` when there is no such picture or no free place.
    func stream(_ key: String, to client: String) async throws -> PictureStream {
        guard isProxy, let source, (try? search.location(of: key)) != nil else {
            throw SiteFailure.noSuchPicture
        }
        // A page asks for more pictures at once than there are places: the others wait.
        for _ in 0..<250 {
            if let share = try? streams.take(for: client) {
                return PictureStream(key, from: source, on: streamThreads, share: share)
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw SiteFailure.overloaded
    }

    /// A whole picture from the store, on a thread that may block.
    func fetchNow(_ key: String) throws -> [UInt8] {
        guard let source, (try? search.location(of: key)) != nil else {
            throw SiteFailure.noSuchPicture
        }
        return try source.bytes(of: key, maximumBytes: Self.maximumBytes)
    }

    /// The size of a picture's file; nil when there is none or the store does not tell.
    func size(of key: String) async -> Int? {
        switch try? search.location(of: key) {
        case .file?: return try? await file(key)?.size
        case .presigned?:
            guard let source else { return nil }
            // A decoration: no page waits for it when the store is slow.
            return await within(.seconds(2)) { [sizes] in
                try await sizes.run { try source.size(of: key) }
            } ?? nil
        case nil: return nil
        }
    }

    /// A copy of a picture. Of requests for one that come at the same time, one makes it.
    ///
    /// - Parameters:
    ///   - isLarge: whether it is for the large view.
    ///   - version: changes when the picture does; without spaces.
    ///   - file: reads the picture; called on a thread that may block.
    /// - Returns: nil where the picture itself will do.
    func copy(
        of key: String, isLarge: Bool, version: String,
        file: @escaping @Sendable () throws -> [UInt8]
    ) async throws -> [UInt8]? {
        try await copies.value(for: Array("\(isLarge) \(version) \(key)".utf8)) { [work] in
            try await work.run {
                (isLarge ? Thumbnailer.large : .small).thumbnail(of: try file())
            }
        }
    }
}

extension SiteFailure {
    init(_ error: PictureSourceError) {
        switch error {
        case .missing: self = .noSuchPicture
        case .tooLarge:
            self = SiteFailure(
                status: .notFound, heading: "This picture is too large to be shown",
                message: "Its file has more than \(ByteCount.text(PictureStock.maximumBytes)).")
        case .unavailable:
            self = SiteFailure(
                status: .serviceUnavailable, heading: "The picture is not available right now",
                message: "The store does not answer. Please try again in a moment.",
                headers: [.retryAfter: "5"])
        }
    }
}

/// What a piece of work gives, or nil when it fails or takes longer. It then goes on by itself.
private func within<T: Sendable>(
    _ duration: Duration, _ work: @escaping @Sendable () async throws -> T
) async -> T? {
    let (first, results) = AsyncStream<T?>.makeStream(bufferingPolicy: .bufferingOldest(1))
    let timer = Task {
        try? await Task.sleep(for: duration)
        results.yield(nil)
    }
    Task { results.yield(try? await work()) }
    defer { timer.cancel() }
    for await result in first { return result }
    return nil
}
