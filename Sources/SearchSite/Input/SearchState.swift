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
    var limit: Int
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
    /// Bytes of a key; S3's keys have at most 1,024 (Amazon S3 User Guide, "Naming objects").
    static let maximumKeyBytes = 1_024
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

    init(text: String? = nil, limit: Int = defaultLimit) {
        self.text = text
        self.limit = limit
    }

    /// - Parameters:
    ///   - defaultLimit: pictures when the fields do not say.
    ///   - isStacked: whether near-duplicates are stacked when the fields do not say.
    /// - Throws: ``SiteFailure`` with status 400 for values that no page makes.
    init(
        _ fields: FormFields, picture: PictureVector? = nil, defaultLimit: Int = Self.defaultLimit,
        isStacked: Bool = true
    ) throws(SiteFailure) {
        self.picture = picture
        text = try QueryText(bytes: fields.first("q") ?? [])?.text
        more = try Self.texts(fields.all("more"))
        less = try Self.texts(fields.all("less"))
        keys = []
        for bytes in fields.all("image_key") where !bytes.isEmpty {
            keys.append(try Self.key(bytes))
        }
        guard keys.count <= Self.maximumTerms else {
            throw .badAddress("A search has at most \(Self.maximumTerms) pictures to resemble.")
        }
        limit =
            try Self.integer(fields, "limit", within: 1...Self.maximumLimit) ?? defaultLimit
        offset = try Self.integer(fields, "offset", within: 0...Self.maximumOffset) ?? 0
        minimumScore = try Self.score(fields.first("min_score") ?? [])
        filter = try Self.filter(fields)
        self.isStacked = try Self.flag(fields, "stacked") ?? isStacked
        if let bytes = fields.first("view"), !bytes.isEmpty { view = try Self.key(bytes) }
        place =
            try Self.integer(fields, "at", within: 0...Self.maximumOffset + Self.maximumLimit) ?? 0
        try checkLength()
    }

    /// - Throws: ``SiteFailure`` with status 400 when the state does not fit an address.
    func checkLength() throws(SiteFailure) {
        guard queryPart.utf8.count <= Self.maximumQueryBytes else {
            throw .badAddress("These are too many words for one search. Leave out some.")
        }
    }

    private static func texts(_ fields: [[UInt8]]) throws(SiteFailure) -> [String] {
        var texts: [String] = []
        for field in fields {
            if let text = try QueryText(bytes: field)?.text { texts.append(text) }
        }
        guard texts.count <= maximumTerms else {
            throw .badAddress("At most \(maximumTerms) words or phrases can be added or left out.")
        }
        return texts
    }

    private static func key(_ bytes: [UInt8]) throws(SiteFailure) -> String {
        guard bytes.count <= maximumKeyBytes, !bytes.contains(0),
            let key = String(validating: bytes, as: UTF8.self)
        else { throw .badAddress("No picture has such a key.") }
        return key
    }

    private static func integer(
        _ fields: FormFields, _ name: String, within range: ClosedRange<Int>
    ) throws(SiteFailure) -> Int? {
        guard let bytes = fields.first(name), !bytes.isEmpty else { return nil }
        // Digits only: Swift would take "+5".
        guard bytes.count <= 9, bytes.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 }),
            let value = Int(String(decoding: bytes, as: UTF8.self)), range ~= value
        else {
            throw .badAddress(
                "The field \(name) must be a number from \(range.lowerBound) to "
                    + "\(range.upperBound).")
        }
        return value
    }

    private static func flag(_ fields: FormFields, _ name: String) throws(SiteFailure) -> Bool? {
        guard let bytes = fields.first(name), !bytes.isEmpty else { return nil }
        guard let value = Bool(String(decoding: bytes, as: UTF8.self)) else {
            throw .badAddress("The field \(name) must be true or false.")
        }
        return value
    }

    private static func filter(_ fields: FormFields) throws(SiteFailure) -> PictureFilter {
        func text(_ name: String) throws(SiteFailure) -> String? {
            guard let bytes = fields.first(name), !bytes.isEmpty else { return nil }
            guard bytes.count <= maximumKeyBytes, !bytes.contains(0),
                let text = String(validating: bytes, as: UTF8.self)
            else { throw .badAddress("The field \(name) is not a text of at most 1,024 bytes.") }
            return text
        }
        func time(_ name: String) throws(SiteFailure) -> WallTime? {
            guard let text = try text(name) else { return nil }
            guard let time = WallTime(text) else {
                throw .badAddress(
                    "The field \(name) must be a year, a month, a day, or a time of a day, such as "
                        + "2024-05-01.")
            }
            return time
        }
        var filter = PictureFilter(
            prefix: try text("prefix"), after: try time("after"), before: try time("before"),
            camera: try text("camera"))
        if let name = try text("shape") {
            guard let shape = PictureFilter.Shape(rawValue: name) else {
                throw .badAddress("The field shape must be landscape, portrait or square.")
            }
            filter.shape = shape
        }
        let pixels = 1...1_000_000
        filter.minimumWidth = try integer(fields, "min_width", within: pixels)
        filter.minimumHeight = try integer(fields, "min_height", within: pixels)
        if let after = filter.after, let before = filter.before, after.text >= before.text {
            throw .badAddress("No picture was taken after \(after) and before \(before).")
        }
        return filter
    }

    private static func score(_ bytes: [UInt8]) throws(SiteFailure) -> Double? {
        guard !bytes.isEmpty else { return nil }
        // Plain decimals, with an exponent as JSON has it; Swift would take "nan" and "0x1p-2" too.
        let allowed = Array("0123456789+-.eE".utf8)
        guard bytes.count <= 32, bytes.allSatisfy(allowed.contains),
            let value = Double(String(decoding: bytes, as: UTF8.self)), (-1...1) ~= value
        else { throw .badAddress("The field min_score must be a number from -1 to 1.") }
        return value
    }
}

