import Bytes
import ImageSearch

/// What a visitor looks at, exactly as an address has it: what is searched for, which part of the
/// answer is shown, and which picture of it is shown large.
struct SearchState: Equatable {
    /// `q`: the words in the search box.
    var text: String?
    /// `more`: further words, for which pictures count more.
    var more: [String] = []
    /// `less`: words against which pictures count.
    var less: [String] = []
    /// `image_key`: stored pictures that the wanted ones resemble.
    var keys: [String] = []
    /// The picture that was uploaded: the address's last path segment.
    var picture: PictureVector?
    /// `limit`: how many pictures are shown.
    var limit = defaultLimit
    /// `offset`: how many of the nearest are skipped.
    var offset = 0
    /// `min_score`: the least cosine.
    var minimumScore: Double?
    /// `prefix`, `after`, `before`, `camera`, `shape`, `min_width`, `min_height`: what narrows it.
    var filter = PictureFilter()
    /// `stacked`: whether near-duplicates come as one picture with their number.
    var isStacked = true
    /// `view`: the key of the picture that is shown large.
    var view: String?
    /// `at`: that picture's place in the search, from 1; 0 when it is not told.
    var place = 0

    /// Pictures on a page by default.
    static let defaultLimit = 24
    /// The most pictures on one page.
    static let maximumLimit = 240
    static let maximumOffset = 100_000
    /// The most words to add, words to leave out, and pictures to resemble.
    static let maximumTerms = 8
    /// Bytes of an address's query part. Each link of a page repeats it and must fit in the 16 KiB of a request's
    /// head; the longest text alone takes 12,000.
    static let maximumQueryBytes = 14 * 1_024
    /// Bytes of the addresses on one page: each picture's link repeats the query part.
    static let maximumLinkBytes = 1 << 20

    /// The weight of words to leave out. −1 would cancel what any two texts have in common and leave a direction
    /// without pictures.
    static let lessWeight = -0.5
    /// The weight of words next to a picture. Pictures are close to one another and far from texts, so words of the
    /// same weight would not change the answer.
    static let textWeightBesidePicture = 2.0

    init(text: String? = nil) { self.text = text }

    /// Reads an address or a form. What the form for further words sends, `add` and `sign` (`more` or `less`), is
    /// taken in.
    /// - Parameters:
    ///   - defaultLimit: pictures when the fields do not say.
    ///   - isStacked: whether near-duplicates are stacked when the fields do not say.
    /// - Throws: ``SiteFailure`` with status 400 for values that no page makes.
    init(
        _ fields: FormFields, picture: PictureVector? = nil, defaultLimit: Int = Self.defaultLimit,
        isStacked: Bool = true
    ) throws(SiteFailure) {
        self.picture = picture
        text = try fields.words("q").first
        let isLess = try fields.texts("sign").first == "less"
        let added = try fields.words("add")
        more = try fields.words("more") + (isLess ? [] : added)
        less = try fields.words("less") + (isLess ? added : [])
        keys = try fields.texts("image_key")
        for terms in [more, less, keys] where terms.count > Self.maximumTerms {
            throw .badAddress(
                "A search has at most \(Self.maximumTerms) words or phrases to add, as many to leave "
                    + "out, and as many pictures to resemble.")
        }
        limit = try fields.integer("limit", in: 1...Self.maximumLimit) ?? defaultLimit
        offset = try fields.integer("offset", in: 0...Self.maximumOffset) ?? 0
        minimumScore = try fields.value("min_score", "a number from -1 to 1") { text in
            // Plain decimals, with an exponent as JSON has it; Swift would take "nan" and "0x1p-2" too.
            let isDecimal = text.utf8.allSatisfy("0123456789+-.eE".utf8.contains)
            return isDecimal ? Double(text).flatMap { (-1...1) ~= $0 ? $0 : nil } : nil
        }
        let time = "a year, a month, a day, or a time of a day, such as 2024-05-01"
        let pixels = 1...1_000_000
        filter = PictureFilter(
            prefix: try fields.texts("prefix").first,
            after: try fields.value("after", time) { WallTime($0) },
            before: try fields.value("before", time) { WallTime($0) },
            camera: try fields.texts("camera").first,
            shape: try fields.value("shape", "landscape, portrait or square") {
                PictureFilter.Shape(rawValue: $0)
            },
            minimumWidth: try fields.integer("min_width", in: pixels),
            minimumHeight: try fields.integer("min_height", in: pixels))
        do {
            try filter.check()
        } catch {
            throw SiteFailure(error, showsReasons: false)
        }
        self.isStacked =
            try fields.value("stacked", "true or false") { Bool($0) } ?? isStacked
        view = try fields.texts("view").first
        place = try fields.integer("at", in: 0...Self.maximumOffset + Self.maximumLimit) ?? 0
        try checkLength()
    }

