import ClipCore
import Testing

/// Compares with OpenAI's tokenizer by way of `Fixtures/text/make_tokens.py`.
struct TokenizerTests {
    private let tokenizer = ClipTokenizer()

    @Test func idsAreThoseOfUpstream() throws {
        let cases = try TokenCase.all()
        #expect(cases.count > 4_000)
        for example in cases {
            let tokens = tokenizer.encode(example.text, contextLength: example.ids.count + 2)
            #expect(
                Array(tokens.ids.dropFirst().dropLast()) == example.ids && !tokens.isTruncated,
                "\(example.text.debugDescription)")
        }
    }

    /// Upstream's truncate=True: the ids are cut and the last one replaced.
    @Test(arguments: [2, 3, 16, 77])
    func longTextIsCutAsUpstreamCutsIt(contextLength: Int) throws {
        for example in try TokenCase.all() {
            let all = [ClipTokenizer.startOfText] + example.ids + [ClipTokenizer.endOfText]
            let tokens = tokenizer.encode(example.text, contextLength: contextLength)
            if all.count > contextLength {
                let cut = all.prefix(contextLength - 1) + [ClipTokenizer.endOfText]
                #expect(tokens == Tokens(ids: Array(cut), isTruncated: true))
            } else {
                #expect(tokens == Tokens(ids: all, isTruncated: false))
            }
        }
    }

    @Test func contextHoldsAtLeastStartAndEnd() {
        let ends = [ClipTokenizer.startOfText, ClipTokenizer.endOfText]
        for contextLength in [Int.min, -1, 0, 1, 2] {
            #expect(
                tokenizer.encode("cat", contextLength: contextLength)
                    == Tokens(ids: ends, isTruncated: true))
            #expect(
                tokenizer.encode(" ", contextLength: contextLength)
                    == Tokens(ids: ends, isTruncated: false))
        }
    }

    @Test func vocabularyIsThatOfUpstream() throws {
        let vocabulary = Vocabulary()
        // GPT-2's stand-ins for bytes: the byte's own character if it prints, else one from U+0100.
        var standIns: [UInt8: Unicode.Scalar] = [:]
        var spare: UInt32 = 0x100
        for byte in UInt8.min...UInt8.max {
            switch byte {
            case 33...126, 161...172, 174...255: standIns[byte] = Unicode.Scalar(byte)
            default:
                standIns[byte] = Unicode.Scalar(spare)
                spare += 1
            }
        }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
        for id in 0..<ClipTokenizer.vocabularySize {
            var entry = String.UnicodeScalarView()
            if let token = vocabulary.bytes(of: id) {
                for byte in token.bytes { entry.append(try #require(standIns[byte])) }
                if token.endsWord { entry.append(contentsOf: "</w>".unicodeScalars) }
            } else {
                let special = [
                    Int(ClipTokenizer.startOfText): "<|startoftext|>",
                    Int(ClipTokenizer.endOfText): "<|endoftext|>",
                ]
                entry.append(contentsOf: try #require(special[id]).unicodeScalars)
            }
            entry.append("\n")
            for byte in String(entry).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }
        let digits = String(hash, radix: 16)
        let digest = String(repeating: "0", count: 16 - digits.count) + digits
        let golden = try #require(TokenCase.lines(of: "vocabulary.txt").first)
        #expect(digest == golden)
    }
}

extension Vocabulary {
    /// The bytes that a token stands for, and whether it ends a word; nil for the start and the end token.
    fileprivate func bytes(of id: Int) -> (bytes: [UInt8], endsWord: Bool)? {
        guard id >= Self.firstMerge else {
            let byte = (UInt8.min...UInt8.max).first { Int(Self.id(of: $0)) == id % 256 }
            return ([byte ?? 0], id >= 256)
        }
        guard id < Self.firstMerge + Self.mergeCount else { return nil }
        let pair = Self.pair(of: id)
        guard let left = bytes(of: pair.left), let right = bytes(of: pair.right) else { return nil }
        return (left.bytes + right.bytes, right.endsWord)
    }
}
