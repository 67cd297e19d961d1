import HTTPTypes
import Hummingbird
import ImageSearch

/// The search for programs: JSON in answer to the same fields that pages have.
struct SearchAPI: Sendable {
    static let picturePrefix = "/api/pictures/"
    /// Pictures when a request does not say.
    static let defaultLimit = 10

    private static let terms: Set<String> = ["q", "more", "less", "image_key"]
    private static let parameters = terms.union([
        "limit", "offset", "min_score", "stacked", "prefix", "after", "before", "camera", "shape",
        "min_width", "min_height",
    ])

    let site: SearchSite

    func addRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/api/search") { request, context in
            let fields = FormFields((request.uri.query ?? "").utf8)
            try fields.checkNames(Self.parameters)
            let state = try SearchState(
                fields, defaultLimit: Self.defaultLimit, isStacked: false)
            guard !state.isEmpty else { throw SiteFailure.nothingToSearchFor }
            return try await results(of: state, request, context)
        }
        router.getAndHead("/api/embedding") { request, context in
            let fields = FormFields((request.uri.query ?? "").utf8)
            try fields.checkNames(Self.terms)
            let state = try SearchState(fields)
            guard !state.isEmpty else { throw SiteFailure.nothingToSearchFor }
            let found = try await site.answering(state, context) {
                try await site.search.vector(of: state.query)
            }
            return SearchSite.json(
                .object([
                    ("embedding", .array(found.vector.map(JSON.float))),
                    ("is_truncated", .bool(found.isTruncated)),
                ]))
        }
        router.on("/api/search", method: .post) { request, context in
            let client = site.clients.group(of: request, peer: context.peer)
            let upload = try await Upload(request, to: site, from: client)
            // Errors in the other fields are reported before the picture is read.
            try upload.fields.checkNames(Self.parameters)
            var state = try SearchState(
                upload.fields, defaultLimit: Self.defaultLimit, isStacked: false)
            state.picture = PictureVector(
                exact: try await site.embed(
                    upload.picture, from: client))
            return try await results(of: state, request, context)
        }
        router.getAndHead("/api/pictures/**") { request, context in
            guard let key = PicturePath.key(in: request.uri.path, after: Self.picturePrefix) else {
                throw SiteFailure.noSuchPicture
            }
            return try await picture(key, context)
        }
    }

    private func results(
        of state: SearchState, _ request: Request, _ context: SiteContext
    ) async throws -> Response {
        try await site.bounded((state.isStacked ? 4 : 1) * state.limit, request, context) {
            try await results(of: state, context)
        }
    }

    private func results(of state: SearchState, _ context: SiteContext) async throws -> Response {
        let result = try await site.answer(state, context)
        func members(_ hit: SearchHit) -> [(String, JSON)] {
            [
                ("rank", .integer(hit.rank)), ("key", .string(hit.key)),
                ("score", .number(hit.score)), ("url", url(of: hit.key)),
            ] + Self.members(hit.facts)
        }
        let hits = result.hits.map { hit in
            let copies = hit.copies.map { JSON.object(members($0)) }
            return JSON.object(members(hit) + (state.isStacked ? [("copies", .array(copies))] : []))
        }
        return SearchSite.json(
            .object([
                ("results", .array(hits)), ("has_more", .bool(result.hasMore)),
                ("is_truncated", .bool(result.isTruncated)),
            ]))
    }

    /// What is known of a stored picture. One that is in the store but not in the table is not found, as
    /// in any search.
    private func picture(_ key: String, _ context: SiteContext) async throws -> Response {
        guard key.utf8.count <= SearchState.maximumKeyBytes else { throw SiteFailure.noSuchPicture }
        let facts = try await site.storedFacts(key, context)
        let size = await site.pictures.size(of: key)
        return SearchSite.json(
            .object(
                [
                    ("key", .string(key)), ("url", url(of: key)),
                    ("size", size.map { .integer($0) } ?? .null),
                    ("similar", .string("/api" + SearchState(like: key).address)),
                ] + Self.members(facts)))
    }

    /// Only what is known.
    private static func members(_ facts: PictureFacts) -> [(String, JSON)] {
        var members: [(String, JSON)] = []
        if let width = facts.width { members.append(("width", .integer(width))) }
        if let height = facts.height { members.append(("height", .integer(height))) }
        if let time = facts.takenAt { members.append(("taken_at", .string(time))) }
        if let camera = facts.camera { members.append(("camera", .string(camera))) }
        return members
    }

    /// From the site's own root, or a link that works for an hour; null when there is none.
    private func url(of key: String) -> JSON {
        site.pages.pictures.original(of: key).map { .string($0) } ?? .null
    }
}
