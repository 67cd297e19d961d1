import CVocabulary

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
    /// OpenAI's, which is part of the executable; OpenCLIP writes the start and the end token otherwise.
    case clip(ClipTokenizer.Markers)
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

    /// How a text may write the start and the end token out.
    package struct Markers: Equatable, Sendable {
        let start: String
        let end: String

        package static let openAI = Markers(start: "<|startoftext|>", end: "<|endoftext|>")
        package static let openCLIP = Markers(start: "<start_of_text>", end: "<end_of_text>")
    }

    private let vocabulary = Vocabulary()
    private let markers: Markers

    public init() { self.init(.openAI) }

    package init(_ markers: Markers) { self.markers = markers }

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
        var splitter = WordSplitter(text: scalars, markers: markers)
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

/// Upstream's regular expression, one match after the other:
///
///     <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
///
/// (OpenCLIP's has its own ``ClipTokenizer/Markers`` in front.) It ignores case, which by then matters to two characters only, the text being in lower case:
/// ſ (U+017F) counts as an s, and U+0345, a combining mark whose case variants are letters, matches
/// nothing at all, so that it separates words and is dropped.
struct WordSplitter {
    enum Word: Equatable {
        case startOfText
        case endOfText
        /// Positions of the characters of the word.
        case text(Range<Int>)
    }

    private enum Kind {
        case letter, number, separator, other
    }

    let text: Scalars
    let markers: ClipTokenizer.Markers
    var position = 0

    mutating func next() -> Word? {
        while position < text.count {
            let start = position
            if let special = matchSpecial() { return special }
            if let length = matchContraction() {
                position += length
                return .text(start..<position)
            }
            let kind = Self.kind(of: text[position])
            position += 1
            switch kind {
            case .separator: continue
            case .number: break
            case .letter, .other:
                while position < text.count, Self.kind(of: text[position]) == kind { position += 1 }
            }
            return .text(start..<position)
        }
        return nil
    }

    /// The start and the end token written out. With ſ for s it is still one word, but not the
    /// token.
    private mutating func matchSpecial() -> Word? {
        guard text[position] == 0x3C else { return nil }  // <
        let start = position
        for (literal, word) in [
            (markers.start, Word.startOfText), (markers.end, Word.endOfText),
        ] where matches(literal) {
            position += literal.utf8.count
            let isExact = text[start..<position].elementsEqual(literal.unicodeScalars.map(\.value))
            return isExact ? word : .text(start..<position)
        }
        return nil
    }

    private func matchContraction() -> Int? {
        guard text[position] == 0x27 else { return nil }  // '
        return ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].first(where: matches)?.utf8.count
    }

    private func matches(_ literal: String) -> Bool {
        let end = position + literal.utf8.count
        guard end <= text.count else { return false }
        return zip(literal.utf8, text[position..<end]).allSatisfy { expected, value in
            UInt32(expected) == value || (expected == UInt8(ascii: "s") && value == 0x17F)
        }
    }

    private static func kind(of value: UInt32) -> Kind {
        if value < 0x80 {
            switch value {
            case 0x41...0x5A, 0x61...0x7A: return .letter
            case 0x30...0x39: return .number
            default: return CharacterRules.isWhiteSpace(value) ? .separator : .other
            }
        }
        let category = CharacterRules.scalar(value).properties.generalCategory
        if CharacterRules.isLetter(category) { return .letter }
        if CharacterRules.isNumber(category) { return .number }
        return CharacterRules.isWhiteSpace(value) || value == 0x345 ? .separator : .other
    }
}

