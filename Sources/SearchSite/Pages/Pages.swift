import HTTPTypes
import Hummingbird
import ImageSearch

/// Makes the answers that people see, as whole pages or as fragments for the script.
struct Pages: Sendable {
    let pictures: PictureAddresses

    static let siteName = "Picture Search"
    static let description = "Find pictures by what they show, in your own words."
    static let examples = ["cat", "man jumping", "outer space"].map {
        Link(text: $0, address: SearchState(text: $0).address)
    }

    /// Pictures that a browser fetches at once; those further down are fetched when they come near.
    private static let picturesAtOnce = 8

    /// The page with nothing but the search box.
    func home() -> Response {
        page(.home, title: Self.siteName, query: "", content: "")
    }

    /// For a search without a text.
    func hint(asFragment: Bool) -> Response {
        let content = MessageContent(
            heading: "What are you looking for?",
            message: "Type a few words that describe the picture, then press Enter.",
            hasExamples: true)
        return answer(content, query: "", asFragment: asFragment)
    }

    // MARK: A search

    func results(
        _ result: SearchResult, of total: Int?, for state: SearchState, asFragment: Bool
    ) -> Response {
        let title = "\(state.subject.prefix(80)) - \(Self.siteName)"
        let query = state.text ?? ""
        guard !result.hits.isEmpty else {
            return answer(nothing(for: state), query: query, asFragment: asFragment)
        }
        let count = result.hits.count
        let first = state.offset + 1
        var found = count == 1 ? "The nearest picture" : "The \(count) nearest pictures"
        if state.offset > 0 { found = "Pictures \(first) to \(state.offset + count)" }
        let chips = state.chips
        let isFirst = state.offset == 0
        let more = result.hasMore ? state.more(after: count) : nil
        // The picture itself is nearest to it, so that its row is usually there.
        let reference =
            state.keys.count == 1
            ? result.hits.first { $0.key.utf8.elementsEqual(state.keys[0].utf8) } : nil
        let content = ResultsContent(
            title: title, status: "\(found) for \(state.subject)", query: query,
            subject: state.subject, isText: state.text != nil && !state.isBesidePicture,
            count: Self.count(found, of: total, state), isTruncated: result.isTruncated,
            first: first,
            hits: hits(result, for: state), chips: chips, hasChips: !chips.isEmpty,
            path: state.picture.map { "/search/\($0.text)" } ?? "/search", hidden: state.fields,
            filters: state.filterForm,
            reference: reference.flatMap { pictures.thumbnail(of: $0.key, $0.facts) },
            back: isFirst
                ? nil : state.with { $0.offset = max(0, $0.offset - $0.limit) }.queryPart,
            more: more, hasPages: !isFirst || more != nil)
        return answer(
            Templates.render(content), title: title, query: query, asFragment: asFragment)
    }

    /// "1,005 pictures, nearest first".
    private static func count(_ found: String, of total: Int?, _ state: SearchState) -> String {
        guard state.offset == 0 else { return found }
        guard let total, total > 0, state.filter.isEmpty else { return "Nearest first" }
        var digits = "\(total)"
        for place in stride(from: digits.count - 3, to: 0, by: -3) {
            digits.insert(",", at: digits.index(digits.startIndex, offsetBy: place))
        }
        return "\(digits) picture\(total == 1 ? "" : "s"), nearest first"
    }

    private func hits(
        _ result: SearchResult, for state: SearchState
    ) -> [ResultsContent.Hit] {
        result.hits.enumerated().map { index, hit in
            ResultsContent.Hit(
                rank: hit.rank, key: hit.key, shape: PictureShape(hit.facts),
                isFarDown: index >= Self.picturesAtOnce, view: state.viewing(hit).queryPart,
                like: SearchState(like: hit.key).address,
                thumbnail: pictures.thumbnail(of: hit.key, hit.facts))
        }
    }

    /// No pictures, and why.
    private func nothing(for state: SearchState) -> MessageContent {
        let query = state.text ?? ""
        if state.offset > 0 {
            return MessageContent(
                heading: "No more pictures",
                message: "The search has no pictures this far down.", query: query,
                link: Link(text: "Back to the nearest", address: state.fromStart.address))
        }
        if !state.filter.isEmpty {
            return MessageContent(
                heading: "No picture matches the filters",
                message:
                    "A picture whose date, camera or size is unknown matches no filter for it.",
                query: query,
                link: Link(
                    text: "Search without filters",
                    address: state.with { $0.filter = .init() }.address))
        }
        if state.minimumScore != nil {
            return MessageContent(
                heading: "No picture is that similar",
                message: "None reaches the similarity that the address asks for.", query: query,
                link: Link(
                    text: "Show the nearest anyway",
                    address: state.with { $0.minimumScore = nil }.address))
        }
        return MessageContent(
            heading: "No pictures yet",
            message: "There is nothing to search in. Once process-images has read the bucket, "
                + "its pictures appear here:",
            query: query, command: "process-images")
    }

