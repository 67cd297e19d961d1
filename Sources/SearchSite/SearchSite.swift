import Hummingbird
import ImageSearch
import Logging
import NIOCore

/// The web pages of the search and its interface for programs.
///
/// | route | answers |
/// |---|---|
/// | `GET /` | the page with the search box |
/// | `GET /search?q=…` | a search, or one of its pictures large; works without JavaScript |
/// | `GET /search/<picture>` | a search with an uploaded picture |
/// | `POST /search` | takes a picture, leads to its search |
/// | `POST /search_form` | the results alone, an HTML fragment for field `search_text` |
/// | `GET /pictures/<key>`, `/thumbnails/<key>` | a picture's bytes, where the site hands them out |
/// | `GET /large/<key>` | a copy of a picture that browsers do not show |
/// | `GET`, `POST /api/search`, `GET /api/pictures/<key>` | the same as JSON |
/// | `GET /openapi.json` | the description of the interface |
/// | `GET /health` | `{"status":"ok"}` while the process lives |
/// | `GET /ready` | the same when searches can be answered, else 503 |
/// | `GET /metrics` | numbers for Prometheus |
///
/// Style sheet, script and icon come from the site itself; nothing is loaded from other hosts
/// except the pictures, whose origin the content security policy names.
public struct SearchSite: Sendable {
    let search: any PictureSearch
    let embedder: (any PictureEmbedding)?
    let configuration: Configuration
    let logger: Logger
    let pages: Pages
    let pictures: PictureStock
    let metrics = Metrics()
    let statistics: @Sendable () -> CacheStatistics?
    /// Decodes and encodes the pictures of visitors.
    let encodings: ThreadPool<Void>
    /// Places in the queue of `encodings`.
    let encodingPlaces: Budget
    /// Bytes of uploads, from their arrival to their embedding.
    let uploads: Budget
    /// Bytes of result pages that are not sent yet.
    package let unsent: Budget
    /// Searches in progress; not limited here.
    let searches = Budget()
    let health: Refreshed<Result<Void, any Error>>
    /// About how many pictures there are.
    let total: Refreshed<Int?>
    /// Some pictures for the start page.
    let sample: Refreshed<[StoredPicture]>
    let clients: ClientAddress
    private let checks: [any AdmissionCheck]

    /// - Parameters:
    ///   - search: answers the searches.
    ///   - embedder: turns visitors' pictures into embeddings; without one there is no search with
    ///     pictures.
    ///   - source: where pictures are got from when the site hands them out itself.
    ///   - configuration: what the operator has chosen.
    ///   - statistics: what the cache of query embeddings has done, for `/metrics`.
    ///   - logger: told about failed searches and about every request. Texts that people search for are
    ///     only logged when the configuration says so.
    public init(
        search: any PictureSearch, embedder: (any PictureEmbedding)? = nil,
        source: (any PictureSource)? = nil, configuration: Configuration = Configuration(),
        statistics: @escaping @Sendable () -> CacheStatistics? = { nil },
        logger: Logger = Logger(label: "web-app")
    ) {
        self.search = search
        self.embedder = embedder
        self.configuration = configuration
        self.logger = logger
        pages = Pages(
            configuration: configuration,
            pictures: PictureAddresses(
                search: search, isProxy: configuration.proxiesPictures && source != nil))
        pictures = PictureStock(
            search: search, source: source, isProxy: configuration.proxiesPictures,
            thumbnailBytes: configuration.thumbnailCacheBytes)
        encodings = ThreadPool<Void>(
            threads: configuration.encodings, waiting: configuration.waitingEncodings)
        let places = configuration.encodings + configuration.waitingEncodings
        encodingPlaces = Budget(places, perClient: (places + 1) / 2)
        uploads = Budget(
            8 * configuration.maximumUploadBytes, perClient: 4 * configuration.maximumUploadBytes)
        let unsentBytes = configuration.maximumUnsentBytes
        unsent = Budget(unsentBytes, perClient: unsentBytes / 2)
        self.statistics = statistics
        metrics.count(.build, configuration.build)
        let clients = ClientAddress(trustedProxies: configuration.trustedProxies)
        self.clients = clients
        var checks: [any AdmissionCheck] = [configuration.hosts]
        if let access = configuration.access {
            let failures = RateLimit(perMinute: 60, now: configuration.now)
            checks.append(AccessCheck(access: access, clients: clients, failures: failures))
        }
        if let perMinute = configuration.requestsPerMinute {
            // Of small pictures a page's for each request.
            let thumbnails = SearchState.defaultLimit * perMinute
            checks.append(
                RequestRates(
                    pages: RateLimit(perMinute: perMinute, now: configuration.now),
                    thumbnails: RateLimit(perMinute: thumbnails, now: configuration.now),
                    clients: clients))
        }
        self.checks = checks + [CrossSiteCheck()]
        health = Refreshed(every: .milliseconds(500)) {
            do { return .success(try await search.checkHealth()) } catch { return .failure(error) }
        }
        total = Refreshed(every: .seconds(60)) { try? await search.pictureCount() }
        sample = Refreshed(every: .seconds(60)) {
            (try? await search.sample(Pages.stripLength)) ?? []
        }
    }

