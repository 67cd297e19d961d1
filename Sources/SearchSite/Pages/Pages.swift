import HTTPTypes
import Hummingbird
import ImageSearch

/// Makes the answers that people see, as whole pages or as fragments for the script.
struct Pages: Sendable {
    let pictures: PictureAddresses

    static let siteName = "Picture Search"
    static let description = "Find pictures by what they show, in your own words."
    private static let examples: [[String: String]] = ["cat", "man jumping", "outer space"].map {
        ["text": $0, "address": SearchState(text: $0).address]
    }

    /// Pictures that a browser fetches at once; those further down are fetched when they come near.
    private static let picturesAtOnce = 8

    /// The page with nothing but the search box.
    func home() -> Response {
        page(view: "home", title: Self.siteName, query: "", content: "")
    }

    /// For a search without a text.
    func hint(asFragment: Bool) -> Response {
        let content = message(
            heading: "What are you looking for?",
            message: "Type a few words that describe the picture, then press Enter.",
            hasExamples: true)
        return answer(content, title: Self.siteName, query: "", asFragment: asFragment)
    }

    // MARK: A search

    func results(
        _ result: SearchResult, for state: SearchState, asFragment: Bool
    ) -> Response {
        let title = "\(state.subject.prefix(80)) - \(Self.siteName)"
        let query = state.text ?? ""
        guard !result.hits.isEmpty else {
            return answer(
                nothing(for: state, title: title), title: title, query: query,
                asFragment: asFragment)
        }
        let count = result.hits.count
        let first = state.offset + 1
        var found = count == 1 ? "The nearest picture" : "The \(count) nearest pictures"
        if state.offset > 0 { found = "Pictures \(first) to \(state.offset + count)" }
        let terms = state.terms
        var values: [String: Any] = [
            "title": title, "status": "\(found) for \(state.subject)", "query": query,
            "subject": state.subject, "isText": state.text != nil && !state.isBesidePicture,
            "count": found, "isTruncated": result.isTruncated, "first": first,
            "hits": hits(result, for: state),
            "hasTerms": !terms.isEmpty, "terms": terms, "hidden": state.fromStart.fields,
            "path": state.picture.map { "/search/\($0.text)" } ?? "/search",
        ]
        if state.keys.count == 1, !state.keys[0].isEmpty {
            values["reference"] = pictures.thumbnail(of: state.keys[0])
        }
        if state.offset > 0 {
            values["back"] = state.with { $0.offset = max(0, $0.offset - $0.limit) }.queryPart
        }
        if result.hasMore, let more = state.more(after: count) { values["more"] = more }
        values["hasPages"] = values["back"] != nil || values["more"] != nil
        return answer(
            Templates.render(.results, values), title: title, query: query, asFragment: asFragment)
    }

    private func hits(_ result: SearchResult, for state: SearchState) -> [[String: Any]] {
        result.hits.enumerated().map { index, hit in
            var values: [String: Any] = [
                "rank": hit.rank, "key": hit.key, "score": Self.threeDecimals(hit.score),
                "isFarDown": index >= Self.picturesAtOnce,
                "view": state.with {
                    $0.view = hit.key
                    $0.place = hit.rank
                }.queryPart,
                "like": SearchState(like: hit.key).address,
            ]
            values["thumbnail"] = pictures.thumbnail(of: hit.key)
            return values
        }
    }

    /// No pictures, and why.
    private func nothing(for state: SearchState, title: String) -> String {
        if state.offset > 0 {
            return message(
                heading: "That were all pictures",
                message: "The search has no pictures this far down.", title: title,
                query: state.text ?? "", link: (state.fromStart.address, "Back to the nearest"))
        }
        if state.minimumScore != nil {
            return message(
                heading: "No picture is that similar",
                message: "None reaches the similarity that the address asks for.", title: title,
                query: state.text ?? "",
                link: (state.with { $0.minimumScore = nil }.address, "Show the nearest anyway"))
        }
        return message(
            heading: "No pictures yet",
            message: "There is nothing to search in. Once process-images has read the bucket, "
                + "its pictures show up here:",
            command: "process-images", title: title, query: state.text ?? "")
    }

    // MARK: One picture

    /// A picture shown large.
    ///
    /// - Parameters:
    ///   - key: the picture.
    ///   - bytes: the size of its file, if that is known.
    ///   - hits: the picture and its neighbours in the search from which it was chosen, where the
    ///     search still finds it there.
    ///   - state: that search, with the picture.
    func picture(
        _ key: String, bytes: Int?, hits: [SearchHit], for state: SearchState, asFragment: Bool
    ) -> Response {
        let title = "\(key.prefix(80)) - \(Self.siteName)"
        let list = state.withoutView
        var values: [String: Any] = [
            "title": title, "status": "Picture \(key)", "query": state.text ?? "", "key": key,
            "like": SearchState(like: key).address,
            "back": list.isEmpty ? "/" : list.queryPart + "#n\(state.place)",
            "backLabel": list.isEmpty ? "Search" : "All pictures",
        ]
        let source = pictures.original(of: key)
        values["source"] = source
        if let source {
            let isHere = source.hasPrefix(PicturePath.prefix)
            values[isHere ? "download" : "original"] = isHere ? source + "?download" : source
        }
        if let bytes { values["size"] = ByteCount.text(bytes) }
        if let mine = hits.first(where: { $0.key.utf8.elementsEqual(key.utf8) }) {
            values["place"] = "\(mine.rank)"
            values["score"] = Self.threeDecimals(mine.score)
            for hit in hits where abs(hit.rank - mine.rank) == 1 {
                values[hit.rank < mine.rank ? "previous" : "next"] =
                    state.with {
                        $0.view = hit.key
                        $0.place = hit.rank
                    }.queryPart
            }
        }
        return answer(
            Templates.render(.picture, values), view: "picture", title: title,
            query: state.text ?? "", asFragment: asFragment)
    }

