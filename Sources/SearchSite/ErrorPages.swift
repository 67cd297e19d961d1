import Hummingbird

/// Turns what routes throw into pages, or into a fragment for the script.
struct ErrorPages: RouterMiddleware {
    let pages: Pages
    /// Path to methods; a known path asked with another method is answered 405.
    let allowedMethods: [String: String]

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let failure as SiteFailure {
            return pages.failure(failure, for: request)
        } catch let error as any HTTPResponseError where error.status == .notFound {
            // Only the router throws this.
            return pages.failure(unrouted(request), for: request)
        } catch {
            context.logger.error("\(request.method) \(request.uri.path) failed: \(error)")
            return pages.failure(.internalError, for: request)
        }
    }

    private func unrouted(_ request: Request) -> SiteFailure {
        let path = request.uri.path
        if let allowed = allowedMethods[path] {
            return .methodNotAllowed(allowed: allowed)
        }
        let reads = request.method == .get || request.method == .head
        if path.utf8.starts(with: PicturePath.prefix.utf8), !reads {
            return .methodNotAllowed(allowed: "GET, HEAD")
        }
        return .notFound
    }
}
