import HTTPTypes
import Hummingbird
import Logging

/// The outermost layer: counts and times every request, and logs it.
///
/// An entry has the path without its query, which is what the visitor searched for, and without an
/// uploaded picture's vector.
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
        metrics.count(.requests, labels)
        metrics.observe(.requestSeconds, seconds: seconds, [("route", route)])
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