    // MARK: What went wrong

    /// A fragment when the script asked, else a page.
    func failure(_ failure: SiteFailure, for request: Request) -> Response {
        let title = "\(failure.heading) - \(Self.siteName)"
        let content = message(
            heading: failure.heading, message: failure.message,
            operatorDetail: failure.operatorDetail, isError: true, title: title,
            query: failure.query)
        var response = answer(
            content, title: title, query: failure.query, asFragment: request.wantsFragment)
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

    private func message(
        heading: String, message: String, command: String? = nil, operatorDetail: String? = nil,
        isError: Bool = false, hasExamples: Bool = false, title: String? = nil, query: String = "",
        link: (address: String, label: String)? = nil
    ) -> String {
        var values: [String: Any] = [
            "title": title ?? "\(heading) - \(Self.siteName)", "heading": heading,
            "message": message, "isError": isError, "hasExamples": hasExamples,
            "examples": Self.examples, "query": query,
        ]
        values["command"] = command
        values["operatorDetail"] = operatorDetail
        values["link"] = link.map { ["address": $0.address, "label": $0.label] }
        return Templates.render(.message, values)
    }
}

// MARK: Responses

extension Pages {
    private func answer(
        _ content: String, view: String = "results", title: String, query: String, asFragment: Bool
    ) -> Response {
        if asFragment {
            return response(content, policy: "default-src 'none'; frame-ancestors 'none'")
        }
        return page(view: view, title: title, query: query, content: content)
    }

    private func page(view: String, title: String, query: String, content: String) -> Response {
        let unreachable = message(
            heading: "The site did not answer",
            message: "Check the connection, then press Search again.", isError: true)
        let html = Templates.render(
            .page,
            [
                "view": view, "title": title, "query": query, "content": content,
                "siteName": Self.siteName, "description": Self.description,
                "autofocus": view == "home", "unreachable": unreachable,
                "examples": Self.examples,
                "iconAddress": Asset.icon.address, "styleAddress": Asset.styleSheet.address,
                "scriptAddress": Asset.script.address,
            ])
        return response(html, policy: policy)
    }

    /// Not kept by browsers: presigned URLs work for an hour only.
    private func response(_ html: String, policy: String) -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: "text/html; charset=utf-8",
                .cacheControl: "no-store",
                .vary: RequestHeaders.fragment.rawName,
                .contentSecurityPolicy: policy,
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(string: html)))
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

    /// The words added and left out, each with the address of the search without them.
    var terms: [[String: String]] {
        let start = fromStart
        func term(_ text: String, _ sign: String, without: (inout SearchState) -> Void)
            -> [String: String]
        {
            ["text": text, "sign": sign, "address": start.with(without).address]
        }
        var terms: [[String: String]] = []
        if let text, isBesidePicture { terms.append(term(text, "+ ") { $0.text = nil }) }
        terms += more.indices.map { index in term(more[index], "+ ") { $0.more.remove(at: index) } }
        terms += less.indices.map { index in
            term(less[index], "− ") { $0.less.remove(at: index) }
        }
        return terms
    }

    /// What a form repeats of the search, besides its path.
    var fields: [[String: String]] {
        func field(_ name: String, _ value: String) -> [String: String] {
            ["name": name, "value": value]
        }
        var fields = [text].compactMap(\.self).map { field("q", $0) }
        fields += more.map { field("more", $0) } + less.map { field("less", $0) }
        fields += keys.map { field("image_key", $0) }
        if let minimumScore { fields.append(field("min_score", "\(minimumScore)")) }
        return fields
    }

    /// Addresses of more pictures: of a page that shows them below those there are, as far as a page
    /// goes, and of the part that is new.
    /// - Parameter count: pictures that are shown.
    func more(after count: Int) -> [String: String]? {
        let next = offset + count
        guard next <= Self.maximumOffset else { return nil }
        let part = with {
            $0.offset = next
            $0.limit = Self.defaultLimit
        }
        let longer = with { $0.limit = min(count + Self.defaultLimit, largestLimit) }
        let fits = longer.limit > count
        return [
            "address": fits ? longer.queryPart + "#n\(next + 1)" : part.queryPart,
            "part": part.queryPart,
        ]
    }
}
