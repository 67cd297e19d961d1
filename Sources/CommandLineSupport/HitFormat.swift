import ImageSearch

/// How `find-images` prints its results.
public enum HitFormat {
    /// Two lines for people: `1: KEY (0.2731)` and `   URL: …`, or the first alone with a key that leads to the
    /// picture.
    /// - Parameters:
    ///   - url: nil without links; an inner nil for a key that no store can have.
    ///   - isLinked: whether the key is a terminal's hyperlink (OSC 8); such a URL has hundreds of characters.
    public static func text(_ hit: SearchHit, url: String??, isLinked: Bool) -> String {
        let key = Console.printable(hit.key)
        let score = "(\(fixed(hit.score)))"
        if isLinked, let url = url ?? nil {
            return "\(hit.rank): \u{1B}]8;;\(url)\u{1B}\\\(key)\u{1B}]8;;\u{1B}\\ \(score)"
        }
        let line = "\(hit.rank): \(key) \(score)"
        guard let url else { return line }
        return "\(line)\n   URL: \(url ?? "none, the store has no such picture")"
    }

    /// One JSON object on a line: `rank`, `key`, `score`, what is known of the picture, and `url`, which
    /// may be null.
    /// - Parameters:
    ///   - query: comes first, when there are several.
    ///   - url: as in ``text(_:url:)``.
    public static func json(_ hit: SearchHit, query: String? = nil, url: String??) -> String {
        var members: [(String, JSON)] = []
        if let query { members.append(("query", .string(query))) }
        members += [
            ("rank", .integer(hit.rank)), ("key", .string(hit.key)), ("score", .number(hit.score)),
        ]
        members += Self.members(hit.facts)
        if let url { members.append(("url", url.map(JSON.string) ?? .null)) }
        return JSON.object(members).text
    }

    private static func members(_ facts: PictureFacts) -> [(String, JSON)] {
        let members: [(String, JSON)?] = [
            facts.width.map { ("width", .integer($0)) },
            facts.height.map { ("height", .integer($0)) },
            facts.takenAt.map { ("taken_at", .string($0)) },
            facts.camera.map { ("camera", .string($0)) },
        ]
        return members.compactMap(\.self)
    }

    /// Copies of a picture, one a line, with an empty line after them.
    public static func text(_ group: DuplicateGroup) -> String {
        group.copies.map { copy in
            let size = copy.facts.width.flatMap { width in
                copy.facts.height.map { " (\(width) × \($0))" }
            }
            return Console.printable(copy.key) + (size ?? "") + "\n"
        }.joined()
    }

    /// Copies of a picture as one JSON object on a line: `copies`, each with `key` and what is known of it.
    public static func json(_ group: DuplicateGroup) -> String {
        let copies = group.copies.map {
            JSON.object([("key", .string($0.key))] + members($0.facts))
        }
        return JSON.object([("copies", .array(copies))]).text
    }

    /// A vector as a JSON array; every number reads back as the same fp32.
    public static func json(_ embedding: [Float]) -> String {
        JSON.array(embedding.map(JSON.float)).text
    }

    /// Why a search found nothing, and what to do: one sentence.
    public static func nothing(_ query: SearchQuery, hasPictures: Bool) -> String {
        guard hasPictures else { return "no pictures yet: run process-images" }
        if query.offset > 0 { return "no more pictures: lower --offset" }
        if let minimumScore = query.minimumScore {
            return "no picture has a score of \(minimumScore) or more: lower --min-score"
        }
        if !query.filter.isEmpty {
            return
                "no picture matches the filters (--prefix, --after, --before, --camera, --shape, --min-width, --min-height)"
        }
        return "every stored embedding is zero or invalid: run process-images again"
    }

    /// Four decimals. A cosine is between -1 and 1, but a database may hold anything.
    private static func fixed(_ score: Double) -> String {
        guard abs(score) <= 1_000 else { return "\(score)" }
        let scaled = Int((abs(score) * 10_000).rounded())
        let fraction = String(scaled % 10_000)
        let zeros = String(repeating: "0", count: 4 - fraction.count)
        return "\(score < 0 && scaled > 0 ? "-" : "")\(scaled / 10_000).\(zeros)\(fraction)"
    }
}
