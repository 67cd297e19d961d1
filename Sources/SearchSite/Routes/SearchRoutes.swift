import HTTPTypes
import Hummingbird
import ImageSearch

extension SearchSite {
    /// Bytes of a form's body; the longest text that is searched for takes 12,000 when every code
    /// point is four bytes and every byte is percent-encoded.
    static let maximumFormSize = 64 * 1024

    /// `/`, `/search` and `/search_form`.
    func addSearchRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/") { _, _ in
            pages.home()
        }
        router.getAndHead("/search") { request, context in
            let query = (request.uri.query ?? "").utf8
            let field = FormFields.value(of: "q", in: query) ?? []
            guard let text = try QueryText(bytes: field)?.text else {
                return pages.hint(asFragment: false)
            }
            return try await results(for: text, asFragment: false, context)
        }
        router.on("/search_form", method: .post) { request, context in
            guard let text = try QueryText(bytes: await formField(of: request))?.text else {
                return pages.hint(asFragment: true)
            }
            return try await results(for: text, asFragment: true, context)
        }
    }

    private func results(
        for text: String, asFragment: Bool, _ context: SiteContext
    ) async throws -> Response {
        let result: SearchResult
        do {
            result = try await search.search(text, limit: resultCount)
        } catch {
            context.logger.error("A search failed: \(error)")
            var failure = SiteFailure.searchUnavailable(
                reason: showsReasons ? "\(error)" : nil)
            failure.query = text
            throw failure
        }
        return pages.results(result, for: text, asFragment: asFragment)
    }

    private func formField(of request: Request) async throws -> [UInt8] {
        // Only what a form sends; a missing type is a hand-made request's and taken for one.
        let type = request.headers[.contentType] ?? "application/x-www-form-urlencoded"
        let name = type.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        guard name == "application/x-www-form-urlencoded" else {
            throw SiteFailure(
                status: .unsupportedMediaType, heading: "This text cannot be searched for",
                message: "The form has to come as application/x-www-form-urlencoded.")
        }
        var body: [UInt8] = []
        for try await part in request.body {
            guard body.count + part.readableBytes <= Self.maximumFormSize else {
                throw SiteFailure(
                    status: .contentTooLarge, heading: "This text is too long",
                    message: "The longest text that is searched for has "
                        + "\(QueryText.maximumLength) characters.")
            }
            body += part.readableBytesView
        }
        guard let field = FormFields.value(of: "search_text", in: body) else {
            throw SiteFailure.badText("The form has no field search_text.")
        }
        return field
    }
}
