import Hummingbird
import ImageSearch
import Logging

/// The web pages of the search: a box to type in, the nearest pictures below it.
///
/// | route | answers |
/// |---|---|
/// | `GET /` | the page with the search box |
/// | `GET /search?q=…` | the whole page with results; works without JavaScript |
/// | `POST /search_form` | the results alone, an HTML fragment for field `search_text` |
/// | `GET /pictures/<key>` | a picture's bytes, when the store is a directory |
/// | `GET /health` | `{"status":"ok"}`, or 503 and why searches cannot be answered |
///
/// Style sheet, script and icon come from the site itself; nothing is loaded from other hosts
/// except the pictures, whose origin the content security policy names.
public struct SearchSite: Sendable {
    let search: any PictureSearch
    let resultCount: Int
    let showsReasons: Bool
    let logger: Logger
    let pages: Pages

    /// - Parameters:
    ///   - search: answers the searches.
    ///   - resultCount: how many pictures a results page shows, at least 1.
    ///   - showsReasons: whether pages and `/health` say why a search failed. A reason names servers
    ///     and tables, so it is for sites that only their operator can reach; the log has it always.
    ///   - logger: told about failed searches and, at level `debug`, about every request. Texts
    ///     that people search for are never logged. Without one, stderr gets warnings and errors.
    public init(
        search: any PictureSearch, resultCount: Int = 4, showsReasons: Bool = false,
        logger: Logger? = nil
    ) {
        self.search = search
        self.showsReasons = showsReasons
        self.resultCount = max(1, resultCount)
        self.logger = logger ?? Self.standardErrorLogger()
        self.pages = Pages(search: search)
    }

    private static func standardErrorLogger() -> Logger {
        var logger = Logger(label: "web-app") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        return logger
    }

    /// Everything a request passes through, without a server: what the server and the tests run.
    package func responder() -> RouterResponder<SiteContext> {
        let router = Router(context: SiteContext.self)
        router.add(middleware: ResponseHeaders())
        router.add(middleware: ErrorPages(pages: pages, allowedMethods: Self.allowedMethods))
        addSearchRoutes(to: router)
        addPictureRoute(to: router)
        addHealthRoute(to: router)
        addAssetRoutes(to: router)
        return router.buildResponder()
    }

    /// The methods of each path, for the `Allow` field of a 405 (RFC 9110, 15.5.6).
    static let allowedMethods: [String: String] = {
        var methods = ["/search_form": "POST"]
        for path in ["/", "/search", "/health"] + Asset.all.map(\.path) {
            methods[path] = "GET, HEAD"
        }
        return methods
    }()
}

/// What travels with a request. Unlike Hummingbird's own context it can be made without a channel.
package struct SiteContext: RequestContext {
    package var coreContext: CoreRequestContextStorage

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
    }

    package init(logger: Logger) {
        struct Source: RequestContextSource {
            let logger: Logger
        }
        coreContext = CoreRequestContextStorage(source: Source(logger: logger))
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
