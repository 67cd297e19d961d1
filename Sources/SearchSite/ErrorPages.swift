import HTTPTypes
import Hummingbird
import ImageSearch

/// Turns what routes throw into pages, into a fragment for the script, or into a problem document for
/// programs.
struct ErrorPages: RouterMiddleware {
    let pages: Pages
    /// Path to methods; a known path asked with another method is answered 405.
    let allowedMethods: [String: String]
    let showsReasons: Bool

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            let failure = failure(error, request, context)
            return request.isByProgram
                ? Problem.response(failure) : pages.failure(failure, for: request)
        }
    }

    private func failure(
        _ error: any Error, _ request: Request, _ context: SiteContext
    ) -> SiteFailure {
        switch error {
        case let failure as SiteFailure: return failure
        case let error as any HTTPResponseError where error.status == .notFound:
            // Only the router throws this.
            return unrouted(request)
        case is Overload: return .overloaded
        case let error as PictureSourceError:
            if case .unavailable(let reason) = error {
                context.logger.error("The store did not hand out a picture: \(reason)")
            }
            return SiteFailure(error)
        case let error as SearchError: return SiteFailure(error, showsReasons: showsReasons)
        case is CancellationError:
            // The visitor left, or the server is shutting down.
            return .overloaded
        default:
            context.logger.error("\(request.method) \(RequestLog.path(request)) failed: \(error)")
            return .internalError
        }
    }

    private func unrouted(_ request: Request) -> SiteFailure {
        let path = request.uri.path
        if let allowed = allowedMethods[path] {
            return .methodNotAllowed(allowed: allowed)
        }
        let reads = request.method == .get || request.method == .head
        let prefixes = [
            PicturePath.prefix, PicturePath.thumbnailPrefix, SearchAPI.picturePrefix, "/search/",
        ]
        if !reads, prefixes.contains(where: { path.utf8.starts(with: $0.utf8) }) {
            return .methodNotAllowed(allowed: "GET, HEAD")
        }
        return .notFound
    }
}

extension Request {
    /// Whether a program asks rather than a browser's visitor.
    var isByProgram: Bool {
        ["/api/", "/health", "/ready", "/metrics", "/openapi.json"]
            .contains { uri.path.utf8.starts(with: $0.utf8) }
    }
}

/// A failure as programs read it: `application/problem+json` (RFC 9457).
enum Problem {
    static func response(_ failure: SiteFailure) -> Response {
        var members: [(String, JSON)] = [
            ("title", .string(failure.heading)), ("status", .integer(failure.status.code)),
            ("detail", .string(failure.message)),
        ]
        if let reason = failure.operatorDetail { members.append(("reason", .string(reason))) }
        var response = Response(
            JSON.object(members).text, "application/problem+json", status: failure.status)
        response.headers.append(contentsOf: failure.headers)
        return response
    }
}

extension SiteFailure {
    /// What a search threw.
    init(_ error: SearchError, showsReasons: Bool) {
        switch error {
        case .invalid(let reason):
            self = .badAddress("The search cannot be made: \(reason).")
        case .termsCancelOut:
            self = SiteFailure(
                status: .badRequest, heading: "These words cancel each other out",
                message: "Nothing is left to search for. Leave out one of them.")
        case .unsupportedPicture:
            self = SiteFailure(
                status: .unsupportedMediaType, heading: "This is not a picture that can be read",
                message: "Please choose another file, such as a JPEG.")
        case .damagedPicture:
            self = SiteFailure(
                status: .unprocessableContent, heading: "This picture cannot be read",
                message: "The file is damaged, cut off, or has far too many pixels.")
        case .pictureTooLarge(_, let limit): self = .tooLarge(limit: limit)
        case .unknownKey:
            self = SiteFailure(
                status: .notFound, heading: "There is no such picture",
                message: "No picture with that key is in the index. It may have been removed.")
        case .overloaded: self = .overloaded
        case .databaseUnavailable(let reason), .modelMismatch(let reason):
            self = .searchUnavailable(reason: showsReasons ? reason : nil)
        }
    }
}