/// CLIP's vocabulary: 49,408 tokens, each with an id and the bytes it stands for.
///
/// Ids, as in upstream's `SimpleTokenizer`: 0…255 single bytes, 256…511 single bytes that end a
/// word, then one id for each of the 48,894 merges in the order of their rank, then the start and
/// the end token. Merge `r` is a pair of earlier ids and makes id `512 + r`; no token can be made
/// in two ways (`scripts/make-vocabulary` asserts it), so ids may be merged in place of strings.
package struct Vocabulary: Sendable {
    package static let mergeCount = 48_894
    package static let size = 512 + mergeCount + 2
    package static let startOfText: UInt16 = 49_406
    package static let endOfText: UInt16 = 49_407

    /// What to add to a byte's id when the byte ends a word (`</w>` upstream).
    static let endOfWord: UInt16 = 256
    package static let firstMerge = 512
    private static let slotCount = 1 << 17

    /// Open addressing with linear probing: the rank of a merge plus one, or 0 for a free slot. The
    /// pair itself is compared where it lies, in the embedded merges.
    private let slots: [UInt16]
    private let merges = EmbeddedData.merges

    package init() {
        let merges = EmbeddedData.merges
        precondition(merges.count == 4 * Self.mergeCount)
        slots = [UInt16](unsafeUninitializedCapacity: Self.slotCount) { slots, count in
            slots.initialize(repeating: 0)
            for rank in 0..<Self.mergeCount {
                var slot = Self.slot(of: merges.load(UInt32.self, at: 4 * rank))
                while slots[slot] != 0 { slot = (slot + 1) % Self.slotCount }
                slots[slot] = UInt16(truncatingIfNeeded: rank + 1)
            }
            count = Self.slotCount
        }
    }

    private static func slot(of pair: UInt32) -> Int {
        // Fibonacci hashing: the upper 17 bits of the product.
        Int((pair &* 0x9E37_79B1) >> 15)
    }

    /// The id that `left` followed by `right` merges into, or 0 if they do not merge.
    ///
    /// A smaller id is a merge of lower rank, which is to be done first.
    func merge(_ left: UInt16, _ right: UInt16) -> UInt16 {
        let pair = UInt32(left) | UInt32(right) << 16
        var slot = Self.slot(of: pair)
        while slots[slot] != 0 {
            let rank = Int(slots[slot]) - 1
            if merges.load(UInt32.self, at: 4 * rank) == pair {
                return UInt16(Self.firstMerge + rank)
            }
            slot = (slot + 1) % Self.slotCount
        }
        return 0
    }

    /// The id of a byte inside a word: upstream's `bytes_to_unicode` puts the bytes that print in
    /// Latin-1 first, then the others.
    package static func id(of byte: UInt8) -> UInt16 {
        let value = UInt16(byte)
        switch byte {
        case 33...126: return value - 33
        case 161...172: return value - 161 + 94
        case 174...255: return value - 174 + 106
        case 0...32: return value + 188
        case 127...160: return value - 127 + 221
        default: return 255  // 173, the soft hyphen
        }
    }

    /// The pair of ids that a merge joins.
    package static func pair(of id: Int) -> (left: Int, right: Int) {
        let pair = EmbeddedData.merges.load(UInt32.self, at: 4 * (id - firstMerge))
        return (Int(pair & 0xFFFF), Int(pair >> 16))
    }
}

/// Read-only bytes of the executable, read as little-endian numbers at any offset.
///
/// Sendable because the bytes are constants: nothing writes or frees them. Reads outside trap.
struct EmbeddedData: @unchecked Sendable {
    static let merges = EmbeddedData(CVocabularyMerges())
    static let entities = EmbeddedData(CVocabularyEntities())
    static let mojibake = EmbeddedData(CVocabularyMojibake())

    private let bytes: UnsafeRawBufferPointer

    private init(_ data: CVocabularyData) {
        bytes = UnsafeRawBufferPointer(start: data.bytes, count: data.count)
    }

    var count: Int { bytes.count }

    /// The number of type `T` at `offset`, in bytes.
    @inline(__always)
    func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
        precondition(offset >= 0 && offset <= bytes.count - MemoryLayout<T>.size)
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
    }
}

extension Vocabulary {
    /// Appends the ids of one word, given as its bytes in UTF-8 (not empty), to `ids`.
    ///
    /// Upstream (`SimpleTokenizer.bpe`) looks for the pair of lowest rank, merges it everywhere from
    /// left to right, and starts over. A queue ordered by rank, then by position, gives the same result,
    /// since a merge only ever makes pairs of higher rank than its own; that takes n log n
    /// steps instead of n².
    func appendIDs(of word: [UInt8], to ids: inout [Int32]) {
        var symbols = word.map(Self.id(of:))
        symbols[word.count - 1] += Self.endOfWord
        // Symbols are a doubly linked list over positions; `next` of the last is `count`.
        let count = symbols.count
        var next = (0..<Int32(count)).map { $0 + 1 }
        var previous = (0..<Int32(count)).map { $0 - 1 }
        // What the symbol at a position merges into with the next one; 0 for nothing. An entry of
        // the queue that disagrees with it is out of date.
        var merged = [UInt16](repeating: 0, count: count)
        var queue = MinimumQueue()
        func offer(_ left: Int, _ right: Int) {
            merged[left] = merge(symbols[left], symbols[right])
            if merged[left] != 0 { queue.insert(UInt64(merged[left]) << 32 | UInt64(left)) }
        }
        for position in 0..<(count - 1) { offer(position, position + 1) }

        while let first = queue.popMinimum() {
            let position = Int(first & 0xFFFF_FFFF)
            let id = UInt16(first >> 32)
            guard merged[position] == id else { continue }
            let right = Int(next[position])
            symbols[position] = id
            merged[right] = 0
            let after = Int(next[right])
            next[position] = Int32(after)
            merged[position] = 0
            if after < count {
                previous[after] = Int32(position)
                offer(position, after)
            }
            let before = Int(previous[position])
            if before >= 0 { offer(before, position) }
        }

        var position = 0
        while position < count {
            ids.append(Int32(symbols[position]))
            position = Int(next[position])
        }
    }
}

/// Numbers in order, the smallest first: a binary heap.
private struct MinimumQueue {
    private var heap: [UInt64] = []

    mutating func insert(_ value: UInt64) {
        var index = heap.count
        heap.append(value)
        while index > 0, heap[(index - 1) / 2] > value {
            heap[index] = heap[(index - 1) / 2]
            index = (index - 1) / 2
        }
        heap[index] = value
    }

    mutating func popMinimum() -> UInt64? {
        guard let minimum = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty { replaceMinimum(with: last) }
        return minimum
    }

    private mutating func replaceMinimum(with value: UInt64) {
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < value else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = value
    }
}
