import Bytes
import HTTPTypes
import Hummingbird
import ImageSearch

/// Makes the answers that people see, as whole pages or as fragments for the script.
struct Pages: Sendable {
    let pictures: PictureAddresses
    private let siteName: String
    private let examples: [Link]
    private let isLive: Bool

    /// Pictures before and after a large one.
    static let neighbours = 4
    /// Pictures on the start page.
    static let stripLength = 18

    init(_ configuration: SearchSite.Configuration, pictures: PictureAddresses) {
        self.pictures = pictures
        siteName = configuration.siteName
        examples = configuration.examples.map {
            Link(text: $0, address: SearchState(text: $0).address)
        }
        isLive = configuration.isLive
    }

    /// Pictures that a browser fetches at once; those further down are fetched when they come near.
    private static let picturesAtOnce = 8

    /// The start page: the search box and some pictures of the collection.
    func home(_ sample: [StoredPicture], asFragment: Bool) -> Response {
        let strip = sample.compactMap { picture in
            pictures.thumbnail(of: picture.key, picture.facts).map {
                StripContent.Item(
                    key: picture.key, shape: PictureShape(picture.facts), thumbnail: $0,
                    like: SearchState(like: picture.key).address)
            }
        }
        let content = StripContent(title: siteName, pictures: strip, hasPictures: !strip.isEmpty)
        return answer(
            Templates.render(content), .home, title: siteName, for: SearchState(),
            asFragment: asFragment)
    }

    /// For a search without a text.
    func hint(asFragment: Bool) -> Response {
        let content = MessageContent(
            heading: "What are you looking for?",
            message: "Type a few words that describe the picture, then press Enter.",
            examples: examples, hasExamples: !examples.isEmpty)
        return answer(content, for: SearchState(), asFragment: asFragment)
    }

    // MARK: A search

    func results(
        _ result: SearchResult, of total: Int?, for state: SearchState, asFragment: Bool
    ) -> Response {
        let title = "\(state.subject.prefix(80)) - \(siteName)"
        guard !result.hits.isEmpty else {
            return answer(nothing(for: state), for: state, asFragment: asFragment)
        }
        let count = result.pictureCount
        let first = state.offset + 1
        var found = count == 1 ? "The nearest picture" : "The \(count) nearest pictures"
        if state.isOfCopies { found = count == 1 ? "1 picture" : "\(count) pictures" }
        if state.offset > 0 { found = "Pictures \(first) to \(state.offset + count)" }
        let chips = state.chips
        let isFirst = state.offset == 0
        let more = result.hasMore ? state.more(after: result) : nil
        let content = ResultsContent(
            title: title, status: "\(found) for \(state.subject)", query: state.text ?? "",
            subject: state.subject, isText: state.text != nil && !state.isBesidePicture,
            count: Self.count(found, of: total, state), isTruncated: result.isTruncated,
            first: first,
            hits: hits(result, for: state), chips: chips, hasChips: !chips.isEmpty,
            path: state.path, hidden: state.fields, filters: state.filterForm,
            back: isFirst
                ? nil : state.with { $0.offset = max(0, $0.offset - $0.limit) }.queryPart,
            more: more, hasPages: !isFirst || more != nil)
        return answer(
            Templates.render(content), .results, title: title, for: state, asFragment: asFragment)
    }

    /// "1,005 pictures, nearest first".
    private static func count(_ found: String, of total: Int?, _ state: SearchState) -> String {
        guard state.offset == 0, !state.isOfCopies else { return found }
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
        // Encoded once, since a text may be long and each picture's link repeats it.
        let search = state.withoutView.queryPart
        return result.hits.enumerated().map { index, hit in
            ResultsContent.Hit(
                rank: hit.rank, key: hit.key, shape: PictureShape(hit.facts),
                isFarDown: index >= Self.picturesAtOnce,
                view: SearchState.queryPart(search, viewing: hit.key, at: hit.rank),
                like: SearchState(like: hit.key).address,
                thumbnail: pictures.thumbnail(of: hit.key, hit.facts),
                copies: hit.copies.map(\.rank),
                stack: hit.copies.isEmpty
                    ? nil
                    : Link(
                        text: "\(hit.copies.count + 1)",
                        address: state.copies(of: hit, score: result.stackScore).address))
        }
    }

    /// No pictures, and why.
    private func nothing(for state: SearchState) -> MessageContent {
        if state.offset > 0 {
            return MessageContent(
                heading: "No more pictures",
                message: "The search has no pictures this far down.",
                link: Link(text: "Back to the nearest", address: state.fromStart.address))
        }
        if !state.filter.isEmpty {
            return MessageContent(
                heading: "No picture matches the filters",
                message:
                    "A picture whose date, camera or size is unknown matches no filter for it.",
                link: Link(
                    text: "Search without filters",
                    address: state.with { $0.filter = .init() }.address))
        }
        if state.minimumScore != nil {
            return MessageContent(
                heading: "No picture is that similar",
                message: "None reaches the similarity that the address asks for.",
                link: Link(
                    text: "Show the nearest anyway",
                    address: state.with { $0.minimumScore = nil }.address))
        }
        return MessageContent(
            heading: "No pictures yet",
            message: "There is nothing to search in. Once process-images has read the bucket, "
                + "its pictures appear here:",
            command: "process-images")
    }

