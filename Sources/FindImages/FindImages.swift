import ArgumentParser
import ImageSearch

@main
struct FindImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "find-images",
        abstract: "Find the pictures that a text describes best.",
        discussion: """
            Reads the bucket's and the database's settings from the environment or from .env; see \
            .env_example. Links work for an hour. The number behind a key is the cosine between \
            text and picture.
            """)

    @Argument(help: "What to look for.")
    var text = "man jumping"

    @Option(name: [.customShort("k"), .long], help: "How many pictures to print.")
    var limit = 4

    @Flag(help: "Print one JSON object a line: rank, key, score, url.")
    var json = false

    @Flag(help: "Print the text's embedding as a JSON array and search nothing.")
    var printEmbedding = false

    func validate() throws {
        guard (1...10_000).contains(limit) else {
            throw ValidationError("--limit must be 1 to 10000.")
        }
    }

    func run() {
        Console.run("find-images") {
            let settings = try Settings()
            let find = try FindCommand(settings, needsDatabase: !printEmbedding)
            let embedder = try TextEmbedder(modelPath: try Console.locateModel(settings))
            let query = try embedder.embed(text)
            if query.isTruncated {
                Console.note(
                    "find-images: the text has more than \(embedder.contextLength) tokens; its end is ignored"
                )
            }
            guard !printEmbedding else {
                Console.line(HitFormat.json(query.embedding))
                return 0
            }
            let hits = try find.nearest(to: query.embedding, limit: limit)
            if hits.isEmpty { Console.note("find-images: no pictures yet: run process-images") }
            for (hit, url) in hits {
                Console.line(
                    json ? try HitFormat.json(hit, url: url) : HitFormat.text(hit, url: url))
            }
            return 0
        }
    }
}