    // MARK: One picture

    /// A picture shown large.
    ///
    /// - Parameters:
    ///   - key: the picture.
    ///   - facts: what its row knows.
    ///   - bytes: the size of its file, if that is known.
    ///   - hits: the picture and its neighbours in the search from which it was chosen, where the
    ///     search still finds it there.
    ///   - state: that search, with the picture.
    func picture(
        _ key: String, _ facts: PictureFacts, bytes: Int?, hits: [SearchHit],
        for state: SearchState, asFragment: Bool
    ) -> Response {
        let title = "\(key.prefix(80)) - \(Self.siteName)"
        let list = state.withoutView
        let mine = hits.first { $0.key.utf8.elementsEqual(key.utf8) }
        func neighbour(_ step: Int) -> String? {
            guard let mine, let hit = hits.first(where: { $0.rank == mine.rank + step }) else {
                return nil
            }
            return state.viewing(hit).queryPart
        }
        let film =
            mine == nil
            ? []
            : hits.map {
                PictureContent.Neighbour(
                    address: state.viewing($0).queryPart,
                    thumbnail: pictures.thumbnail(of: $0.key, $0.facts),
                    key: $0.key, isCurrent: $0.rank == mine?.rank)
            }
        let source = pictures.original(of: key)
        let isHere = source?.hasPrefix(PicturePath.prefix) ?? false
        let content = PictureContent(
            title: title, status: "Picture \(key)", query: state.text ?? "", key: key,
            source: source, download: isHere ? source.map { $0 + "?download" } : nil,
            original: isHere ? nil : source, size: bytes.map { ByteCount.text($0) },
            pixels: facts.width.flatMap { width in facts.height.map { "\(width) × \($0)" } },
            taken: facts.takenAt.map { $0.replacing("T", with: " ").prefix(16) }.map(String.init),
            camera: facts.camera, place: mine?.rank,
            score: mine.map { Self.threeDecimals($0.score) }, previous: neighbour(-1),
            next: neighbour(1), film: film, hasFilm: film.count > 1,
            like: SearchState(like: key).address,
            back: list.isEmpty ? "/" : list.queryPart + "#n\(state.place)",
            backLabel: list.isEmpty ? "Search" : "All pictures")
        return answer(
            Templates.render(content), view: .picture, title: title, query: state.text ?? "",
            asFragment: asFragment)
    }

    // MARK: What went wrong

    /// A fragment when the script asked, else a page.
    func failure(_ failure: SiteFailure, for request: Request) -> Response {
        let content = MessageContent(
            heading: failure.heading, message: failure.message, query: failure.query,
            isError: true, operatorDetail: failure.operatorDetail)
        var response = answer(content, query: failure.query, asFragment: request.wantsFragment)
        response.status = failure.status
        response.headers.append(contentsOf: failure.headers)
        return response
    }

    /// "0.287". Rounds half away from zero; a score that is no number shows as "nan".
    private static func threeDecimals(_ score: Double) -> String {
        let thousandths = (abs(score) * 1_000).rounded()
        guard let number = Int(exactly: thousandths) else { return "\(score)" }
        let decimals = String(number % 1_000 + 1_000).dropFirst()
        let sign = score < 0 && number > 0 ? "-" : ""
        return "\(sign)\(number / 1_000).\(decimals)"
    }
}

// MARK: Responses

extension Pages {
    private func answer(
        _ message: MessageContent, query: String, asFragment: Bool
    ) -> Response {
        var message = message
        let title = "\(message.heading) - \(Self.siteName)"
        message.title = title
        return answer(
            Templates.render(message), title: title, query: query, asFragment: asFragment)
    }

    private func answer(
        _ content: String, view: PageContent.View = .results, title: String, query: String,
        asFragment: Bool
    ) -> Response {
        if asFragment {
            return response(content, policy: "default-src 'none'; frame-ancestors 'none'")
        }
        return page(view, title: title, query: query, content: content)
    }

    private func page(
        _ view: PageContent.View, title: String, query: String, content: String
    ) -> Response {
        let html = Templates.render(
            PageContent(
                view: view.rawValue, title: title, query: query, content: content,
                autofocus: view == .home, unreachable: Self.unreachable))
        return response(html, policy: policy)
    }

