import HTTPTypes
import Hummingbird
import ImageSearch

/// The search for programs: JSON in answer to the same fields that pages have.
extension SearchSite {
    private static let terms: Set<String> = ["q", "more", "less", "image_key"]
    private static let parameters = terms.union([
        "limit", "offset", "min_score", "stacked", "prefix", "after", "before", "camera", "shape",
        "min_width", "min_height",
    ])

    func addAPIRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/api/search") { request, context in
            let state = try Self.state(FormFields(of: request))
            guard !state.isEmpty else { throw SiteFailure.nothingToSearchFor }
            return try await hits(of: state, request, context)
        }
        router.getAndHead("/api/embedding") { request, context in
            let state = try Self.state(FormFields(of: request), allowing: Self.terms)
            guard !state.isEmpty else { throw SiteFailure.nothingToSearchFor }
            let found = try await answering(state, context) {
                try await search.vector(of: state.query)
            }
            return Self.json([
                ("embedding", .array(found.vector.map(JSON.float))),
                ("is_truncated", .bool(found.isTruncated)),
            ])
        }
        router.on("/api/search", method: .post) { request, context in
            let client = clients.group(of: request, peer: context.peer)
            let upload = try await Upload(request, to: self, from: client)
            // Errors in the other fields are reported before the picture is read.
            var state = try Self.state(upload.fields)
            state.picture = PictureVector(exact: try await embed(upload.picture, from: client))
            return try await hits(of: state, request, context)
        }
        router.getAndHead("/api/pictures/**") { request, context in
            try await facts(of: try PicturePath.facts.key(in: request), context)
        }
    }

    /// - Throws: ``SiteFailure`` with status 400 for a parameter that is not in `names`, or of a wrong value.
    private static func state(
        _ fields: FormFields, allowing names: Set<String> = parameters
    ) throws(SiteFailure) -> SearchState {
        try fields.checkNames(names)
        return try SearchState(fields, defaultLimit: 10, isStacked: false)
    }

    private func hits(
        of state: SearchState, _ request: Request, _ context: SiteContext
    ) async throws -> Response {
        try await bounded((state.isStacked ? 4 : 1) * state.limit, request, context) {
            let result = try await answer(state, context)
            func members(_ hit: SearchHit) -> [(String, JSON)] {
                [
                    ("rank", .integer(hit.rank)), ("key", .string(hit.key)),
                    ("score", .number(hit.score)), ("url", url(of: hit.key)),
                ] + JSON.members(hit.facts)
            }
            let hits = result.hits.map { hit in
                let copies = hit.copies.map { JSON.object(members($0)) }
                return JSON.object(
                    members(hit) + (state.isStacked ? [("copies", .array(copies))] : []))
            }
            return Self.json([
                ("results", .array(hits)), ("has_more", .bool(result.hasMore)),
                ("is_truncated", .bool(result.isTruncated)),
            ])
        }
    }

    /// What is known of a stored picture. One that is in the store but not in the table is not found, as
    /// in any search.
    private func facts(of key: String, _ context: SiteContext) async throws -> Response {
        guard key.utf8.count <= FormFields.maximumTextBytes else { throw SiteFailure.noSuchPicture }
        let facts = try await storedFacts(key, context)
        let size = await pictures.size(of: key)
        return Self.json(
            [
                ("key", .string(key)), ("url", url(of: key)),
                ("size", size.map { .integer($0) } ?? .null),
                ("similar", .string("/api" + SearchState(like: key).address)),
            ] + JSON.members(facts))
    }

    /// From the site's own root, or a link that works for an hour; null when there is none.
    private func url(of key: String) -> JSON {
        pages.pictures.original(of: key).map { .string($0) } ?? .null
    }
}
