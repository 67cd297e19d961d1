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
            guard let field = fields.first("search_text") else {
                throw SiteFailure.badText("The form has no field search_text.")
            }
            var state = try SearchState(fields)
            state.text = try QueryText(bytes: field)?.text
            try state.checkLength()
            guard !state.isEmpty else { return pages.hint(asFragment: true) }
            return try await results(for: state, asFragment: true, request, context)
        }
    }

    private func page(
        _ request: Request, picture: PictureVector?, _ context: SiteContext
    ) async throws -> Response {
        let fields = FormFields((request.uri.query ?? "").utf8)
        var state = try SearchState(fields, picture: picture)
        if try state.add(fields) {
            // The form for further words: to the address of the search with them.
            return Response(status: .seeOther, headers: [.location: state.fromStart.address])
        }
        if let key = state.view {
            return try await bounded(
                4 * Pages.neighbours + 1, linkBytes: state.queryPart.utf8.count, request, context
            ) { try await large(key, state, asFragment: request.wantsFragment, context) }
        }
        guard !state.isEmpty else { return pages.hint(asFragment: request.wantsFragment) }
        return try await results(
            for: state, asFragment: request.wantsFragment, request, context)
    }

    private func results(
        for state: SearchState, asFragment: Bool, _ request: Request, _ context: SiteContext
    ) async throws -> Response {
        let state = state.withBoundedPage
        return try await bounded(
            state.limit, linkBytes: state.queryPart.utf8.count, request, context
        ) {
            pages.results(
                try await answer(state, context), of: await total.value(), for: state,
                asFragment: asFragment)
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
        defer {
            metrics.observe(
                .searchSeconds, seconds: (ContinuousClock.now - begin) / .seconds(1),
                [("outcome", outcome)])
        }
        do {
            return try await searches.withPermit { try await body() }
        } catch {
            var failure = failure(error, for: state)
            failure.search = state
            outcome = failure.status.code >= 500 ? "failed" : "refused"
            if failure.status.code >= 500 { context.logger.error("A search failed: \(error)") }
            throw failure
        }
    }

    private func failure(_ error: any Error, for state: SearchState) -> SiteFailure {
        switch error {
        case let failure as SiteFailure: failure
        case is Searcher.NotReady: .starting
        case SearchError.modelMismatch where state.picture != nil:
            .badAddress("The picture in it was read by another model. Please choose it again.")
        case let error as SearchError:
            SiteFailure(error, showsReasons: configuration.showsReasons)
        default:
            .searchUnavailable(reason: configuration.showsReasons ? "\(error)" : nil)
        }
    }

    /// The embedding of a visitor's picture. Takes a place in the queue only now that the picture has
    /// arrived, so that slow uploads hold none.
    /// - Throws: ``SiteFailure``.
    func embed(_ picture: [UInt8], from client: String) async throws -> [Float] {
        guard let embedder else { throw SiteFailure.starting }
        let begin = ContinuousClock.now
        defer {
            metrics.observe(
                .pictureSeconds, seconds: (ContinuousClock.now - begin) / .seconds(1))
        }
        do {
            return try await encodingPlaces.withPermit(for: client) {
                try await encodings.run { try embedder.embed(picture) }
            }
        } catch let error as SearchError {
            throw SiteFailure(error, showsReasons: configuration.showsReasons)
        } catch is Searcher.NotReady {
            throw SiteFailure.starting
        }
    }

    private func formBody(of request: Request) async throws -> [UInt8] {
        // Only what a form sends; a missing type is a hand-made request's and taken for one.
        let type = request.headers[.contentType] ?? "application/x-www-form-urlencoded"
        let name = type.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        guard name == "application/x-www-form-urlencoded" else {
            throw SiteFailure(
                status: .unsupportedMediaType, heading: "This text cannot be searched for",
                message: "The form has to come as application/x-www-form-urlencoded.")
        }
        guard let body = try await request.bytes(upTo: Self.maximumFormSize) else {
            throw SiteFailure(
                status: .contentTooLarge, heading: "This text is too long",
                message: "The longest text that is searched for has "
                    + "\(QueryText.maximumLength) characters.")
        }
        return body
    }
}

extension SearchState {
    /// Takes in what the form for further words sends: `add`, and `sign` `more` or `less`.
    /// - Returns: whether there was such a field.
    fileprivate mutating func add(_ fields: FormFields) throws(SiteFailure) -> Bool {
        guard let field = fields.first("add") else { return false }
        guard let text = try QueryText(bytes: field)?.text else { return true }
        let isLess = fields.first("sign")?.elementsEqual("less".utf8) ?? false
        guard (isLess ? less : more).count < Self.maximumTerms else {
            throw .badAddress(
                "At most \(Self.maximumTerms) words or phrases can be added or left out.")
        }
        if isLess { less.append(text) } else { more.append(text) }
        try checkLength()
        return true
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
