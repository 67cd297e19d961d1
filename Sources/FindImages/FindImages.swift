import ArgumentParser
import CommandLineSupport
import ImageSearch

@main
struct FindImages: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "find-images",
        abstract: "Find the pictures that match texts and pictures best.",
        usage: """
            find-images [TEXT] [--plus TEXT] [--minus TEXT] [--image PICTURE] [--weight W] …
            find-images -        each line of stdin is a search
            find-images --duplicates
            """,
        discussion: """
            Reads the settings of the bucket and the database from the environment or from .env; see \
            .env_example. The number after a key is the cosine between query and picture.

            A query has up to \(SearchQuery.maximumTerms) terms, in any order:

            TEXT                    What to look for; - reads searches from stdin,
                                    one per line.
            --plus TEXT             Another text to look for.
            --minus TEXT            A text to avoid.
            --image PICTURE         A picture to look for: a file, an address (http
                                    or https), or the key of a stored picture,
                                    checked in this order.
            --minus-image PICTURE   A picture to avoid.
            --weight W              How much the term before it counts. (default: 1)

            Each term is a unit vector. Their weighted sum, normalised, is compared with the \
            pictures' embeddings.
            """,
        version: Console.version)

    @Argument(
        parsing: .allUnrecognized,
        help: ArgumentHelp("The terms of the query, described above.", valueName: "terms"),
        completion: .file())
    var arguments: [String] = []

    @Option(name: [.customShort("k"), .long], help: "How many pictures to print.")
    var limit = 4

    @Option(help: "Skip this many results.")
    var offset = 0

    @Option(
        help:
            "Print only pictures with at least this cosine. 0.2 to 0.35 is a good match for a text, 0.5 to 1 for a picture."
    )
    var minScore: Double?

    @OptionGroup(title: "Filters") var filters: FilterOptions

    @Flag(help: "Compare every picture instead of using an index, which may miss some.")
    var exact = false

    @Flag(
        help:
            "Print one JSON object per line: rank, key, score, url, and where known width, height, taken_at, camera; with searches from stdin, query first."
    )
    var json = false

    @Flag(help: "Print only the keys, one per line.")
    var keys = false

    @Flag(
        name: [.customShort("0"), .customLong("null")],
        help: "With --keys: end each key with a NUL character instead, as xargs -0 reads them.")
    var nul = false

    @Flag(
        inversion: .prefixedNo,
        help: "Print a link to each picture; on a terminal, the key is the link.")
    var url = true

    @Option(help: "How many seconds the links work, at most a week.")
    var expires = 3_600

    @Flag(
        inversion: .prefixedNo,
        help: "Show the pictures if the terminal can (kitty, iTerm2, sixel).")
    var thumbnails = true

    @Flag(
        help:
            "Print groups of pictures that are nearly the same (a cosine of --min-score or more, 0.96 by default), each with its best copy first: most pixels, then the oldest."
    )
    var duplicates = false

    @Flag(help: "Print the query's embedding as a JSON array and do not search.")
    var printEmbedding = false

    @OptionGroup var shared: SettingsOptions

    /// Bytes of the largest picture that is shown in a terminal.
    private static let maximumThumbnailBytes = 64 << 20

    private func terms() throws -> [TermArguments.Term] { try TermArguments(arguments).terms }

    func validate() throws {
        try check("--limit", limit, in: 1...SearchQuery.maximumLimit)
        try check("--offset", offset, in: 0...SearchQuery.maximumOffset)
        guard minScore.map((-1...1).contains) ?? true else {
            throw ValidationError("--min-score must be -1 to 1.")
        }
        try check("--expires", expires, in: 1...604_800)
        if duplicates {
            guard try terms().isEmpty, filters.filter.isEmpty, !printEmbedding, !keys else {
                throw ValidationError(
                    "--duplicates compares all pictures: give only --min-score and --json.")
            }
            return
        }
        guard try (1...SearchQuery.maximumTerms).contains(terms().count) else {
            throw ValidationError(
                "Give 1 to \(SearchQuery.maximumTerms) texts and pictures to search for.")
        }
        guard !keys || !json else { throw ValidationError("Give either --keys or --json.") }
        guard !nul || keys else { throw ValidationError("-0 is for --keys.") }
    }

    func run() async {
        await Console.run("find-images") {
            let settings = try shared.read(for: "find-images")
            try settings.limitInstructionSet()
            let terms = try terms()
            if duplicates { return try await printDuplicates(settings) }
            return printEmbedding
                ? try await printEmbeddings(of: terms, settings)
                : try await search(for: terms, settings)
        }
    }

    /// A searcher that is connected to the database, of a table that may belong to a folder.
    private func connect(
        _ given: Settings, threads: Int? = nil
    ) async throws -> (Searcher, Settings) {
        let settings = try await Console.onThread {
            try given.withRecordedFolder(applicationName: "find-images")
        }
        let searcher = try Searcher(
            settings, applicationName: "find-images", longestStatement: .seconds(120),
            threads: threads)
        try await searcher.connect()
        return (searcher, settings)
    }

    private func printDuplicates(_ settings: Settings) async throws -> Int32 {
        let (searcher, _) = try await connect(settings)
        let groups = try await searcher.duplicates(minimumScore: minScore ?? 0.96) { seen in
            Console.rewriteLine("\(seen) pictures compared")
        }
        Console.rewriteLine("")
        for group in groups {
            Console.line(json ? HitFormat.json(group) : HitFormat.text(group))
        }
        let copies = groups.reduce(0) { $0 + $1.count - 1 }
        Console.note(
            "find-images: \(groups.count) groups, \(copies) pictures beside the best copies")
        return 0
    }

    private func query(_ terms: [SearchQuery.Term]) -> SearchQuery {
        SearchQuery(
            terms: terms, limit: limit, offset: offset, minimumScore: minScore,
            filter: filters.filter, isExact: exact)
    }

    /// Needs only the model's settings.
    private func printEmbeddings(
        of arguments: [TermArguments.Term], _ settings: Settings
    ) async throws -> Int32 {
        let pictures = try await Self.findPictures(of: arguments, settings)
        let embedder = try QueryEmbedder(
            modelPath: try Console.locateModel(settings), activation: try settings.activation(),
            precision: try settings.precision())
        let orientation = try settings.orientation() ?? .upright
        let terms = try await Self.terms(arguments, pictures) {
            try embedder.embed($0, rule: .init(orientation: orientation))
        }
        return try await forEachSearch(terms) { terms, _ in
            let embedding = try await embedder.vector(of: query(terms))
            if embedding.isTruncated { noteTruncation(embedder.contextLength) }
            Console.line(HitFormat.json(embedding.vector))
        }
    }

    /// Settings are checked and the database is connected before the model is loaded, so that a
    /// mistake shows at once. Only the needed parts of the model are loaded.
    private func search(
        for arguments: [TermArguments.Term], _ given: Settings
    ) async throws -> Int32 {
        let (searcher, settings) = try await connect(given, threads: 1)
        let pictures = try await Self.findPictures(of: arguments, settings)
        let hasText = arguments.contains { $0.pictureName == nil }
        if hasText || !pictures.isEmpty {
            try await searcher.load(loadsTexts: hasText) { try Console.locateModel(settings) }
        }
        let terms = try await Self.terms(arguments, pictures) { try searcher.embed($0) }
        let graphics = thumbnails && !json && !keys ? TerminalGraphics.detected : nil
        return try await forEachSearch(terms) { terms, line in
            let query = query(terms)
            let result = try await searcher.search(query)
            if result.isTruncated { noteTruncation(try searcher.contextLength()) }
            if let line, !json, !keys { Console.line(Console.printable(line)) }
            if result.hits.isEmpty {
                let hasPictures = try await searcher.hasPictures()
                Console.note("find-images: \(HitFormat.nothing(query, hasPictures: hasPictures))")
            }
            for hit in result.hits { try show(hit, line, searcher, graphics) }
        }
    }

    /// Reads the pictures of a command line, each once. The names that are left out are keys.
    private static func findPictures(
        of arguments: [TermArguments.Term], _ settings: Settings
    ) async throws -> [String: [UInt8]] {
        let names = Set(arguments.compactMap(\.pictureName))
        guard !names.isEmpty else { return [:] }
        return try await Console.onThread {
            try names.reduce(into: [:]) { $0[$1] = try QueryPicture.bytes($1, settings) }
        }
    }

    /// The query's terms with pictures embedded; nil stands for a line of stdin.
    private static func terms(
        _ arguments: [TermArguments.Term], _ pictures: [String: [UInt8]],
        embed: @escaping @Sendable ([UInt8]) throws -> [Float]
    ) async throws -> [(content: SearchQuery.Term.Content?, weight: Double)] {
        try await Console.onThread {
            try arguments.map { term in
                switch term.source {
                case .line: (nil, term.weight)
                case .text(let text): (.text(text), term.weight)
                case .picture(let name):
                    (
                        try pictures[name].map { .embedding(try embed($0)) } ?? .key(name),
                        term.weight
                    )
                }
            }
        }
    }

    /// Runs one search, or one for every line of stdin if a term stands for it.
    /// - Returns: the exit code.
    private func forEachSearch(
        _ terms: [(content: SearchQuery.Term.Content?, weight: Double)],
        _ search: ([SearchQuery.Term], _ line: String?) async throws -> Void
    ) async throws -> Int32 {
        func query(_ line: String?) -> [SearchQuery.Term] {
            terms.map { .init($0.content ?? .text(line ?? ""), weight: $0.weight) }
        }
        guard terms.contains(where: { $0.content == nil }) else {
            try await search(query(nil), nil)
            return 0
        }
        var failed = false
        while let line = readLine() {
            // By scalars: a character counts as white space by its first scalar alone.
            guard !line.unicodeScalars.allSatisfy(\.properties.isWhitespace) else { continue }
            do {
                try await search(query(line), line)
            } catch let error as SearchError where error.isAboutQuery {
                // The other lines can still be answered.
                Console.note("find-images: \(Console.printable(line)): \(error)")
                failed = true
            }
        }
        return failed ? 1 : 0
    }

    private func show(
        _ hit: SearchHit, _ line: String?, _ searcher: Searcher, _ graphics: TerminalGraphics?
    ) throws {
        if keys {
            // As it is: a key with a line break needs -0.
            Console.data(hit.key + (nul ? "\0" : "\n"))
            return
        }
        // A row's key may be one that the store cannot have.
        let link: String?? =
            url ? .some(try? searcher.store.presignedURL(for: hit.key, expiresIn: expires)) : nil
        if json { return Console.line(HitFormat.json(hit, query: line, url: link)) }
        Console.line(HitFormat.text(hit, url: link, isLinked: Console.showsHyperlinks))
        if let graphics,
            let bytes = try? searcher.store.object(
                hit.key, maximumBytes: Self.maximumThumbnailBytes),
            let picture = graphics.thumbnail(of: bytes)
        {
            Console.line(picture)
        }
    }

    private func noteTruncation(_ contextLength: Int) {
        Console.note(
            "find-images: a text has more than \(contextLength) tokens; the rest is ignored")
    }
}