    // MARK: One picture

    /// A picture shown large.
    ///
    /// - Parameters:
    ///   - key: the picture.
    ///   - facts: what its row knows.
    ///   - bytes: the size of its file, if that is known.
    ///   - hits: the search from which it was chosen, around its place; without it when the search does
    ///     not find it there any more.
    ///   - state: that search, with the picture.
    func picture(
        _ key: String, _ facts: PictureFacts, bytes: Int?, hits: [SearchHit],
        for state: SearchState, asFragment: Bool
    ) -> Response {
        let title = "\(key.prefix(80)) - \(siteName)"
        let list = state.withoutView
        let place = hits.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
        let mine = place.map { hits[$0] }
        func neighbour(_ step: Int) -> String? {
            guard let other = place.map({ $0 + step }), hits.indices.contains(other) else {
                return nil
            }
            return state.viewing(hits[other]).queryPart
        }
        let near = place.map {
            hits[max(0, $0 - Self.neighbours)..<min(hits.count, $0 + Self.neighbours + 1)]
        }
        let film = (near ?? []).map {
            PictureContent.Neighbour(
                address: state.viewing($0).queryPart,
                thumbnail: pictures.thumbnail(of: $0.key, $0.facts),
                key: $0.key, isCurrent: $0.rank == mine?.rank)
        }
        let original = pictures.original(of: key)
        let isHere = original?.hasPrefix(PicturePath.prefix) ?? false
        let content = PictureContent(
            title: title, status: "Picture \(key)", query: state.text ?? "", key: key,
            shape: PictureShape(facts), source: pictures.large(of: key),
            copy: original.map { _ in PicturePath.large(of: key) },
            download: isHere ? original.map { $0 + "?download" } : nil,
            original: isHere ? nil : original, size: bytes.map { ByteCount.text($0) },
            pixels: facts.width.flatMap { width in facts.height.map { "\(width) × \($0)" } },
            taken: facts.takenAt.map { $0.replacing("T", with: " ").prefix(16) }.map(String.init),
            camera: facts.camera, place: mine?.rank,
            score: mine.map { Self.threeDecimals($0.score) }, previous: neighbour(-1),
            next: neighbour(1), film: film, hasFilm: film.count > 1,
            like: SearchState(like: key).address,
            back: list.isEmpty ? "/" : list.queryPart + "#n\(state.place)",
            backLabel: list.isEmpty ? "Search" : "All pictures")
        return answer(
            Templates.render(content), .picture, title: title, for: list, asFragment: asFragment)
    }

    // MARK: What went wrong

    /// A fragment when the script asked, else a page.
    func failure(_ failure: SiteFailure, for request: Request) -> Response {
        let isWrongAddress = [.notFound, .badRequest].contains(failure.status)
        let content = MessageContent(
            heading: failure.heading, message: failure.message, isError: true,
            operatorDetail: failure.operatorDetail, examples: examples,
            hasExamples: isWrongAddress && !examples.isEmpty)
        var response = answer(
            content, for: failure.search ?? SearchState(), asFragment: request.wantsFragment)
        response.status = failure.status
        response.headers.append(contentsOf: failure.headers)
        return response
    }

    /// "0.287". Rounds half away from zero; NaN shows as "nan".
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
        _ message: MessageContent, for state: SearchState, asFragment: Bool
    ) -> Response {
        var message = message
        let title = "\(message.heading) - \(siteName)"
        (message.title, message.query) = (title, state.text ?? "")
        return answer(
            Templates.render(message), .results, title: title, for: state, asFragment: asFragment)
    }

    /// - Parameter state: the search whose words and pictures are in the search box.
    private func answer(
        _ content: String, _ view: PageContent.View, title: String, for state: SearchState,
        asFragment: Bool
    ) -> Response {
        let box = state.box(pictures)
        let content = content + Templates.render(box)
        if asFragment {
            return response(content, policy: "default-src 'none'; frame-ancestors 'none'")
        }
        let unreachable = MessageContent(
            heading: "The site did not answer",
            message: "Check the connection, then press Search again.",
            title: "The site did not answer - \(siteName)", isError: true)
        let html = Templates.render(
            PageContent(
                view: view.rawValue, title: title, query: state.text ?? "", box: box,
                content: content, siteName: siteName, autofocus: view == .home, isLive: isLive,
                unreachable: Templates.render(unreachable), examples: examples))
        return response(html, policy: policy)
    }

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
    /// Whether the script asks by itself: while a visitor types, or to fill the window.
    var isUnasked: Bool {
        guard method == .get, uri.path.hasPrefix("/search") else { return false }
        return ["typing", "row"].contains(headers[RequestHeaders.fragment])
    }

    /// Whether the script asks: for the results alone, to put them into its page.
    var wantsFragment: Bool {
        headers[RequestHeaders.fragment] != nil
            || (method == .post && uri.path == "/search_form")
    }
}

