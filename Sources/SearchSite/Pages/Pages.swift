import HTTPTypes
import Hummingbird
import ImageSearch

/// Makes the answers that people see, as whole pages or as fragments for the script.
struct Pages: Sendable {
    let search: any PictureSearch

    static let siteName = "Picture Search"
    static let description = "Find pictures by what they show, in your own words."
    private static let examples: [[String: String]] = ["cat", "man jumping", "outer space"].map {
        ["text": $0, "address": "/search?q=\(PercentEncoding.encode($0))"]
    }

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

    func results(_ result: SearchResult, for query: String, asFragment: Bool) -> Response {
        let title = Self.title(query)
        guard !result.hits.isEmpty else {
            let content = message(
                heading: "No pictures yet",
                message: "There is nothing to search in. Once process-images has read the bucket, "
                    + "its pictures show up here:",
                command: "process-images", title: title)
            return answer(content, title: title, query: query, asFragment: asFragment)
        }
        let addresses = result.hits.map { address(of: $0.key) }
        let count = result.hits.count
        let hits: [[String: Any]] = zip(result.hits, addresses).enumerated().map { index, pair in
            let (hit, address) = pair
            var values: [String: Any] = [
                "rank": hit.rank, "key": hit.key, "score": Self.threeDecimals(hit.score),
                "isFarDown": index >= 12,
            ]
            values["address"] = address
            return values
        }
        let found = count == 1 ? "The nearest picture" : "The \(count) nearest pictures"
        let content = Templates.render(
            .results,
            [
                "title": title, "status": "\(found) for \(query)", "query": query, "count": found,
                "isTruncated": result.isTruncated, "hits": hits,
            ])
        return answer(
            content, title: title, query: query, asFragment: asFragment,
            pictureAddresses: addresses.compactMap(\.self))
    }

    /// A fragment when the script asked, else a page.
    func failure(_ failure: SiteFailure, for request: Request) -> Response {
        let content = message(
            heading: failure.heading, message: failure.message,
            operatorDetail: failure.operatorDetail, isError: true)
        let asFragment = request.uri.path == "/search_form" && request.method == .post
        var response = answer(
            content, title: "\(failure.heading) - \(Self.siteName)", query: failure.query,
            asFragment: asFragment)
        response.status = failure.status
        response.headers.append(contentsOf: failure.headers)
        return response
    }

    /// Where a picture is got from; `nil` when that cannot be said, or is no web address.
    private func address(of key: String) -> String? {
        switch try? search.location(of: key) {
        case .presigned(let url)?: WebOrigin(of: url) == nil ? nil : url
        case .file?: PicturePath.path(of: key)
        case nil: nil
        }
    }

    private static func title(_ query: String) -> String {
        "\(query.prefix(80)) - \(siteName)"
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
        isError: Bool = false, hasExamples: Bool = false, title: String? = nil
    ) -> String {
        var values: [String: Any] = [
            "title": title ?? "\(heading) - \(Self.siteName)", "heading": heading,
            "message": message, "isError": isError, "hasExamples": hasExamples,
            "examples": Self.examples,
        ]
        values["command"] = command
        values["operatorDetail"] = operatorDetail
        return Templates.render(.message, values)
    }
}

// MARK: Responses

extension Pages {
    private func answer(
        _ content: String, title: String, query: String, asFragment: Bool,
        pictureAddresses: [String] = []
    ) -> Response {
        if asFragment {
            return response(content, policy: "default-src 'none'; frame-ancestors 'none'")
        }
        return page(
            view: "results", title: title, query: query, content: content,
            pictureAddresses: pictureAddresses)
    }

    private func page(
        view: String, title: String, query: String, content: String,
        pictureAddresses: [String] = []
    ) -> Response {
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
        return response(html, policy: policy(pictureAddresses: pictureAddresses))
    }

    /// Not kept by browsers: presigned URLs work for an hour only.
    private func response(_ html: String, policy: String) -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: "text/html; charset=utf-8",
                .cacheControl: "no-store",
                .contentSecurityPolicy: policy,
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(string: html)))
    }

    /// Everything from the site itself, and pictures from where the store's links lead. A page
    /// without pictures has to allow that origin too, because its script fetches results later;
    /// so it is also taken from the link of a made-up key. Signing a link asks no server.
    private func policy(pictureAddresses: [String]) -> String {
        var origins: [String] = []
        for address in [address(of: "picture.jpg")].compactMap(\.self) + pictureAddresses {
            if let origin = WebOrigin(of: address)?.text, !origins.contains(origin) {
                origins.append(origin)
            }
        }
        let images = (["'self'", "data:"] + origins).joined(separator: " ")
        return "default-src 'none'; script-src 'self'; style-src 'self'; img-src \(images); "
            + "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    }
}
