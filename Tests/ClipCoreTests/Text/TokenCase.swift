import FoundationEssentials

/// One line of `Fixtures/text/tokens.txt`: a text and upstream's ids for it, all of them, without
/// start and end token.
struct TokenCase {
    let text: String
    let ids: [Int32]

    static func lines(of file: String) throws -> [Substring] {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/text")
        let content = try String(contentsOf: fixtures.appending(path: file), encoding: .utf8)
        return content.split(separator: "\n")
    }

    static func all() throws -> [TokenCase] {
        try lines(of: "tokens.txt").map { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            let text = try JSONDecoder().decode(String.self, from: Data("\"\(fields[0])\"".utf8))
            let ids = fields[1].split(separator: " ").compactMap { Int32($0, radix: 16) }
            return TokenCase(text: text, ids: ids)
        }
    }
}
