import HTTPTypes
import Hummingbird
import Logging

/// The outermost layer: counts and times every request, and logs it.
///
/// An entry has the path without its query, since the query is what somebody searched for, and an
/// uploaded picture's address without the picture.
struct RequestLog: RouterMiddleware {
    let metrics: Metrics
    let clients: ClientAddress
    /// Logs every request at level `info` rather than `debug`.
    let logsRequests: Bool
    /// Logs what is searched for, too.
    let logsQueries: Bool

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        let begin = ContinuousClock.now
        let response = try await next(request, context)
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        // The router's own name for what it has no route for.
        let route = context.endpointPath.flatMap { $0 == "NotFound" ? nil : $0 } ?? "none"
        let labels = [
            ("method", Self.methods.contains(request.method) ? request.method.rawValue : "other"),
            ("route", route), ("status", "\(response.status.code)"),
        ]
        metrics.count(MetricName.requests, labels)
        metrics.observe(MetricName.requestSeconds, seconds: seconds, [("route", route)])
        let level: Logger.Level = logsRequests ? .info : .debug
        guard level >= context.logger.logLevel else { return response }
        var metadata: Logger.Metadata = [
            "method": "\(request.method)", "path": "\(Self.path(request))",
            "status": "\(response.status.code)",
            "milliseconds": "\((seconds * 100_000).rounded() / 100)",
            "client": "\(clients.text(of: request, peer: context.peer))",
        ]
        if let length = response.body.contentLength { metadata["bytes"] = "\(length)" }
        if logsQueries, let query = request.uri.query { metadata["query"] = "\(query)" }
        context.logger.log(level: level, "request", metadata: metadata)
        return response
    }

    private static let methods: [HTTPRequest.Method] = [.get, .head, .post, .options]

    /// The path, without an uploaded picture in it.
    static func path(_ request: Request) -> Substring {
        let path = request.uri.path
        return path.hasPrefix("/search/") ? "/search/…" : path.prefix(1_024)
    }
}

/// The names of the site's numbers.
enum MetricName {
    static let requests = "clip_search_requests_total"
    static let requestSeconds = "clip_search_request_seconds"
    static let searchSeconds = "clip_search_search_seconds"
    static let pictureSeconds = "clip_search_picture_encoding_seconds"
    static let refused = "clip_search_refused_total"
}
