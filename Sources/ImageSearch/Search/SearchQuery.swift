import FoundationEssentials

/// A query: texts and pictures, each with a weight, and which part of the answer is wanted.
///
/// Every term stands for a unit vector (a text's or a picture's embedding). The query's vector is
/// their weighted sum, normalised:
///
///     q = Σ wᵢ vᵢ / ‖Σ wᵢ vᵢ‖
///
/// so only the weights' proportions count, and a negative weight turns the query away from its term.
/// Pictures are ranked by the cosine between their embedding and `q`. Terms that cancel each other out
/// leave no direction: ``SearchError/termsCancelOut``.
public struct SearchQuery: Sendable, Equatable {
    public struct Term: Sendable, Equatable {
        public enum Content: Sendable, Equatable {
            /// Words that describe what pictures show.
            case text(String)
            /// A stored picture's key; its stored embedding is used.
            case key(String)
            /// An embedding of the same model, not zero.
            case embedding([Float])

            var isKey: Bool { if case .key = self { true } else { false } }
        }

        public let content: Content
        /// How much the term counts, and whether for or against it. Finite and not zero.
        public let weight: Double

        public init(_ content: Content, weight: Double = 1) {
            self.content = content
            self.weight = weight
        }
    }

    public static let maximumTerms = 32
    /// The most pictures that one query may ask for.
    public static let maximumLimit = 10_000
    /// The most pictures that may be skipped.
    public static let maximumOffset = 1_000_000
    /// Bytes of the largest picture file to search with.
    public static let maximumPictureBytes = 64 << 20

    /// At least one.
    public var terms: [Term]
    /// How many pictures to find, at least 1.
    public var limit: Int
    /// How many of the nearest pictures to skip.
    public var offset: Int
    /// The least cosine, -1 to 1; nil accepts any.
    ///
    /// No level fits every query: with CLIP, a text that describes a picture well has a cosine of 0.2
    /// to 0.35 with it, and similar pictures have 0.5 to 1.
    public var minimumScore: Double?
    public var filter: PictureFilter
    /// Whether to compare every row instead of asking an index, which may miss some.
    public var isExact: Bool
    /// Whether near-duplicates come as one hit with its copies: a picture whose cosine with a nearer
    /// hit is at least ``SearchResult/stackScore``. Then `limit` counts hits without copies.
    public var isStacked: Bool

    /// The least cosine between near-duplicates, whatever the model.
    public static let stackScore = 0.96

    public init(
        terms: [Term] = [], limit: Int = 4, offset: Int = 0, minimumScore: Double? = nil,
        filter: PictureFilter = PictureFilter(), isExact: Bool = false, isStacked: Bool = false
    ) {
        self.terms = terms
        self.limit = limit
        self.offset = offset
        self.minimumScore = minimumScore
        self.filter = filter
        self.isExact = isExact
        self.isStacked = isStacked
    }

    /// The most pictures, copies among them, that answer it: four for each stack, and few enough for one
    /// scan of an index.
    var pictureLimit: Int { isStacked ? limit + min(3 * limit, 480) : limit }

    /// Checks that every part is in its range.
    /// - Throws: ``SearchError/invalid(_:)``.
    public func check() throws(SearchError) {
        guard (1...Self.maximumTerms).contains(terms.count) else {
            throw .invalid("a search has 1 to \(Self.maximumTerms) terms, not \(terms.count)")
        }
        guard terms.allSatisfy({ $0.weight.isFinite && $0.weight != 0 }) else {
            throw .invalid("a term's weight must be a number other than zero")
        }
        guard (1...Self.maximumLimit).contains(limit) else {
            throw .invalid("a search finds 1 to \(Self.maximumLimit) pictures, not \(limit)")
        }
        guard (0...Self.maximumOffset).contains(offset) else {
            throw .invalid("a search skips 0 to \(Self.maximumOffset) pictures, not \(offset)")
        }
        guard (-1...1).contains(minimumScore ?? 0) else {
            throw .invalid("a score lies between -1 and 1")
        }
        try filter.check()
    }
}

/// What narrows a search: every condition must hold. A picture whose row does not say what is asked for,
/// its date for example, does not match.
public struct PictureFilter: Sendable, Equatable {
    /// Sides that differ by at most 5 % make a square.
    public enum Shape: String, Sendable, CaseIterable {
        case landscape, portrait, square
    }

