import HTTPTypes
import Hummingbird
import ImageSearch

extension SearchSite {
    /// Bytes of a form's body; the longest text that is searched for takes 12,000 when every code
    /// point is four bytes and every byte is percent-encoded.
    static let maximumFormSize = 64 * 1024

    /// `/`, `/search`, `/search/<picture>` and `/search_form`.
    func addSearchRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/") { request, _ in
            pages.home(await sample.value(), asFragment: request.wantsFragment)
        }
        router.getAndHead("/search") { request, context in
            try await page(request, picture: nil, context)
        }
        router.getAndHead("/search/*") { request, context in
            guard let picture = PictureVector(text: request.uri.path.dropFirst("/search/".count))
            else { throw SiteFailure.notFound }
            return try await page(request, picture: picture, context)
        }
        router.on("/search", method: .post) { request, context in
            let client = clients.group(of: request, peer: context.peer)
            let upload = try await Upload(request, to: self, from: client)
            let picture = try await embed(upload.picture, from: client)
            let state = try SearchState(upload.fields, picture: PictureVector(picture))
            // The search gets an address of its own, and going back asks for no second upload.
            return Response(status: .seeOther, headers: [.location: state.address])
        }
        router.on("/search_form", method: .post) { request, context in
            let fields = FormFields(try await formBody(of: request))
            guard fields.contains("search_text") else {
                throw SiteFailure.badText("The form has no field search_text.")
            }
            var state = try SearchState(fields)
            state.text = try fields.words("search_text").first
            try state.checkLength()
            return try await results(for: state, request, context)
        }
    }

    private func page(
        _ request: Request, picture: PictureVector?, _ context: SiteContext
    ) async throws -> Response {
        let fields = FormFields(of: request)
        let state = try SearchState(fields, picture: picture)
        if fields.contains("add") {
            // The form for further words: to the address of the search with them.
            return Response(status: .seeOther, headers: [.location: state.fromStart.address])
        }
        guard let key = state.view else { return try await results(for: state, request, context) }
        return try await bounded(
            4 * Pages.neighbours + 1, linkBytes: state.queryPart.utf8.count, request, context
        ) { try await large(key, state, asFragment: request.wantsFragment, context) }
    }

    private func results(
        for state: SearchState, _ request: Request, _ context: SiteContext
    ) async throws -> Response {
        guard !state.isEmpty else { return pages.hint(asFragment: request.wantsFragment) }
        let state = state.with { $0.limit = min($0.limit, $0.largestLimit) }
        return try await bounded(
            state.limit, linkBytes: state.queryPart.utf8.count, request, context
        ) {
            pages.results(
                try await answer(state, context), of: await total.value(), for: state,
                asFragment: request.wantsFragment)
        }
    }

    /// A large response counts as unsent from before it is made until the client has taken it: no more are
    /// made at once than may wait for slow clients, so that they neither fill memory nor keep the
    /// processors from others.
    ///
    /// - Parameters:
    ///   - count: pictures in the response.
    ///   - linkBytes: of the addresses that each of them repeats.
    /// - Throws: ``SiteFailure`` when too many bytes are waiting, or what `make` throws.
    func bounded(
        _ count: Int, linkBytes: Int = 0, _ request: Request, _ context: SiteContext,
        _ make: () async throws -> Response
    ) async throws -> Response {
        let small = 64 << 10
        let expected = count * (linkBytes + 1_024)
        let reserved = expected > small ? expected : 0
        let share = try unsent.take(
            reserved, for: clients.group(of: request, peer: context.peer))
        var response = try await Compression.compressed(try await make(), for: request)
        let body = response.body
        guard let bytes = body.contentLength, max(bytes, expected) > small else { return response }
        try share.grow(by: max(0, bytes - reserved))
        response.body = ResponseBody(contentLength: bytes) { writer in
            try await body.write(writer)
            withExtendedLifetime(share) {}
        }
        return response
    }

    /// One picture, large. Its score and its neighbours are those of the search from which it was
    /// chosen, made again for that place.
    private func large(
        _ key: String, _ state: SearchState, asFragment: Bool, _ context: SiteContext
    ) async throws -> Response {
        guard (try? search.location(of: key)) != nil else { throw SiteFailure.noSuchPicture }
        var hits: [SearchHit] = []
        func isThis(_ hit: SearchHit) -> Bool { hit.key.utf8.elementsEqual(key.utf8) }
        if !state.isEmpty, state.place > 0 {
            // Copies may be among the pictures before it.
            var around = state
            around.offset = max(0, state.place - 1 - 3 * Pages.neighbours)
            around.limit = state.place - around.offset + Pages.neighbours
            hits = try await answer(around, context).hits
            if state.isStacked, !hits.contains(where: isThis) {
                around.isStacked = false
                hits = try await answer(around, context).hits
            }
        }
        // The site shows only pictures that a search can find, whatever else the store holds.
        let mine = hits.first(where: isThis)
        let facts = if let mine { mine.facts } else { try await storedFacts(key, context) }
        return pages.picture(
            key, facts, bytes: await pictures.size(of: key), hits: hits, for: state,
            asFragment: asFragment)
    }

    /// What the index knows of a picture.
    /// - Throws: ``SiteFailure``, with status 404 when it is not in the index.
    func storedFacts(_ key: String, _ context: SiteContext) async throws -> PictureFacts {
        var state = SearchState(like: key)
        (state.limit, state.isStacked) = (1, false)
        let hit = try await answer(state, context).hits.first
        return hit.flatMap { $0.key.utf8.elementsEqual(key.utf8) ? $0.facts : nil } ?? .init()
    }

    /// Makes a search, and logs why one failed.
    /// - Throws: ``SiteFailure``.
    func answer(_ state: SearchState, _ context: SiteContext) async throws -> SearchResult {
        try await answering(state, context) { try await search.search(state.query) }
    }

    /// Does what answers a search, and logs why it failed.
    /// - Throws: ``SiteFailure``.
    func answering<Answer: Sendable>(
        _ state: SearchState, _ context: SiteContext, _ body: () async throws -> Answer
    ) async throws -> Answer {
        let begin = ContinuousClock.now
        var outcome = "found"
        defer { metrics.observe(.searchSeconds, since: begin, [("outcome", outcome)]) }
        do {
            return try await searches.withPermit { try await body() }
        } catch {
            let showsReasons = configuration.showsReasons
            var failure =
                SiteFailure(error, showsReasons: showsReasons)
                ?? .searchUnavailable(reason: showsReasons ? "\(error)" : nil)
            if case SearchError.modelMismatch = error, state.picture != nil {
                failure = .badAddress(
                    "The picture in it was read by another model. Please choose it again.")
            }
            failure.search = state
            outcome = failure.status.code >= 500 ? "failed" : "refused"
            if failure.status.code >= 500 { context.logger.error("A search failed: \(error)") }
            throw failure
        }
    }

    /// The embedding of a visitor's picture. Takes a place in the queue only now that the picture has
    /// arrived, so that slow uploads hold none.
    func embed(_ picture: [UInt8], from client: String) async throws -> [Float] {
        guard let embedder else { throw SiteFailure.starting }
        let begin = ContinuousClock.now
        defer { metrics.observe(.pictureSeconds, since: begin) }
        return try await encodingPlaces.withPermit(for: client) {
            try await encodings.run { try embedder.embed(picture) }
        }
    }

    private func formBody(of request: Request) async throws -> [UInt8] {
        // Only what a form sends; a missing type is a hand-made request's and taken for one.
        let form = "application/x-www-form-urlencoded"
        guard request.mediaType ?? form == form else {
            throw SiteFailure(
                status: .unsupportedMediaType, heading: "This text cannot be searched for",
                message: "The form has to come as \(form).")
        }
        guard let body = try await request.bytes(upTo: Self.maximumFormSize) else {
            throw SiteFailure(
                status: .contentTooLarge, heading: "This text is too long",
                message: "The longest text that is searched for has "
                    + "\(FormFields.maximumWordsLength) characters.")
        }
        return body
    }
}

extension Request {
    /// The body, or nil when it has more bytes than the limit; no more are held.
    /// - Parameter share: grows with the bytes.
    func bytes(upTo limit: Int, of share: Budget.Share? = nil) async throws -> [UInt8]? {
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit { return nil }
        var bytes: [UInt8] = []
        do {
            for try await part in body {
                guard bytes.count + part.readableBytes <= limit else { return nil }
                try share?.grow(by: part.readableBytes)
                bytes += part.readableBytesView
            }
        } catch let failure as SiteFailure {
            throw failure
        } catch {
            // The client left, or sent something other than HTTP.
            throw SiteFailure.brokenOff
        }
        return bytes
    }
}

extension SiteFailure {
    fileprivate static let brokenOff = SiteFailure(
        status: .badRequest, heading: "The request did not arrive as a whole",
        message: "Please send it again.", headers: [.connection: "close"])
}
