import ClipCore
import Testing

/// Texts of a million characters that are quadratic work for a careless implementation, which would
/// not come to an end here, and what is known of their ids.
struct HostileTextTests {
    private let tokenizer = ClipTokenizer()
    private let count = 1_000_000

    /// Upstream's ids of a repeated word are the same token up to the end, so a shorter
    /// text, which the golden file has, starts with the same ids.
    @Test(arguments: ["x", "ha", "!?"])
    func longestWord(unit: String) throws {
        let golden = try #require(
            TokenCase.all().first { $0.text == String(repeating: unit, count: 1500) })
        let word = String(repeating: unit, count: count / unit.utf8.count)
        let tokens = tokenizer.encode(word, contextLength: 16)
        #expect(tokens.isTruncated)
        #expect(tokens.ids.dropFirst().dropLast() == golden.ids.prefix(14))
    }

    /// Marks of two combining classes in turn: sorted, they are all of the one and then the other.
    @Test func combiningMarks() {
        let pairs = String(repeating: "\u{301}\u{316}", count: count / 2)
        let sorted =
            String(repeating: "\u{316}", count: count / 2)
            + String(repeating: "\u{301}", count: count / 2)
        #expect(tokenizer.encode("a" + pairs) == tokenizer.encode("a" + sorted))
        // U+0344 is U+0308 and U+0301; U+0F73 is U+0F71 and U+0F72, though of class 0 itself.
        let few = String(repeating: "\u{344}\u{316}\u{F73}\u{F72}", count: 100)
        let sortedFew =
            String(repeating: "\u{F71}", count: 100) + String(repeating: "\u{F72}", count: 200)
            + String(repeating: "\u{316}", count: 100)
            + String(repeating: "\u{308}\u{301}", count: 100)
        #expect(
            tokenizer.encode("日" + few, contextLength: 4_000)
                == tokenizer.encode("日" + sortedFew, contextLength: 4_000))
    }

    @Test func nestedReferences() {
        // What is left after a bounded number of rounds is upstream's text of some round.
        let amp = tokenizer.encode("&" + String(repeating: "amp;", count: count / 4))
        #expect(amp.isTruncated)
        let fewer = tokenizer.encode("&" + String(repeating: "amp;", count: 1_500))
        #expect(fewer == tokenizer.encode("&"))
    }

    @Test(arguments: [
        "&", "\u{1B}[", "Ã©", "Ã©日", "â€œ ¿Ã", "Σ", " ", "é&\n", "&am&#1;p;", "\u{0}",
    ])
    func repetitions(unit: String) {
        let units = count / unit.unicodeScalars.count
        let tokens = tokenizer.encode(String(repeating: unit, count: units))
        #expect((2...77).contains(tokens.ids.count))
        #expect(tokens.ids.first == ClipTokenizer.startOfText)
        #expect(tokens.ids.last == ClipTokenizer.endOfText)
        #expect(tokens.ids.allSatisfy { (0..<Int32(ClipTokenizer.vocabularySize)).contains($0) })
    }
}
