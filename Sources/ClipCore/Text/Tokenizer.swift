/// A text as a text transformer takes it.
public struct Tokens: Sendable, Equatable {
    /// Ids below the vocabulary's size. Of CLIP's tokenizer: the start token, the text's tokens and the
    /// end token, at most `contextLength` of them; upstream fills the rest of the context with 0. Of other
    /// tokenizers: exactly `contextLength`, padded.
    public let ids: [Int32]

    /// Whether the text had more tokens than the context holds, so that its end was cut off.
    public let isTruncated: Bool

    public init(ids: [Int32], isTruncated: Bool) {
        self.ids = ids
        self.isTruncated = isTruncated
    }
}

/// Turns text into the ids that a model was trained with.
public protocol Tokenizer: Sendable {
    /// Any text is allowed and takes time roughly in proportion to its length. One that does not fit is
    /// cut, its end token kept.
    /// - Parameter contextLength: the rows of the model's `positional_embedding`.
    func encode(_ text: String, contextLength: Int) -> Tokens
}

/// Which tokenizer a model needs.
package enum TokenizerKind: Equatable {
    /// OpenAI's, which is part of the executable.
    case clip
    /// One of transformers, in files beside the weights, after a cleaning of the text.
    /// - Parameter name: the repository that a configuration names, for messages.
    case files(name: String?, TextCleaning)
}

/// Turns text into the ids that upstream's `clip.tokenize` gives for it.
///
/// Text is repaired (`ftfy.fix_text`), HTML-unescaped twice, stripped, its white space
/// collapsed and lower-cased; split by upstream's regular expression; and each word is merged by
/// byte-pair encoding. The vocabulary is part of the executable. Making a tokenizer fills a table of
/// 256 kB, well within a millisecond, and a copy shares it.
public struct ClipTokenizer: Tokenizer {
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
        let scalars = TextCleaning.openAI.clean(text.unicodeScalars.map(\.value))
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
