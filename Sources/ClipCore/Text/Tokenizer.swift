/// A text as CLIP's text transformer takes it.
public struct Tokens: Sendable, Equatable {
    /// The start token, the text's tokens, the end token: at least 2 and at most `contextLength`
    /// ids, each below `Tokenizer.vocabularySize`. Upstream fills the rest of the context with 0.
    public let ids: [Int32]

    /// Whether the text had more tokens than the context holds, so that its end was cut off.
    public let isTruncated: Bool

    public init(ids: [Int32], isTruncated: Bool) {
        self.ids = ids
        self.isTruncated = isTruncated
    }
}

/// Turns text into the ids that upstream's `clip.tokenize` gives for it.
///
/// Text is repaired (`ftfy.fix_text`), HTML-unescaped twice, stripped, its white space
/// collapsed and lower-cased; split by upstream's regular expression; and each word is merged by
/// byte-pair encoding. The vocabulary is part of the executable. Making a tokenizer fills a table of
/// 256 kB, well within a millisecond, and a copy shares it.
///
/// Any text is allowed and takes time roughly in proportion to its length.
public struct Tokenizer: Sendable {
    /// The number of ids: what a checkpoint's `token_embedding` must have as rows.
    public static let vocabularySize = Vocabulary.size

    /// `<|startoftext|>`.
    public static let startOfText = Int32(Vocabulary.startOfText)

    /// `<|endoftext|>`: the largest id, and the position whose output is the text's embedding.
    public static let endOfText = Int32(Vocabulary.endOfText)

    private let vocabulary = Vocabulary()

    public init() {}

    /// The ids of a text, not padded.
    ///
    /// A text that does not fit is cut, with the end token kept as the last id: what upstream does
    /// with `truncate=True` (without, it raises).
    ///
    /// - Parameter contextLength: the most ids to return; the rows of a checkpoint's
    ///   `positional_embedding`, 77 for all of OpenAI's. Less than 2 is taken as 2, since
    ///   the start and the end token are always there.
    public func encode(_ text: String, contextLength: Int = 77) -> Tokens {
        let room = max(contextLength, 2) - 1
        let scalars = TextCleaning.clean(text.unicodeScalars.map(\.value))
        var splitter = WordSplitter(scalars)
        var ids = [Self.startOfText]
        // What follows the context changes nothing, so it need not be encoded.
        while ids.count <= room, let word = splitter.next() {
            switch word {
            case .startOfText: ids.append(Self.startOfText)
            case .endOfText: ids.append(Self.endOfText)
            case .text(let range):
                vocabulary.appendIDs(of: TextCleaning.utf8(scalars[range]), to: &ids)
            }
        }
        let isTruncated = ids.count > room
        ids.removeLast(isTruncated ? ids.count - room : 0)
        ids.append(Self.endOfText)
        return Tokens(ids: ids, isTruncated: isTruncated)
    }
}