    /// Only pictures whose key begins with this, byte by byte.
    public var prefix: String?
    /// Only pictures taken then or later.
    public var after: WallTime?
    /// Only pictures taken before then.
    public var before: WallTime?
    /// Only pictures of cameras whose name contains this, in upper or lower case.
    public var camera: String?
    /// Of the upright picture.
    public var shape: Shape?
    /// Pixels of the upright picture, at least.
    public var minimumWidth: Int?
    public var minimumHeight: Int?

    public init(
        prefix: String? = nil, after: WallTime? = nil, before: WallTime? = nil,
        camera: String? = nil, shape: Shape? = nil, minimumWidth: Int? = nil,
        minimumHeight: Int? = nil
    ) {
        // An empty text keeps every picture, even one without a camera.
        self.prefix = prefix?.isEmpty == true ? nil : prefix
        self.after = after
        self.before = before
        self.camera = camera?.isEmpty == true ? nil : camera
        self.shape = shape
        self.minimumWidth = minimumWidth
        self.minimumHeight = minimumHeight
    }

    /// Whether every picture matches.
    public var isEmpty: Bool { self == PictureFilter() }

    /// Whether it asks for columns that a table of an earlier version lacks.
    var needsFacts: Bool { self != PictureFilter(prefix: prefix) }

    /// - Throws: ``SearchError/invalid(_:)``.
    public func check() throws(SearchError) {
        for text in [prefix, camera].compactMap(\.self) where text.utf8.contains(0) {
            throw .invalid("no key and no camera's name contains a NUL character")
        }
        for pixels in [minimumWidth, minimumHeight].compactMap(\.self)
        where !(1...1_000_000).contains(pixels) {
            throw .invalid("the least width and height are 1 to 1000000 pixels, not \(pixels)")
        }
        if let after, let before, after.text >= before.text {
            throw .invalid("no picture was taken after \(after) and before \(before)")
        }
    }
}

/// A time as a clock on the wall shows it, which is what cameras write: without a time zone.
public struct WallTime: Sendable, Equatable, CustomStringConvertible {
    /// `2024-05-01T12:30:00`, so that times compare as their texts do.
    public let text: String

    public var description: String { text }

    /// - Parameter text: a year, a month, a day, or a time of a day: `2024`, `2024-05`, `2024-05-01`,
    ///   `2024-05-01T12:30`, `2024-05-01 12:30:59`, from 1600 on. What is left out is the earliest possible.
    /// - Returns: nil for anything else, and for days that no calendar has.
    public init?(_ text: String) {
        guard [4, 7, 10, 16, 19].contains(text.utf8.count), text >= "1600" else { return nil }
        let full = text.replacing(" ", with: "T") + "0001-01-01T00:00:00".dropFirst(text.count)
        // The parser takes 30 February for 1 March.
        guard let date = try? Date(full + "Z", strategy: .iso8601),
            date.formatted(.iso8601) == full + "Z"
        else { return nil }
        self.text = full
    }
}

/// What a row knows of its picture; docs/sql.md describes the columns.
public struct PictureFacts: Sendable, Equatable {
    /// Pixels of the upright picture.
    public var width: Int?
    public var height: Int?
    /// When it was taken, by the camera's clock: `2024-05-01T12:30:00`.
    public var takenAt: String?
    public var camera: String?

    public init(
        width: Int? = nil, height: Int? = nil, takenAt: String? = nil, camera: String? = nil
    ) {
        self.width = width
        self.height = height
        self.takenAt = takenAt
        self.camera = camera
    }
}

/// A picture of the table.
public struct StoredPicture: Sendable, Equatable {
    public let key: String
    public let facts: PictureFacts

    public init(key: String, facts: PictureFacts = PictureFacts()) {
        self.key = key
        self.facts = facts
    }
}

/// A small copy of a picture that the database holds.
public struct PicturePreview: Sendable, Equatable {
    /// `image/jpeg`.
    public let type: String
    public let bytes: [UInt8]

    public init(type: String, bytes: [UInt8]) {
        self.type = type
        self.bytes = bytes
    }
}
