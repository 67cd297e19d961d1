import Bytes
import HTTPTypes
import Hummingbird
import ImageSearch

/// Makes the answers that people see, as whole pages or as fragments for the script.
struct Pages: Sendable {
    let configuration: SearchSite.Configuration
    let pictures: PictureAddresses

    /// Pictures before and after a large one.
    static let neighbours = 4
    /// Pictures on the start page.
    static let stripLength = 18
    /// Pictures that a browser fetches at once; those further down are fetched when they come near.
    private static let picturesAtOnce = 8

    private var siteName: String { configuration.siteName }

    private var examples: [Link] {
        configuration.examples.map { Link(text: $0, address: SearchState(text: $0).address) }
    }

    /// The start page: the search box and some pictures of the collection.
    func home(_ sample: [StoredPicture], asFragment: Bool) -> Response {
        let strip = sample.compactMap { picture in
            pictures.thumbnail(of: picture.key, picture.facts).map {
                PictureLink(
                    name: picture.key, thumbnail: $0, shape: PictureShape(picture.facts),
                    address: SearchState(like: picture.key).address)
            }
        }
        return answer(
            Templates.render(StripContent(title: siteName, pictures: strip), "strip"), .home,
            title: siteName, for: SearchState(), asFragment: asFragment)
    }

    /// For a search without a text.
    func hint(asFragment: Bool) -> Response {
        let content = MessageContent(
            heading: "What are you looking for?",
            message: "Type a few words that describe the picture, then press Enter.",
            examples: examples)
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
        let isFirst = state.offset == 0
        let more = result.hasMore ? state.more(after: result) : nil
        let content = ResultsContent(
            title: title, status: "\(found) for \(state.subject)", query: state.text ?? "",
            subject: state.subject, isText: state.text != nil && !state.isBesidePicture,
            count: Self.count(found, of: total, state), isTruncated: result.isTruncated,
            first: first,
            hits: hits(result, for: state), chips: state.chips, path: state.path,
            hidden: state.fields, filters: state.filterForm,
            unfiltered: state.with { $0.filter = .init() }.fields,
            back: isFirst
                ? nil : state.with { $0.offset = max(0, $0.offset - $0.limit) }.queryPart,
            more: more, hasPages: !isFirst || more != nil)
        return answer(
            Templates.render(content, "results"), .results, title: title, for: state,
            asFragment: asFragment)
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
        let search = state.viewing(nil).queryPart
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
        let list = state.viewing(nil)
        let place = hits.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
        let mine = place.map { hits[$0] }
        let near = place.map {
            hits[max(0, $0 - Self.neighbours)..<min(hits.count, $0 + Self.neighbours + 1)]
        }
        let film = (near ?? []).map {
            PictureLink(
                name: $0.key, thumbnail: pictures.thumbnail(of: $0.key, $0.facts),
                address: state.viewing($0).queryPart, isCurrent: $0.rank == mine?.rank)
        }
        let previous = film.prefix { !$0.isCurrent }.last
        let next = film.drop { !$0.isCurrent }.dropFirst().first
        let original = pictures.original(of: key)
        let isHere = original?.hasPrefix(PicturePath.original.rawValue) ?? false
        let content = PictureContent(
            title: title, status: "Picture \(key)", query: state.text ?? "", key: key,
            facts: facts, shape: PictureShape(facts), source: pictures.large(of: key),
            copy: original.map { _ in PicturePath.large.address(of: key) },
            download: isHere ? original.map { $0 + "?download" } : nil,
            original: isHere ? nil : original, size: bytes.map { ByteCount.text($0) },
            taken: facts.takenAt.map { $0.replacing("T", with: " ").prefix(16) }.map(String.init),
            place: mine?.rank, score: mine.map { Self.threeDecimals($0.score) },
            previous: previous?.address, next: next?.address, film: film.count > 1 ? film : [],
            like: SearchState(like: key).address,
            back: list.isEmpty ? "/" : list.queryPart + "#n\(state.place)",
            backLabel: list.isEmpty ? "Search" : "All pictures")
        return answer(
            Templates.render(content, "picture"), .picture, title: title, for: list,
            asFragment: asFragment)
    }

    // MARK: What went wrong

    /// A fragment when the script asked, else a page.
    func failure(_ failure: SiteFailure, for request: Request) -> Response {
        let isWrongAddress = [.notFound, .badRequest].contains(failure.status)
        let content = MessageContent(
            heading: failure.heading, message: failure.message, isError: true,
            operatorDetail: failure.operatorDetail, examples: isWrongAddress ? examples : [])
        var response = answer(
            content, for: failure.search ?? SearchState(), asFragment: request.wantsFragment)
        response.status = failure.status
        response.headers.append(contentsOf: failure.headers)
        return response
    }