    /// - Throws: ``SiteFailure`` with status 400 when the state does not fit an address.
    func checkLength() throws(SiteFailure) {
        guard queryPart.utf8.count <= Self.maximumQueryBytes else {
            throw .badAddress("These are too many words for one search. Leave out some.")
        }
    }
}

// MARK: What is searched for

extension SearchState {
    /// Whether there is anything to search for. Words to leave out alone say nothing.
    var isEmpty: Bool { text == nil && more.isEmpty && keys.isEmpty && picture == nil }

    /// - Precondition: the state is not empty.
    var query: SearchQuery {
        let weight = isBesidePicture ? Self.textWeightBesidePicture : 1
        var terms: [SearchQuery.Term] = []
        if let picture { terms.append(.init(.embedding(picture.components))) }
        terms += keys.map { .init(.key($0)) }
        terms += ([text].compactMap(\.self) + more).map { .init(.text($0), weight: weight) }
        terms += less.map { .init(.text($0), weight: weight * Self.lessWeight) }
        return SearchQuery(
            terms: terms, limit: limit, offset: offset, minimumScore: minimumScore, filter: filter,
            isStacked: isStacked)
    }
}

// MARK: Addresses

extension SearchState {
    /// The query part of the state's address, with the leading `?` (which alone keeps the path).
    var queryPart: String {
        var fields = self.fields
        if limit != Self.defaultLimit { fields.append(.init("limit", limit)) }
        if offset != 0 { fields.append(.init("offset", offset)) }
        let search =
            "?"
            + fields.map { "\($0.name)=\(PercentEncoding.encode($0.value))" }.joined(separator: "&")
        return view.map { Self.queryPart(search, viewing: $0, at: place) } ?? search
    }

    /// The query part of the same search with a picture shown large.
    /// - Parameters:
    ///   - search: the query part without one.
    ///   - place: 0 when it is not told.
    static func queryPart(_ search: String, viewing key: String, at place: Int) -> String {
        search + (search == "?" ? "" : "&") + "view=\(PercentEncoding.encode(key))"
            + (place == 0 ? "" : "&at=\(place)")
    }

    /// A field of an address or a form.
    struct Field {
        let name: String
        let value: String

        init(_ name: String, _ value: some CustomStringConvertible) {
            (self.name, self.value) = (name, "\(value)")
        }
    }

    /// What is searched for, besides the uploaded picture.
    var fields: [Field] {
        let terms =
            more.map { Field("more", $0) } + less.map { Field("less", $0) }
            + keys.map { Field("image_key", $0) }
        let others: [(name: String, value: (any CustomStringConvertible)?)] = [
            ("min_score", minimumScore), ("stacked", isStacked ? nil : false),
            ("prefix", filter.prefix), ("after", filter.after?.short),
            ("before", filter.before?.short), ("camera", filter.camera),
            ("shape", filter.shape?.rawValue), ("min_width", filter.minimumWidth),
            ("min_height", filter.minimumHeight),
        ]
        return (text.map { [Field("q", $0)] } ?? []) + terms
            + others.compactMap { name, value in value.map { Field(name, $0) } }
    }

    /// The whole address. A picture's is long; links of its own page leave the path out.
    var address: String {
        let query = queryPart
        return query == "?" ? path : path + query
    }

    var path: String { picture.map { "/search/\($0.text)" } ?? "/search" }

    /// The most pictures on one page of this search: fewer than usual when its links are long.
    var largestLimit: Int { min(Self.maximumLimit, Self.maximumLinkBytes / queryPart.utf8.count) }

    /// The same with some part changed.
    func with(_ change: (inout SearchState) -> Void) -> SearchState {
        var state = self
        change(&state)
        return state
    }

    /// The same with a picture of its results large; nil for none.
    func viewing(_ hit: SearchHit?) -> SearchState {
        with {
            $0.view = hit?.key
            $0.place = hit?.rank ?? 0
        }
    }

    /// The same from another picture on, with as many as usual.
    func part(from offset: Int) -> SearchState {
        with {
            $0.offset = offset
            $0.limit = Self.defaultLimit
        }
    }

    /// The search from its beginning: what a changed search starts with.
    var fromStart: SearchState { viewing(nil).part(from: 0) }
}

extension WallTime {
    /// Without a time of day that says nothing: `2024-05-01`.
    var short: String { text.hasSuffix("T00:00:00") ? String(text.prefix(10)) : text }
}

// MARK: A search in words

extension SearchState {
    /// Pictures that resemble a stored one.
    init(like key: String) {
        self.init()
        keys = [key]
    }

