import ArgumentParser
import CommandLineSupport
import Dispatch
import ImageSearch
import Logging
import SearchSite

/// Not the command itself: an asynchronous `main` opens descriptors of its own before it runs, which
/// would take the number of a closed stderr and get the log.
@main
enum Main {
    static func main() {
        Console.openStandardDescriptors()
        Task { await WebApp.main() }
        dispatchMain()
    }
}

struct WebApp: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "web-app",
        abstract: "Search the pictures in a browser.",
        discussion: """
            Reads the settings of the bucket and the database from the environment or from .env; \
            see .env_example. Ctrl-C stops it after the current requests are answered. See \
            docs/operations.md before you open it to others.
            """,
        version: Console.version)

    @Option(help: "Address to listen on; 0.0.0.0 opens the page to the network.")
    var host = "127.0.0.1"

    @Option(help: "Port to listen on; 0 picks a free one.")
    var port = 8000

    @Option(
        help: ArgumentHelp(
            """
            Answer requests for this host name (without https:// and port); repeatable. The \
            loopback names are always allowed on the loopback address. Without this option, a \
            site that listens on the network answers to every name.
            """,
            valueName: "name"))
    var allowedHost: [String] = []

    @Option(
        help: ArgumentHelp(
            "Serve HTTPS with this certificate (PEM, followed by its chain).", valueName: "file"),
        completion: .file())
    var tlsCertificate: String?

    @Option(
        help: ArgumentHelp("The certificate's private key (PEM).", valueName: "file"),
        completion: .file())
    var tlsKey: String?

    @Option(
        help: ArgumentHelp(
            """
            Believe the X-Forwarded-For header of the proxy at this address, or of all in this \
            block (10.0.0.0/8); repeatable.
            """,
            valueName: "address"))
    var trustedProxy: [String] = []

    @Flag(
        help: """
            Serve the pictures through this site, with thumbnails for the grid, instead of \
            linking to the store.
            """)
    var proxyImages = false

    @Option(help: ArgumentHelp("Largest picture to search with, in MB.", valueName: "MB"))
    var maxUpload = 20

    @Option(
        help: ArgumentHelp("Memory for thumbnails, in MB.", valueName: "MB"))
    var thumbnailCache = 64

    @Option(
        help: ArgumentHelp(
            "Requests per minute from one address (IPv6: from one /64); unlimited by default.",
            valueName: "number"))
    var rateLimit: Int?

    @Option(help: "Format of the log on stderr: text or json.")
    var logFormat = LogFormat.text

    @Flag(help: "Log every request, without the search text.")
    var logRequests = false

    @Flag(help: "Log the search text too.")
    var logQueries = false

    @OptionGroup var shared: SettingsOptions

    enum LogFormat: String, ExpressibleByArgument { case text, json }

    func validate() throws {
        try check("--port", port, in: 0...65_535)
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key must be given together.")
        }
        try check("--max-upload", maxUpload, in: 1...64)
        try check("--thumbnail-cache", thumbnailCache, in: 0...65_536)
        try check("--rate-limit", rateLimit, in: 1...1_000_000)
        var configuration = SearchSite.Configuration()
        do {
            try setAddresses(in: &configuration)
        } catch {
            throw ValidationError("\(error).")
        }
    }

    private func setAddresses(
        in configuration: inout SearchSite.Configuration
    ) throws(SiteOptionError) {
        configuration.hosts = try AllowedHosts(allowedHost, host: host)
        configuration.trustedProxies = try trustedProxy.map(AddressBlock.init)
    }

    func run() async {
        await Console.run("web-app") {
            let files = try OpenFileLimit.raise(minimum: Self.minimumOpenFiles)
            let given = try shared.read(for: "web-app")
            try given.limitInstructionSet()
            let settings = try await Console.onThread {
                try given.withRecordedFolder(applicationName: "web-app")
            }
            let search = try Searcher(settings)
            let site = SearchSite(
                search: search, embedder: search, source: search,
                configuration: try siteConfiguration(settings, openFiles: files),
                statistics: { search.textStatistics }, logger: logger)
            if !AllowedHosts.isLoopback(host), settings["WEB_AUTH"] == nil {
                logger.warning(
                    """
                    the page is open to everyone who can reach \(host) port \(port); set WEB_AUTH \
                    to ask for a password
                    """)
            }
            let (end, ended) = AsyncThrowingStream.makeStream(of: Never.self)
            Task {
                do {
                    try await site.run(host: host, port: port) { address in
                        // The site answers while the model is being loaded or downloaded: probes see
                        // that it is alive and not ready. Not waited for when it is told to stop.
                        Task {
                            do {
                                try await load(search, settings, address)
                            } catch {
                                ended.finish(throwing: error)
                            }
                        }
                    }
                    ended.finish()
                } catch {
                    ended.finish(throwing: error)
                }
            }
            for try await _ in end {}
            return 0
        }
    }

    private func load(_ search: Searcher, _ settings: Settings, _ address: String) async throws {
        try await search.load(staysOpen: true) { try Console.locateModel(settings) }
        Console.line("Search at \(address) (Ctrl-C to stop)")
        do {
            try await search.checkHealth()
        } catch {
            logger.warning("searches will fail: \(error)")
        }
    }

    /// What the database and the store may need, and a few dozen connections.
    private static let minimumOpenFiles = 256
    /// Descriptors that are not for visitors' connections.
    private static let reservedOpenFiles = 128

    private func siteConfiguration(
        _ settings: Settings, openFiles: Int
    ) throws -> SearchSite.Configuration {
        var configuration = SearchSite.Configuration()
        configuration.build = Console.build
        configuration.showsReasons =
            AllowedHosts.isLoopback(host) && trustedProxy.isEmpty
        // A visitor's connection may have a picture file open besides its socket.
        configuration.maximumConnections = min(2_048, (openFiles - Self.reservedOpenFiles) / 2)
        configuration.proxiesPictures = proxyImages
        configuration.maximumUploadBytes = maxUpload * 1_000_000
        configuration.thumbnailCacheBytes = thumbnailCache * 1_000_000
        configuration.requestsPerMinute = rateLimit
        if let name = try settings.optional("WEB_NAME") { configuration.siteName = name }
        if let examples = try settings.optional("WEB_EXAMPLES") {
            configuration.examples = examples.split(separator: ";")
                .map { $0.split(separator: " ").joined(separator: " ") }.filter { !$0.isEmpty }
        }
        switch try settings.optional("WEB_LIVE_SEARCH") {
        case nil, "on": break
        case "off": configuration.isLive = false
        case let value?:
            throw ValidationError("WEB_LIVE_SEARCH must be on or off, not \"\(value)\"")
        }
        configuration.access = try settings.optional("WEB_AUTH").map { try AccessRule($0) }
        try setAddresses(in: &configuration)
        configuration.logsRequests = logRequests || logQueries
        configuration.logsQueries = logQueries
        if let tlsCertificate, let tlsKey {
            configuration.tls = (tlsCertificate, tlsKey)
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
