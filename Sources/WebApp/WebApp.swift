import ArgumentParser
import CommandLineSupport
import ImageSearch
import Logging
import SearchSite

@main
struct WebApp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "web-app",
        abstract: "Search the pictures in a browser.",
        discussion: """
            Reads the bucket's and the database's settings from the environment or from .env; see \
            .env_example. Ctrl-C ends it, after requests under way are answered. \
            docs/operations.md says how to run it for others.
            """,
        version: Console.version)

    @Option(help: "Address to listen on; 0.0.0.0 opens the page to the network.")
    var host = "127.0.0.1"

    @Option(help: "Port to listen on; 0 takes a free one.")
    var port = 8000

    @Option(
        help: ArgumentHelp(
            """
            A name under which the site may be asked for, besides this machine's own when it \
            listens on the loopback address; repeatable. Without one, a site that listens on the \
            network answers to every name.
            """,
            valueName: "name"))
    var allowedHost: [String] = []

    @Option(
        help: ArgumentHelp(
            "Answer over TLS with this certificate (PEM, with its chain).", valueName: "file"))
    var tlsCertificate: String?

    @Option(help: ArgumentHelp("The certificate's private key (PEM).", valueName: "file"))
    var tlsKey: String?

    @Option(
        help: ArgumentHelp(
            "Believe the X-Forwarded-For of the proxy at this address; repeatable.",
            valueName: "address"))
    var trustedProxy: [String] = []

    @Flag(
        help: """
            Fetch pictures from the store for visitors, and shrink them for the grid, instead of \
            sending visitors to the store with links.
            """)
    var proxyImages = false

    @Option(help: ArgumentHelp("The largest picture to search with, in MB.", valueName: "MB"))
    var maxUpload = 20

    @Option(
        help: ArgumentHelp("Memory for small copies of pictures, in MB.", valueName: "MB"))
    var thumbnailCache = 64

    @Option(
        help: ArgumentHelp(
            "Requests that one address may make in a minute; without it, any number.",
            valueName: "number"))
    var rateLimit: Int?

    @Option(help: "Format of the log on stderr: text or json.")
    var logFormat = LogFormat.text

    @Flag(help: "Log every request, without what is searched for.")
    var logRequests = false

    @Flag(help: "Log what is searched for, too.")
    var logQueries = false

    enum LogFormat: String, ExpressibleByArgument { case text, json }

    func validate() throws {
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port must be 0 to 65535.")
        }
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key belong together.")
        }
        guard (1...64).contains(maxUpload) else {
            throw ValidationError("--max-upload must be 1 to 64.")
        }
        guard (0...65_536).contains(thumbnailCache) else {
            throw ValidationError("--thumbnail-cache must be 0 to 65536.")
        }
        if let rateLimit, !(1...1_000_000).contains(rateLimit) {
            throw ValidationError("--rate-limit must be 1 to 1000000.")
        }
    }

    func run() async {
        await Console.run("web-app") {
            let settings = try Settings()
            let search = DeferredSearch()
            let site = SearchSite(
                search: search, embedder: search, source: try BucketPictures(settings),
                configuration: try siteConfiguration(settings),
                statistics: { search.textStatistics }, logger: logger)
            _ = try settings.databaseURI()
            // The site answers while the model is being loaded, which may mean a download: probes see
            // that it lives, and that it is not ready.
            let (outcomes, outcome) = AsyncStream.makeStream(of: Result<Void, any Error>.self)
            let (addresses, listening) = AsyncStream.makeStream(of: String.self)
            Task {
                do {
                    try await site.run(host: host, port: port) { listening.yield($0) }
                    outcome.yield(.success(()))
                } catch {
                    outcome.yield(.failure(error))
                }
            }
            // Nobody waits for it when the site is told to end.
            Task {
                guard let address = await addresses.first(where: { _ in true }) else { return }
                do {
                    try await search.load(
                        settings, modelPath: { try Console.locateModel(settings) })
                    Console.line("Search at \(address) (Ctrl-C to stop)")
                } catch {
                    outcome.yield(.failure(error))
                }
            }
            try await outcomes.first { _ in true }?.get()
            return 0
        }
    }

    private func siteConfiguration(_ settings: Settings) throws -> SearchSite.Configuration {
        var configuration = SearchSite.Configuration()
        configuration.showsReasons =
            ["127.0.0.1", "::1", "localhost"].contains(host) && trustedProxy.isEmpty
        configuration.proxiesPictures = proxyImages
        configuration.maximumUploadBytes = maxUpload * 1_000_000
        configuration.thumbnailCacheBytes = thumbnailCache * 1_000_000
        configuration.requestsPerMinute = rateLimit
        configuration.access = try settings["WEB_AUTH"].map { try AccessRule($0) }
        configuration.allowHosts(allowedHost, listeningOn: host)
        configuration.trustedProxies = trustedProxy
        configuration.logsRequests = logRequests || logQueries
        configuration.logsQueries = logQueries
        if let tlsCertificate, let tlsKey {
            configuration.tls = .init(certificate: tlsCertificate, key: tlsKey)
        }
        return configuration
    }

    private var logger: Logger {
        let format = logFormat
        var logger = Logger(label: "web-app") { label in
            switch format {
            case .text: StreamLogHandler.standardError(label: label)
            case .json: JSONLog(label: label)
            }
        }
        logger.logLevel = logRequests || logQueries ? .info : .notice
        return logger
    }
}
