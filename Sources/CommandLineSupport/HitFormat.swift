import FoundationEssentials
import ImageSearch

/// How `find-images` prints what it found.
public enum HitFormat {
    /// Two lines for people: `1: KEY (0.2731)` and `   URL: …`.
    /// - Parameter url: nil without links; an inner nil for a picture that the store cannot give.
    public static func text(_ hit: SearchHit, url: String??) -> String {
        let line = "\(hit.rank): \(Console.printable(hit.key)) (\(fixed(hit.score)))"
        guard let url else { return line }
        return "\(line)\n   URL: \(url ?? "none, the store has no such picture")"
    }

    /// One JSON object on a line: `rank`, `key`, `score`, `url`, which may be null.
    /// - Parameters:
    ///   - query: put first, where there are several.
    ///   - url: as in ``text(_:url:)``.
    public static func json(
        _ hit: SearchHit, query: String? = nil, url: String??
    ) throws -> String {
        var fields: [String] = []
        if let query { fields.append("\"query\":\(try quoted(query))") }
        fields.append("\"rank\":\(hit.rank)")
        fields.append("\"key\":\(try quoted(hit.key))")
        fields.append("\"score\":\(hit.score)")
        if let url { fields.append("\"url\":\(try url.map(quoted) ?? "null")") }
        return "{\(fields.joined(separator: ","))}"
    }

    /// A vector as a JSON array; every number reads back as the same fp32.
    public static func json(_ embedding: [Float]) -> String {
        "[\(embedding.map { "\($0)" }.joined(separator: ","))]"
    }

    private static func quoted(_ text: String) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return String(decoding: try encoder.encode(text), as: UTF8.self)
    }

    /// Four decimals. A cosine lies between -1 and 1, but what comes from a database is checked.
    private static func fixed(_ score: Double) -> String {
        guard abs(score) <= 1_000 else { return "\(score)" }
        let scaled = Int((abs(score) * 10_000).rounded())
        let fraction = String(scaled % 10_000)
        let zeros = String(repeating: "0", count: 4 - fraction.count)
        return "\(score < 0 && scaled > 0 ? "-" : "")\(scaled / 10_000).\(zeros)\(fraction)"
    }
}
