#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// How `find-images` prints what it found.
public enum HitFormat {
    /// Two lines for people: `1: KEY (0.2731)` and `   URL: …`.
    public static func text(_ hit: SearchHit, url: String) -> String {
        "\(hit.rank): \(Console.printable(hit.key)) (\(fixed(hit.score)))\n   URL: \(url)"
    }

    /// One JSON object on a line: `rank`, `key`, `score`, `url`.
    public static func json(_ hit: SearchHit, url: String) throws -> String {
        "{\"rank\":\(hit.rank),\"key\":\(try quoted(hit.key)),\"score\":\(hit.score),\"url\":\(try quoted(url))}"
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

    /// Four decimals.
    private static func fixed(_ score: Double) -> String {
        let scaled = Int((abs(score) * 10_000).rounded())
        let fraction = String(scaled % 10_000)
        let zeros = String(repeating: "0", count: 4 - fraction.count)
        return "\(score < 0 && scaled > 0 ? "-" : "")\(scaled / 10_000).\(zeros)\(fraction)"
    }
}