// MARK: What is searched for

extension SearchState {
    /// Whether there is anything to search for. Words to leave out alone say nothing.
    var isEmpty: Bool { text == nil && more.isEmpty && keys.isEmpty && picture == nil }

    /// - Precondition: the state is not empty.
    var query: SearchQuery {
        let besidePicture = picture != nil || !keys.isEmpty
        let weight = besidePicture ? Self.textWeightBesidePicture : 1
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
        var fields: [Field] = []
        if let text { fields.append(.init("q", text)) }
        fields += more.map { .init("more", $0) }
        fields += less.map { .init("less", $0) }
        fields += keys.map { .init("image_key", $0) }
        if let minimumScore { fields.append(.init("min_score", minimumScore)) }
        if !isStacked { fields.append(.init("stacked", false)) }
        return fields + filterFields
    }

    var filterFields: [Field] {
        var fields: [Field] = []
        if let prefix = filter.prefix { fields.append(.init("prefix", prefix)) }
        if let after = filter.after { fields.append(.init("after", after.short)) }
        if let before = filter.before { fields.append(.init("before", before.short)) }
        if let camera = filter.camera { fields.append(.init("camera", camera)) }
        if let shape = filter.shape { fields.append(.init("shape", shape.rawValue)) }
        if let width = filter.minimumWidth { fields.append(.init("min_width", width)) }
        if let height = filter.minimumHeight { fields.append(.init("min_height", height)) }
        return fields
    }

    /// The whole address. A picture's is long; links of its own page leave the path out.
    var address: String {
        let query = queryPart
        return query == "?" ? path : path + query
    }

    var path: String { picture.map { "/search/\($0.text)" } ?? "/search" }

    /// The most pictures on one page of this search: fewer than usual when its links are long.
    var largestLimit: Int { min(Self.maximumLimit, Self.maximumLinkBytes / queryPart.utf8.count) }

    /// The same with no more pictures than a page of this search may have.
    var withBoundedPage: SearchState { with { $0.limit = min($0.limit, largestLimit) } }

    /// The same with some part changed.
    func with(_ change: (inout SearchState) -> Void) -> SearchState {
        var state = self
        change(&state)
        return state
    }

    /// The search itself, without the picture that is shown large.
    var withoutView: SearchState {
        with {
            $0.view = nil
            $0.place = 0
        }
    }

    /// The search from its beginning: what a changed search starts with.
    var fromStart: SearchState {
        withoutView.with {
            $0.offset = 0
            $0.limit = Self.defaultLimit
        }
    }
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
        var given: [SearchBox.Picture] = []
        if picture != nil {
            given.append(.init(name: "Your picture", without: without { $0.picture = nil }))
        }
        for index in keys.indices {
            let name = keys[index].split(separator: "/").last.map(String.init) ?? keys[index]
            given.append(
                .init(
                    name: name,
                    thumbnail: addresses.original(of: keys[index]).map { _ in
                        PicturePath.thumbnail(of: keys[index])
                    }, without: without { $0.keys.remove(at: index) }))
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
        for index in more.indices { add("+ ", more[index]) { $0.more.remove(at: index) } }
        for index in less.indices { add("− ", less[index]) { $0.less.remove(at: index) } }
        if !isStacked {
            add("", "Only copies") { ($0.isStacked, $0.minimumScore) = (true, nil) }
        }
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
    func more(after result: SearchResult) -> ResultsContent.More? {
        let count = result.hits.count
        let next = offset + result.pictureCount
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
