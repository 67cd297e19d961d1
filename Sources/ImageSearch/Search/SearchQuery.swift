/// What is looked for: texts and pictures, each with a weight, and which part of the answer is
/// wanted.
///
/// Every term stands for a unit vector (a text's or a picture's embedding). The query's own vector is
/// their weighted sum, made a unit vector again:
///
///     q = Σ wᵢ vᵢ / ‖Σ wᵢ vᵢ‖
///
/// so only the weights' proportions count, and a negative weight turns the query away from its term.
/// Pictures are ranked by the cosine between their embedding and `q`. Terms that cancel each other out
/// leave no direction to look in: ``SearchError/termsCancelOut``.
public struct SearchQuery: Sendable, Equatable {
    /// One of the things that a query is made of.
    public struct Term: Sendable, Equatable {
        public enum Content: Sendable, Equatable {
            /// Words that describe what pictures show.
            case text(String)
            /// The bytes of a picture file, of any format that pictures are embedded from.
            case picture([UInt8])
            /// A picture that is stored already, by its key; its stored embedding is taken.
            case key(String)
            /// An embedding of the same model, of any length but zero.
            case embedding([Float])
        }

        public let content: Content
        /// How much the term counts, and whether for or against it. Finite and not zero.
        public let weight: Double

        public init(_ content: Content, weight: Double = 1) {
            self.content = content
            self.weight = weight
        }
    }

    /// The most terms that a query may have.
    public static let maximumTerms = 32
    /// The most pictures that may be asked for at once.
    public static let maximumLimit = 10_000
    /// The most pictures that may be passed over.
    public static let maximumOffset = 1_000_000
    /// Bytes of the largest picture file that may be a term.
    public static let maximumPictureBytes = 64 << 20

    /// At least one.
    public var terms: [Term]
    /// How many pictures are wanted, at least 1.
    public var limit: Int
    /// How many of the nearest to pass over.
    public var offset: Int
    /// The least cosine, -1 to 1; nil takes what is nearest however far it is.
    ///
    /// There is no level that fits every query: CLIP's pictures lie far from its texts (0.2 to 0.35
    /// for a text that describes a picture well), near to one another (0.5 to 1).
    public var minimumScore: Double?
    /// Only pictures whose key begins so, byte by byte.
    public var prefix: String?
    /// Whether every row is compared, instead of asking an index that may miss some.
    public var isExact: Bool

    public init(
        terms: [Term], limit: Int = 4, offset: Int = 0, minimumScore: Double? = nil,
        prefix: String? = nil, isExact: Bool = false
    ) {
        self.terms = terms
        self.limit = limit
        self.offset = offset
        self.minimumScore = minimumScore
        self.prefix = prefix
        self.isExact = isExact
    }

    /// A query of one text.
    public init(_ text: String, limit: Int = 4) {
        self.init(terms: [Term(.text(text))], limit: limit)
    }

    /// Whether every part has a sensible value.
    /// - Throws: ``SearchError/invalid(_:)``, or ``SearchError/pictureTooLarge(bytes:limit:)``.
    public func check() throws(SearchError) {
        guard (1...Self.maximumTerms).contains(terms.count) else {
            throw .invalid("a search has 1 to \(Self.maximumTerms) terms, not \(terms.count)")
        }
        guard terms.allSatisfy({ $0.weight.isFinite && $0.weight != 0 }) else {
            throw .invalid("a term's weight must be a number other than zero")
        }
        guard (1...Self.maximumLimit).contains(limit) else {
            throw .invalid("1 to \(Self.maximumLimit) pictures can be asked for, not \(limit)")
        }
        guard (0...Self.maximumOffset).contains(offset) else {
            throw .invalid("0 to \(Self.maximumOffset) pictures can be passed over, not \(offset)")
        }
        if let minimumScore {
            guard (-1...1).contains(minimumScore) else {
                throw .invalid("a score lies between -1 and 1")
            }
        }
        if let prefix, prefix.utf8.contains(0) {
            throw .invalid("no key begins with a prefix that holds a NUL character")
        }
        for case .picture(let bytes) in terms.map(\.content)
        where bytes.count > Self.maximumPictureBytes {
            throw .pictureTooLarge(bytes: bytes.count, limit: Self.maximumPictureBytes)
        }
    }
}
