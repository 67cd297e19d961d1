import HTTPTypes
import Hummingbird
import ImageSearch

/// The search for programs: JSON in answer to the same fields that pages have.
struct SearchAPI: Sendable {
    static let picturePrefix = "/api/pictures/"
    /// Pictures when a request does not say.
    static let defaultLimit = 10

    let site: SearchSite

    func addRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/api/search") { request, context in
            let fields = FormFields((request.uri.query ?? "").utf8)
            let state = try SearchState(fields, defaultLimit: Self.defaultLimit)
            guard !state.isEmpty else { throw SiteFailure.nothingToSearchFor }
            return try await results(of: state, context)
        }
        router.on("/api/search", method: .post) { request, context in
            let client = site.clients.group(of: request, peer: context.peer)
            let upload = try await Upload(request, to: site, from: client)
            // What is wrong with the other fields is told before the picture is read.
            var state = try SearchState(upload.fields, defaultLimit: Self.defaultLimit)
            state.picture = PictureVector(
                exact: try await site.embed(
                    upload.picture, from: client))
            return try await results(of: state, context)
        }
        router.getAndHead("/api/pictures/**") { request, context in
            guard let key = PicturePath.key(in: request.uri.path, after: Self.picturePrefix) else {
                throw SiteFailure.noSuchPicture
            }
            return try await picture(key, context)
        }
    }

    private func results(
        of state: SearchState, _ context: SiteContext
    ) async throws -> Response {
        let result = try await site.answer(state, context)
        let hits = result.hits.map { hit in
            JSON.object([
                ("rank", .integer(hit.rank)), ("key", .string(hit.key)),
                ("score", .number(hit.score)), ("url", url(of: hit.key)),
            ])
        }
        return SearchSite.json(
            .object([
                ("results", .array(hits)), ("has_more", .bool(result.hasMore)),
                ("is_truncated", .bool(result.isTruncated)),
            ]))
    }

    /// What is known of a stored picture. One that is in the store but not in the table cannot be
    /// found by any search, so it is none.
    private func picture(_ key: String, _ context: SiteContext) async throws -> Response {
        guard key.utf8.count <= SearchState.maximumKeyBytes else { throw SiteFailure.noSuchPicture }
        try await site.checkStored(key, context)
        let size = await site.pictures.size(of: key)
        return SearchSite.json(
            .object([
                ("key", .string(key)), ("url", url(of: key)),
                ("size", size.map { .integer($0) } ?? .null),
                ("similar", .string("/api" + SearchState(like: key).address)),
            ]))
    }

    /// From the site's own root, or a link that works for an hour; null when there is none.
    private func url(of key: String) -> JSON {
        site.pages.pictures.original(of: key).map { .string($0) } ?? .null
    }
}