    /// Everything a request passes through, without a server.
    package func responder() -> RouterResponder<SiteContext> {
        let router = Router(context: SiteContext.self)
        router.add(
            middleware: RequestLog(
                metrics: metrics, clients: clients, logsRequests: configuration.logsRequests,
                logsQueries: configuration.logsQueries))
        router.add(middleware: ResponseHeaders(isSecure: configuration.tls != nil))
        router.add(middleware: Compression())
        router.add(
            middleware: ErrorPages(pages: pages, showsReasons: configuration.showsReasons))
        router.add(middleware: Admission(checks: checks, metrics: metrics))
        addSearchRoutes(to: router)
        addPictureRoutes(to: router)
        addOperatorRoutes(to: router)
        addAssetRoutes(to: router)
        addAPIRoutes(to: router)
        return router.buildResponder()
    }

    /// The methods of each path, for the `Allow` field of a 405 (RFC 9110, 15.5.6).
    static let allowedMethods: [String: String] = {
        var methods = [
            "/search": "GET, HEAD, POST", "/search_form": "POST", "/api/search": "GET, HEAD, POST",
        ]
        for path in ["/", "/api/embedding", "/health", "/ready", "/metrics", "/openapi.json"]
            + Asset.all.map(\.path)
        {
            methods[path] = "GET, HEAD"
        }
        return methods
    }()
}

extension SearchSite {
    /// What the operator can choose.
    public struct Configuration: Sendable {
        /// What the page calls itself.
        public var siteName = "Picture Search"
        /// What runs, as `/metrics` says it: names and values, without quotes.
        public var build: [(String, String)] = []
        /// Searches that the start page suggests.
        public var examples = ["cat", "man jumping", "outer space"]
        /// Whether results are shown while a visitor types.
        public var isLive = true
        /// Whether pages, `/ready` and problems say why a search failed. A reason names servers and
        /// tables, so it is for sites that only their operator can reach; the log has it always.
        public var showsReasons = false
        /// Whether the site fetches pictures from the store for its visitors, who then need not reach
        /// it. Those of a store that is a directory are always handed out by the site.
        public var proxiesPictures = false
        /// Bytes of small copies that are kept in memory.
        public var thumbnailCacheBytes = 64 << 20
        /// Bytes of the largest picture that a visitor may search with.
        public var maximumUploadBytes = 20 << 20
        /// Visitors' pictures that are decoded and encoded at the same time, and how many may wait.
        public var encodings = 1
        public var waitingEncodings = 8
        /// Requests of one address in a minute; nil for any number.
        public var requestsPerMinute: Int?
        /// Who may come in; nil for everybody.
        public var access: AccessRule?
        /// The host that the site listens on and the names under which it may be asked for.
        public var hosts = AllowedHosts()
        /// Addresses of proxies whose `X-Forwarded-For` is believed.
        public var trustedProxies: [AddressBlock] = []
        /// Whether each request is logged, and what is searched for with it.
        public var logsRequests = false
        public var logsQueries = false
        /// Connections that may be open at the same time; others wait until one is closed.
        public var maximumConnections = 2_048
        /// Bytes of large pages that wait for their clients, over all; half of it for one client.
        package var maximumUnsentBytes = 64 << 20
        /// How long and how slowly clients may send and read.
        package var limits = ConnectionLimits.Limits()
        package var now: @Sendable () -> ContinuousClock.Instant = { .now }
        /// The files of the certificate, followed by its chain, and of its key (PEM), to answer over TLS.
        public var tls: (certificate: String, key: String)?

        public init() {}
    }
}

/// Turning a picture file into an embedding. Blocks its thread for some tens of milliseconds.
public protocol PictureEmbedding: Sendable {
    /// - Returns: the L2-normalised embedding, `[embedding dimension]`.
    /// - Throws: `SearchError` about the picture, any other error about the installation.
    func embed(_ file: [UInt8]) throws -> [Float]
}

extension Searcher: PictureEmbedding {}

/// What travels with a request. Unlike Hummingbird's own context it can be made without a channel.
package struct SiteContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// The connection's other end.
    let peer: SocketAddress?

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        peer = source.channel.remoteAddress
    }

    package init(logger: Logger, peer: SocketAddress? = nil) {
        struct Source: RequestContextSource {
            let logger: Logger
        }
        coreContext = CoreRequestContextStorage(source: Source(logger: logger))
        self.peer = peer
    }
}

extension Router {
    /// Adds a route for GET and for HEAD; ``ResponseHeaders`` takes the body off the latter.
    func getAndHead(
        _ path: RouterPath,
        use handler: @escaping @Sendable (Request, Context) async throws -> Response
    ) {
        on(path, method: .get, use: handler)
        on(path, method: .head, use: handler)
    }
}
