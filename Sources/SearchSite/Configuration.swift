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