    private static let unreachable = Templates.render(
        MessageContent(
            heading: "The site did not answer",
            message: "Check the connection, then press Search again.",
            title: "The site did not answer - \(siteName)", isError: true))

    /// Not kept by browsers: presigned URLs work for an hour only.
    private func response(_ html: String, policy: String) -> Response {
        var response = Response(html, "text/html; charset=utf-8")
        response.headers[.vary] = RequestHeaders.fragment.rawName
        response.headers[.contentSecurityPolicy] = policy
        return response
    }

    /// Everything from the site itself, and pictures from where the store's links lead. `blob:` is
    /// for the preview of a picture that a visitor has chosen.
    private var policy: String {
        let images = (["'self'", "data:"] + [pictures.origin].compactMap(\.self))
            .joined(separator: " ")
        return "default-src 'none'; script-src 'self'; style-src 'self'; img-src \(images); "
            + "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    }
}

/// Fields of requests that the script sends.
enum RequestHeaders {
    static let fragment = HTTPField.Name("X-Fragment")!
}

extension Request {
    /// Whether the script asks: for the results alone, to put them into its page.
    var wantsFragment: Bool {
        headers[RequestHeaders.fragment] != nil
            || (method == .post && uri.path == "/search_form")
    }
}

// MARK: A search in words

extension SearchState {
    /// Pictures that resemble a stored one.
    init(like key: String) {
        self.init()
        keys = [key]
    }

    var isBesidePicture: Bool { picture != nil || !keys.isEmpty }

    /// What is looked for, in a few words.
    var subject: String {
        var parts: [String] = []
        if picture != nil { parts.append("Like your picture") }
        if !keys.isEmpty { parts.append("Like " + keys.joined(separator: " and ")) }
        if let text { parts.append(text) }
        if parts.isEmpty { parts = more }
        return parts.joined(separator: " + ")
    }

    /// The same with a picture of its results large.
    func viewing(_ hit: SearchHit) -> SearchState {
        with {
            $0.view = hit.key
            $0.place = hit.rank
        }
    }

    /// The words added and left out and the filters, each with the address of the search without it.
    var chips: [ResultsContent.Chip] {
        let start = fromStart
        var chips: [ResultsContent.Chip] = []
        func add(_ sign: String, _ text: String, without: (inout SearchState) -> Void) {
            chips.append(.init(sign: sign, text: text, address: start.with(without).address))
        }
        if let text, isBesidePicture { add("+ ", text) { $0.text = nil } }
        for index in more.indices { add("+ ", more[index]) { $0.more.remove(at: index) } }
        for index in less.indices { add("− ", less[index]) { $0.less.remove(at: index) } }
        if let prefix = filter.prefix { add("Folder ", prefix) { $0.filter.prefix = nil } }
        if let after = filter.after { add("After ", after.short) { $0.filter.after = nil } }
        if let before = filter.before { add("Before ", before.short) { $0.filter.before = nil } }
        if let camera = filter.camera { add("Camera ", camera) { $0.filter.camera = nil } }
        if let shape = filter.shape { add("", shape.name) { $0.filter.shape = nil } }
        if let width = filter.minimumWidth {
            add("At least ", "\(width) px wide") { $0.filter.minimumWidth = nil }
        }
        if let height = filter.minimumHeight {
            add("At least ", "\(height) px high") { $0.filter.minimumHeight = nil }
        }
        return chips
    }

    var filterForm: ResultsContent.Filters {
        .init(
            prefix: filter.prefix, after: filter.after?.short, before: filter.before?.short,
            camera: filter.camera, minimumWidth: filter.minimumWidth,
            minimumHeight: filter.minimumHeight,
            shapes: PictureFilter.Shape.allCases.map {
                .init(name: $0.rawValue, isChosen: $0 == filter.shape)
            },
            hidden: with { $0.filter = .init() }.fields)
    }

    /// Addresses of more pictures: of a page that shows them below those there are, as far as a page
    /// goes, and of the part that is new.
    /// - Parameter count: pictures that are shown.
    func more(after count: Int) -> ResultsContent.More? {
        let next = offset + count
        guard next <= Self.maximumOffset else { return nil }
        let part = with {
            $0.offset = next
            $0.limit = Self.defaultLimit
        }
        let longer = with { $0.limit = min(count + Self.defaultLimit, largestLimit) }
        let fits = longer.limit > count
        return .init(
            address: fits ? longer.queryPart + "#n\(next + 1)" : part.queryPart,
            part: part.queryPart)
    }
}

extension PictureFilter.Shape {
    fileprivate var name: String {
        switch self {
        case .landscape: "Landscape"
        case .portrait: "Portrait"
        case .square: "Square"
        }
    }
}