// MARK: Addresses

/// Where pages get pictures from: from the site itself when the store is a directory or the site serves the
/// store's pictures, else from the store by links that work for an hour.
struct PictureAddresses: Sendable {
    let search: any PictureSearch
    /// Whether the site fetches pictures from the store for its visitors.
    let isProxy: Bool

    /// The whole picture; nil when its place is unknown or not a web address.
    func original(of key: String) -> String? {
        address(of: key, here: PicturePath.path)
    }

    /// The picture as large as browsers show it: itself, or the site's copy where its name says that they
    /// do not read it. The script falls back to the copy where the name does not say so.
    func large(of key: String) -> String? {
        let name = key.utf8.split(separator: UInt8(ascii: ".")).last.map(String.init) ?? nil
        guard let name, Self.unread.contains(name.lowercased()) else { return original(of: key) }
        return original(of: key).map { _ in PicturePath.large(of: key) }
    }

    private static let unread: Set = [
        "tif", "tiff", "heic", "heif", "hif", "jxl", "jp2", "j2k", "j2c", "jpf", "jpx", "cr2",
        "cr3", "nef", "arw", "dng", "orf", "raf", "rw2",
    ]

    /// The picture small, for the grid. For a bucket that is the picture itself, unless `process-images`
    /// has stored a preview, which it does for each picture whose size it stores.
    func thumbnail(of key: String, _ facts: PictureFacts) -> String? {
        let original = address(of: key, here: PicturePath.thumbnail)
        return original == nil || facts.width == nil ? original : PicturePath.thumbnail(of: key)
    }

    private func address(of key: String, here: (String) -> String) -> String? {
        switch try? search.location(of: key) {
        case .file?: here(key)
        case .presigned? where isProxy: here(key)
        case .presigned(let url)?: WebOrigin(of: url) == nil ? nil : url
        case nil: nil
        }
    }

    /// The origin of the store's links, for the content security policy: that of the link of a made-up
    /// key. Signing a link asks no server.
    var origin: String? {
        original(of: "picture.jpg").flatMap { WebOrigin(of: $0)?.text }
    }
}

/// The address under which the site itself serves a picture: `/pictures/` and the key as one
/// percent-encoded path segment.
enum PicturePath {
    static let prefix = "/pictures/"
    static let thumbnailPrefix = "/thumbnails/"
    static let largePrefix = "/large/"

    static func path(of key: String) -> String {
        prefix + PercentEncoding.encode(key)
    }

    static func thumbnail(of key: String) -> String {
        thumbnailPrefix + PercentEncoding.encode(key)
    }

    static func large(of key: String) -> String {
        largePrefix + PercentEncoding.encode(key)
    }

    /// The key that an address names.
    ///
    /// Reads the path as it came, before any router splits or normalises it. Slashes of a key must
    /// be encoded. What a key may be is for the search to say; this refuses only what cannot have
    /// come from ``path(of:)``.
    /// - Returns: `nil` for other paths, an empty key, and a key that is not UTF-8 or contains NUL.
    static func key(in path: String, after prefix: String = prefix) -> String? {
        guard path.utf8.starts(with: prefix.utf8) else { return nil }
        let segment = path.utf8.dropFirst(prefix.utf8.count)
        guard !segment.isEmpty, !segment.contains(UInt8(ascii: "/")) else { return nil }
        let bytes = PercentEncoding.decode(segment, plusIsSpace: false)
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// Scheme, host and port of an `http` or `https` address (RFC 6454), as a content security policy
/// names it.
struct WebOrigin {
    let text: String

    /// - Returns: `nil` for other schemes, and for a host or port with characters that no host
    ///   has: a `;` or a space would end the policy's source and begin something else.
    init?(of address: String) {
        guard let colon = address.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let scheme = address[..<colon].lowercased()
        let rest = address[colon...].utf8
        guard scheme == "http" || scheme == "https", rest.starts(with: "://".utf8) else {
            return nil
        }
        let delimiters = Array("/?#".utf8)
        let host = rest.dropFirst(3).prefix { !delimiters.contains($0) }
        let allowed = host.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"):
                true
            default:
                false
            }
        }
        guard !host.isEmpty, allowed else { return nil }
        // A content security policy cannot name an IPv6 address: its grammar has no brackets
        // (CSP 3, section 2.3.1). The scheme alone is the narrowest that it can say.
        let isIPv6 = host.contains(UInt8(ascii: "["))
        text = isIPv6 ? "\(scheme):" : "\(scheme)://\(String(Substring(host)))"
    }
}