    var isBesidePicture: Bool { picture != nil || !keys.isEmpty }

    /// Whether it finds the copies of one picture.
    var isOfCopies: Bool {
        !isStacked && minimumScore ?? 0 >= SearchQuery.stackScore && keys.count == 1 && text == nil
            && more.isEmpty
    }

    /// The pictures that are nearly the same as a hit of this search.
    /// - Parameter score: the least cosine between copies.
    func copies(of hit: SearchHit, score: Double) -> SearchState {
        var state = SearchState(like: hit.key)
        (state.filter, state.isStacked) = (filter, false)
        state.minimumScore = score
        return state
    }

    /// What the search box holds beside the words: its pictures, and the filters, which stay when other
    /// words are searched for.
    func box(_ addresses: PictureAddresses) -> SearchBox {
        var kept = SearchState()
        (kept.keys, kept.filter) = (keys, filter)
        let start = fromStart
        func without(_ change: (inout SearchState) -> Void) -> String {
            let rest = start.with {
                change(&$0)
                ($0.isStacked, $0.minimumScore) = (true, nil)
            }
            return rest.isEmpty ? "/" : rest.address
        }
        var given: [PictureLink] = []
        if picture != nil {
            given.append(.init(name: "Your picture", address: without { $0.picture = nil }))
        }
        for index in keys.indices {
            let name = keys[index].split(separator: "/").last.map(String.init) ?? keys[index]
            given.append(
                .init(
                    name: name,
                    thumbnail: addresses.original(of: keys[index]).map { _ in
                        PicturePath.thumbnail.address(of: keys[index])
                    }, address: without { $0.keys.remove(at: index) }))
        }
        return SearchBox(
            path: path, pictures: given, fields: kept.fields,
            placeholder: given.isEmpty ? "Describe a picture" : "Add words")
    }

    /// What is looked for, in a few words.
    var subject: String {
        if isOfCopies { return "Copies of \(keys[0])" }
        var parts: [String] = []
        if picture != nil { parts.append("Like your picture") }
        if !keys.isEmpty { parts.append("Like " + keys.joined(separator: " and ")) }
        if let text { parts.append(text) }
        if parts.isEmpty { parts = more }
        return parts.joined(separator: " + ")
    }

    /// The words added and left out and the filters, each with the address of the search without it.
    var chips: [Link] {
        let start = fromStart
        var chips: [Link] = []
        func add(_ sign: String, _ text: String, without: (inout SearchState) -> Void) {
            chips.append(.init(sign: sign, text: text, address: start.with(without).address))
        }
        for index in more.indices { add("+ ", more[index]) { $0.more.remove(at: index) } }
        for index in less.indices { add("− ", less[index]) { $0.less.remove(at: index) } }
        if !isStacked {
            add("", "Only copies") { ($0.isStacked, $0.minimumScore) = (true, nil) }
        }
        if let prefix = filter.prefix { add("Folder ", prefix) { $0.filter.prefix = nil } }
        if let after = filter.after { add("After ", after.short) { $0.filter.after = nil } }
        if let before = filter.before { add("Before ", before.short) { $0.filter.before = nil } }
        if let camera = filter.camera { add("Camera ", camera) { $0.filter.camera = nil } }
        if let shape = filter.shape {
            add("", shape.rawValue.prefix(1).uppercased() + shape.rawValue.dropFirst()) {
                $0.filter.shape = nil
            }
        }
        if let width = filter.minimumWidth {
            add("At least ", "\(width) px wide") { $0.filter.minimumWidth = nil }
        }
        if let height = filter.minimumHeight {
            add("At least ", "\(height) px high") { $0.filter.minimumHeight = nil }
        }
        return chips
    }

    /// What the form for filters holds: the filters' fields by name, and the name of the chosen shape.
    var filterForm: [String: String] {
        var form: [String: String] = [:]
        for field in SearchState().with({ $0.filter = filter }).fields {
            form[field.name] = field.value
        }
        if let shape = filter.shape { form[shape.rawValue] = shape.rawValue }
        return form
    }

    /// Addresses of more pictures: of a page that shows them below those there are, as far as a page
    /// goes, and of the part that is new.
    func more(after result: SearchResult) -> ResultsContent.More? {
        let count = result.hits.count
        let next = offset + result.pictureCount
        guard next <= Self.maximumOffset else { return nil }
        let part = part(from: next)
        let longer = with { $0.limit = min(count + Self.defaultLimit, largestLimit) }
        let fits = longer.limit > count
        return .init(
            address: fits ? longer.queryPart + "#n\(next + 1)" : part.queryPart,
            part: part.queryPart)
    }
}