extension TermArguments.Term {
    fileprivate var pictureName: String? {
        if case .picture(let name) = source { name } else { nil }
    }
}

/// What narrows a search.
struct FilterOptions: ParsableArguments {
    @Option(help: "Only pictures whose key begins with this.")
    var prefix: String?

    @Option(
        help: ArgumentHelp(
            "Only pictures taken then or later: 2024, 2024-05, 2024-05-01 or 2024-05-01T12:30.",
            valueName: "time"))
    var after: WallTime?

    @Option(help: ArgumentHelp("Only pictures taken before then.", valueName: "time"))
    var before: WallTime?

    @Option(help: "Only pictures of cameras whose name contains this.")
    var camera: String?

    @Option(help: "Only pictures of this shape.")
    var shape: PictureFilter.Shape?

    @Option(help: ArgumentHelp("Only pictures with at least this width.", valueName: "pixels"))
    var minWidth: Int?

    @Option(help: ArgumentHelp("Only pictures with at least this height.", valueName: "pixels"))
    var minHeight: Int?

    var filter: PictureFilter {
        PictureFilter(
            prefix: prefix, after: after, before: before, camera: camera, shape: shape,
            minimumWidth: minWidth, minimumHeight: minHeight)
    }

    func validate() throws {
        do { try filter.check() } catch { throw ValidationError("\(error).") }
    }
}

extension WallTime: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension PictureFilter.Shape: ExpressibleByArgument {}