    /// "0.287". Rounds half away from zero; NaN shows as "nan".
    private static func threeDecimals(_ score: Double) -> String {
        // Adding zero takes the sign off a negative one.
        let text = "\((score * 1_000).rounded() / 1_000 + 0)"
        guard let point = text.firstIndex(of: ".") else { return text }
        return text + String(repeating: "0", count: max(0, 4 - text[point...].count))
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
            Templates.render(message, "message"), .results, title: title, for: state,
            asFragment: asFragment)
    }

    /// - Parameter state: the search whose words and pictures are in the search box.
    private func answer(
        _ content: String, _ view: PageContent.View, title: String, for state: SearchState,
        asFragment: Bool
    ) -> Response {
        let box = state.box(pictures)
        let content = content + Templates.render(box)
        var html = content
        if !asFragment {
            let unreachable = MessageContent(
                heading: "The site did not answer",
                message: "Check the connection, then press Search again.",
                title: "The site did not answer - \(siteName)", isError: true)
            html = Templates.render(
                PageContent(
                    view: view, title: title, query: state.text ?? "", box: box,
                    content: content, siteName: siteName, autofocus: view == .home,
                    isLive: configuration.isLive,
                    unreachable: Templates.render(unreachable, "message"),
                    examples: examples),
                "page")
        }
        // Not kept by browsers: presigned URLs work for an hour only.
        var response = Response(html, "text/html; charset=utf-8")
        response.headers[.vary] = HTTPField.Name.fragment.rawName
        response.headers[.contentSecurityPolicy] =
            asFragment ? "default-src 'none'; frame-ancestors 'none'" : policy
        return response
    }

    /// Everything from the site itself, and pictures from where the store's links lead.
    private var policy: String {
        let images = (["'self'", "data:"] + [pictures.origin].compactMap(\.self))
            .joined(separator: " ")
        return "default-src 'none'; script-src 'self'; style-src 'self'; img-src \(images); "
            + "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    }
}

extension Request {
    /// Whether the script asks by itself: while a visitor types, or to fill the window.
    var isUnasked: Bool {
        guard method == .get, uri.path.hasPrefix("/search") else { return false }
        return ["typing", "row"].contains(headers[.fragment])
    }

    /// Whether the script asks: for the results alone, to put them into its page.
    var wantsFragment: Bool {
        headers[.fragment] != nil
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
        address(of: key, here: .original)
    }

    /// The picture as large as browsers show it: itself, or the site's copy where its name says that they
    /// do not read it. The script falls back to the copy where the name does not say so.
    func large(of key: String) -> String? {
        let name = key.utf8.split(separator: UInt8(ascii: ".")).last.map(String.init) ?? nil
        guard let name, Self.unread.contains(name.lowercased()) else { return original(of: key) }
        return original(of: key).map { _ in PicturePath.large.address(of: key) }
    }

    private static let unread: Set = [
        "tif", "tiff", "heic", "heif", "hif", "jxl", "jp2", "j2k", "j2c", "jpf", "jpx", "cr2",
        "cr3", "nef", "arw", "dng", "orf", "raf", "rw2",
    ]

    /// The picture small, for the grid. For a bucket that is the picture itself, unless `process-images`
    /// has stored a preview, which it does for each picture whose size it stores.
    func thumbnail(of key: String, _ facts: PictureFacts) -> String? {
        let original = address(of: key, here: .thumbnail)
        return original == nil || facts.width == nil
            ? original : PicturePath.thumbnail.address(of: key)
    }

    private func address(of key: String, here path: PicturePath) -> String? {
        switch try? search.location(of: key) {
        case .file?: path.address(of: key)
        case .presigned? where isProxy: path.address(of: key)
        case .presigned(let url)?: Self.origin(of: url) == nil ? nil : url
        case nil: nil
        }
    }

    /// The origin of the store's links, for the content security policy: that of the link of a made-up
    /// key. Signing a link asks no server.
    var origin: String? { original(of: "picture.jpg").flatMap(Self.origin) }

    /// Scheme, host and port of an `http` or `https` address (RFC 6454), as a content security policy
    /// names it.
    /// - Returns: `nil` for other schemes, and for a host or port with characters that no host
    ///   has: a `;` or a space would end the policy's source and begin something else.
    private static func origin(of address: String) -> String? {
        guard let separator = address.firstRange(of: "://") else { return nil }
        let scheme = address[..<separator.lowerBound].lowercased()
        let host = address[separator.upperBound...].prefix { !"/?#".contains($0) }
        guard scheme == "http" || scheme == "https", !host.isEmpty,
            host.utf8.allSatisfy({ PercentEncoding.isUnreserved($0) || ":[]".utf8.contains($0) })
        else { return nil }
        // A content security policy cannot name an IPv6 address: its grammar has no brackets
        // (CSP 3, section 2.3.1). The scheme alone is the narrowest that it can say.
        return host.contains("[") ? "\(scheme):" : "\(scheme)://\(host)"
    }
}

/// An address under which the site itself serves something of a picture: a prefix, and the key as one
/// percent-encoded path segment.
enum PicturePath: String, CaseIterable {
    case original = "/pictures/"
    case thumbnail = "/thumbnails/"
    case large = "/large/"
    case facts = "/api/pictures/"

    func address(of key: String) -> String { rawValue + PercentEncoding.encode(key) }

    /// The key that a request's address names.
    ///
    /// Reads the path as it came, before any router splits or normalises it. Slashes of a key must
    /// be encoded. What a key may be is for the search to say; this refuses only what cannot have
    /// come from ``address(of:)``.
    /// - Throws: ``SiteFailure/noSuchPicture`` for other paths, an empty key, and a key that is not UTF-8
    ///   or contains NUL.
    func key(in request: Request) throws(SiteFailure) -> String {
        let path = request.uri.path.utf8
        let segment = path.dropFirst(rawValue.utf8.count)
        let bytes = PercentEncoding.decode(segment, plusIsSpace: false)
        guard path.starts(with: rawValue.utf8), !segment.isEmpty,
            !segment.contains(UInt8(ascii: "/")), !bytes.contains(0),
            let key = String(validating: bytes, as: UTF8.self)
        else { throw .noSuchPicture }
        return key
    }
}
