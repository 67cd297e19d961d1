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
        let score = "(\(fixed(hit.score, decimals: 4)))"
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
        JSON.object(
            JSON.members([
                "query": query.map(JSON.string), "rank": .integer(hit.rank),
                "key": .string(hit.key), "score": .number(hit.score),
            ]) + JSON.members(hit.facts)
                + JSON.members(["url": url.map { $0.map(JSON.string) ?? .null }])
        ).text
    }

    /// Copies of a picture, one a line, with an empty line after them.
    public static func text(_ group: DuplicateGroup) -> String {
        group.map { copy in
            let size = copy.facts.width.flatMap { width in
                copy.facts.height.map { " (\(width) × \($0))" }
            }
            return Console.printable(copy.key) + (size ?? "") + "\n"
        }.joined()
    }

    /// Copies of a picture as one JSON object on a line: `copies`, each with `key` and what is known of it.
    public static func json(_ group: DuplicateGroup) -> String {
        let copies = group.map {
            JSON.object([("key", .string($0.key))] + JSON.members($0.facts))
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
}

/// `value` with one or more decimals.
func fixed(_ value: Double, decimals: Int) -> String {
    // A cosine is between -1 and 1, but a database may hold anything.
    guard abs(value) < 1e12 else { return "\(value)" }
    let scale = (0..<decimals).reduce(1) { scale, _ in scale * 10 }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let fraction = String(scale + scaled % scale).dropFirst()
    return "\(value < 0 && scaled > 0 ? "-" : "")\(scaled / scale).\(fraction)"
}
