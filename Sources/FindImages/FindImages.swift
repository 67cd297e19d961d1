import ArgumentParser
import CommandLineSupport
import ImageSearch

@main
struct FindImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "find-images",
        abstract: "Find the pictures that texts and pictures describe best.",
        usage: """
            find-images [TEXT] [--plus TEXT] [--minus TEXT] [--image PICTURE] [--weight W] …
            find-images -        each line of stdin is a search
            """,
        discussion: """
            Reads the bucket's and the database's settings from the environment or from .env; see \
            .env_example. The number behind a key is the cosine between query and picture.

            Several texts and pictures make one query: each is a unit vector, and their weighted sum, \
            made a unit vector again, is what pictures are compared with. --minus turns the query \
            away from a text.
            """,
        version: Console.version)

    @Argument(
        help: "What to look for; - reads searches from stdin, one a line. (default: man jumping)")
    var text: [String] = []

    @Option(help: "A further text to look for.")
    var plus: [String] = []

    @Option(help: "A text to stay away from.")
    var minus: [String] = []

    @Option(
        help:
            "A picture to look for: a file, an address (http or https), or the key of a stored one, in this order."
    )
    var image: [String] = []

    @Option(help: "A picture to stay away from.")
    var minusImage: [String] = []

    @Option(help: "How much the text or picture before it counts; 1 unless given.")
    var weight: [String] = []

    @Option(name: [.customShort("k"), .long], help: "How many pictures to print.")
    var limit = 4

    @Option(help: "How many of the nearest to pass over.")
    var offset = 0

    @Option(
        help:
            "Print only pictures with at least this cosine. Levels differ: 0.2 to 0.35 is near for a text, 0.5 to 1 for a picture."
    )
    var minScore: Double?

    @Option(help: "Only pictures whose key begins so.")
    var prefix: String?

    @Flag(help: "Compare every picture, instead of asking an index that may miss some.")
    var exact = false

    @Flag(
        help:
            "Print one JSON object a line: rank, key, score, url; with searches from stdin, query first."
    )
    var json = false

    @Flag(inversion: .prefixedNo, help: "Print a link to each picture.")
    var url = true

    @Option(help: "How many seconds the links work, a week at most.")
    var expires = 3_600

    @Flag(
        inversion: .prefixedNo,
        help: "Show the pictures in a terminal that can (kitty, iTerm2, sixel).")
    var thumbnails = true

    @Flag(help: "Print the query's embedding as a JSON array and search nothing.")
    var printEmbedding = false

    /// Options that have a value and are no terms, for the order of the terms.
    private static let otherOptions: Set<String> = [
        "-k", "--limit", "--offset", "--min-score", "--prefix", "--expires",
    ]

    private func arguments() throws -> TermArguments {
        let line = Array(CommandLine.arguments.dropFirst())
        do {
            let arguments = try TermArguments(line, otherOptions: Self.otherOptions)
            // Without any, the search that the Python demo begins with.
            return arguments.terms.isEmpty
                ? try TermArguments(["man jumping"], otherOptions: []) : arguments
        } catch {
            throw ValidationError(error.description)
        }
    }

    func validate() throws {
        guard (1...SearchQuery.maximumLimit).contains(limit) else {
            throw ValidationError("--limit must be 1 to \(SearchQuery.maximumLimit).")
        }
        guard (0...SearchQuery.maximumOffset).contains(offset) else {
            throw ValidationError("--offset must be 0 to \(SearchQuery.maximumOffset).")
        }
        guard minScore.map((-1...1).contains) ?? true else {
            throw ValidationError("--min-score must be -1 to 1.")
        }
        guard (1...604_800).contains(expires) else {
            throw ValidationError("--expires must be 1 to 604800.")
        }
        guard text.count <= 1 else {
            throw ValidationError("One TEXT at most; put it into quotes, and others behind --plus.")
        }
        guard try arguments().terms.count <= SearchQuery.maximumTerms else {
            throw ValidationError("\(SearchQuery.maximumTerms) texts and pictures at most.")
        }
    }

    func run() {
        Console.run("find-images") {
            let settings = try Settings()
            let arguments = try arguments()
            let find = try FindCommand(settings, needsDatabase: !printEmbedding) {
                try Console.locateModel(settings)
            }
            guard arguments.terms.contains(where: { $0.source == .line }) else {
                try answer(find, terms: try find.terms(of: arguments), line: nil)
                return 0
            }
            var failed = false
            while let line = readLine() {
                guard !line.allSatisfy(\.isWhitespace) else { continue }
                do {
                    try answer(find, terms: try find.terms(of: arguments, line: line), line: line)
                } catch let error as SearchError where error.isAboutQuery {
                    // One bad line is no reason to leave the others unanswered.
                    Console.note("find-images: \(Console.printable(line)): \(error)")
                    failed = true
                }
            }
            return failed ? 1 : 0
        }
    }

    private func answer(
        _ find: FindCommand, terms: [SearchQuery.Term], line: String?
    ) throws {
        let query = SearchQuery(
            terms: terms, limit: limit, offset: offset, minimumScore: minScore, prefix: prefix,
            isExact: exact)
        guard !printEmbedding else {
            let (vector, isTruncated) = try find.resolve(query)
            if isTruncated { try noteTruncation(find) }
            Console.line(HitFormat.json(vector))
            return
        }
        let result = try find.search(query)
        if result.isTruncated { try noteTruncation(find) }
        if let line, !json { Console.line(Console.printable(line)) }
        if result.hits.isEmpty {
            Console.note("find-images: \(try find.explainNothing(query))")
        }
        let graphics = thumbnails && !json ? TerminalGraphics.detected : nil
        for hit in result.hits {
            let link = url ? find.url(of: hit.key, expiresIn: expires) : nil
            if json {
                Console.line(try HitFormat.json(hit, query: line, url: url ? .some(link) : nil))
                continue
            }
            Console.line(HitFormat.text(hit, url: url ? .some(link) : nil))
            if let graphics, let bytes = find.bytes(of: hit.key),
                let picture = graphics.thumbnail(of: bytes)
            {
                Console.line(picture)
            }
        }
    }

    private func noteTruncation(_ find: FindCommand) throws {
        Console.note(
            "find-images: a text has more than \(try find.contextLength()) tokens; its end is ignored"
        )
    }
}
