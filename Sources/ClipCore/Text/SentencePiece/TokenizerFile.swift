import FoundationEssentials

/// A `tokenizer.json` of Hugging Face's tokenizers library, converted to a SentencePiece model. The
/// published ones were themselves converted from SentencePiece models
/// (`transformers/convert_slow_tokenizer.py`); whatever has no counterpart there is refused by name.
struct TokenizerFile {
    private(set) var serialized: [UInt8] = []
    /// Ids that its post-processor puts before and after those of the text.
    private(set) var prefix: [Int32] = []
    private(set) var suffix: [Int32] = []
    /// What its normalizer does before the rest.
    private(set) var isLowercase = false

    private var file: String
    private var pieces = PieceTable()
    private var scores: [Float] = []
    private var types: [PieceType] = []
    private var normalizer = Normalizer()

    private enum PieceType: Int {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    /// SentencePiece's `NormalizerSpec`.
    private struct Normalizer {
        var map: [UInt8] = []
        var hasDummyPrefix = false
        var removesSpaces = false
        var escapesSpaces = false
        /// Whether pieces end before each space.
        var splitsWords = false
    }

    /// - Parameters:
    ///   - matchesTokens: whether added tokens can occur in a text; not in one without punctuation.
    ///   - splitsWords: whether the class splits a text at white space, whatever the file says.
    init(path: String, matchesTokens: Bool, splitsWords: Bool) throws(CheckpointError) {
        file = path
        let mapped = try MappedFile(path: path)
        var sections: [String: UnsafeRawBufferPointer] = [:]
        var model: [String: UnsafeRawBufferPointer] = [:]
        do {
            var scanner = JSONScanner(mapped.bytes)
            try scanner.object { (name, scanner) throws(JSONScanner.Fault) in
                let name = String(decoding: name, as: UTF8.self)
                if name == "model" {
                    try scanner.object { (name, scanner) throws(JSONScanner.Fault) in
                        model[String(decoding: name, as: UTF8.self)] = try scanner.value()
                    }
                } else {
                    sections[name] = try scanner.value()
                }
            }
        } catch {
            throw CheckpointError(file: path, fault: "is not a JSON object, or is truncated")
        }
        func value(_ section: UnsafeRawBufferPointer?) -> JSONValue {
            section.flatMap { JSONValue($0) } ?? .null
        }
        let kind = value(model["type"])
        let isUnigram = kind == .string("Unigram")
        guard isUnigram || kind == .string("BPE") else {
            throw refusal("a model of the kind \(kind.shown)")
        }
        try readNormalizer(value(sections["normalizer"]))
        try readPreTokenizer(value(sections["pre_tokenizer"]))
        if splitsWords { normalizer.removesSpaces = true }
        if !isUnigram, normalizer.splitsWords {
            throw refusal("a BPE model that is applied to each word")
        }
        for (name, neutral) in [
            ("dropout", JSONValue.null), ("continuing_subword_prefix", .null),
            ("end_of_word_suffix", .null), ("ignore_merges", .bool(false)),
        ] {
            let found = value(model[name])
            guard found == .null || found == neutral || found == .string("") else {
                throw refusal("model.\(name) = \(found.shown)")
            }
        }
        do {
            if isUnigram {
                try readUnigram(model["vocab"])
            } else {
                try readBPE(model["vocab"], model["merges"])
            }
        } catch let fault as CheckpointError {
            throw fault
        } catch {
            throw CheckpointError(file: path, fault: "is damaged: its vocabulary cannot be read")
        }
        guard isUnigram || value(model["fuse_unk"]) == .bool(true) else {
            throw refusal("model.fuse_unk = false")
        }
        let unknown: Int? =
            switch value(model[isUnigram ? "unk_id" : "unk_token"]) {
            case let id where isUnigram: id.int
            case .string(let piece): pieces.id(Array(piece.utf8))
            default: nil
            }
        guard let unknown, types.indices.contains(unknown) else {
            throw refusal("a vocabulary without an unknown token")
        }
        let hasBytes = value(model["byte_fallback"]) == .bool(true)
        for id in types.indices {
            if id == unknown {
                types[id] = .unknown
            } else if hasBytes, pieces.isByte(id) {
                types[id] = .byte
            } else if isUnigram, normalizer.splitsWords, pieces.hasInnerSpace(id) {
                types[id] = .unused
            }
        }
        try readAddedTokens(value(sections["added_tokens"]), matchesTokens, unknown: unknown)
        try readPostProcessor(value(sections["post_processor"]))
        serialize(isUnigram: isUnigram, hasBytes: hasBytes, unknown: unknown)
    }

    private func refusal(_ what: String) -> CheckpointError {
        CheckpointError(
            file: file,
            fault: "describes a tokenizer with \(what), which SentencePiece has no counterpart for")
    }

    // MARK: - Vocabulary

    private mutating func append(_ piece: [UInt8], _ score: Float, _ type: PieceType = .normal) {
        pieces.append(piece)
        scores.append(score)
        types.append(type)
    }

    private mutating func readUnigram(_ vocabulary: UnsafeRawBufferPointer?) throws {
        guard let vocabulary else { throw JSONScanner.Fault() }
        var scanner = JSONScanner(vocabulary)
        try scanner.array { (scanner) throws(JSONScanner.Fault) in
            var piece: [UInt8]?
            var score: Float?
            try scanner.array { (scanner) throws(JSONScanner.Fault) in
                if piece == nil {
                    piece = try scanner.string()
                } else {
                    score = Float(try scanner.number())
                }
            }
            guard let piece, let score else { throw JSONScanner.Fault() }
            append(piece, score)
        }
    }

    /// A piece's score is the rank of the merges that make it, negated: SentencePiece merges whatever
    /// pair makes a piece, the highest score first. So all pairs that make a piece must be merges, one
    /// after another.
    private mutating func readBPE(
        _ vocabulary: UnsafeRawBufferPointer?, _ merges: UnsafeRawBufferPointer?
    ) throws {
        guard let vocabulary, let merges else { throw JSONScanner.Fault() }
        var scanner = JSONScanner(vocabulary)
        var read: [(id: Int, piece: [UInt8])] = []
        try scanner.object { (name, scanner) throws(JSONScanner.Fault) in
            guard let id = Int(exactly: try scanner.number()) else { throw JSONScanner.Fault() }
            read.append((id, name))
        }
        read.sort { $0.id < $1.id }
        guard read.indices.allSatisfy({ read[$0].id == $0 }) else {
            throw refusal("ids that do not count from 0")
        }
        for (_, piece) in read { append(piece, 0) }

        var rank = 0
        var latest = -1
        var isRegular = true
        scanner = JSONScanner(merges)
        var product: [UInt8] = []
        try scanner.array { (scanner) throws(JSONScanner.Fault) in
            product.removeAll(keepingCapacity: true)
            if try scanner.peek() == UInt8(ascii: "[") {
                try scanner.array { (scanner) throws(JSONScanner.Fault) in
                    product += try scanner.string()
                }
            } else {
                product = try scanner.string()
                guard let space = product.firstIndex(of: 0x20) else { throw JSONScanner.Fault() }
                product.remove(at: space)
            }
            guard let id = pieces.id(product) else { throw JSONScanner.Fault() }
            rank += 1
            if id != latest {
                if scores[id] != 0 { isRegular = false }
                scores[id] = -Float(rank)
                latest = id
            }
        }
        guard isRegular, pieces.splitCount(where: { scores[$0] != 0 }) == rank,
            types.indices.allSatisfy({
                scores[$0] != 0 || pieces.splitCount(of: $0) == 0
            })
        else { throw refusal("merges that do not follow from its vocabulary") }
    }

    private mutating func readAddedTokens(
        _ tokens: JSONValue, _ matchesTokens: Bool, unknown: Int
    ) throws(CheckpointError) {
        guard case .array(let tokens) = tokens else { return }
        for token in tokens {
            guard case .object(let token) = token, case .string(let content)? = token["content"],
                let id = token["id"]?.int, id >= 0, id <= types.count
            else { throw refusal("added tokens that do not follow its vocabulary") }
            if id == types.count {
                append(Array(content.utf8), 0)
            } else if pieces.id(Array(content.utf8)) != id {
                throw refusal("the added token \(quoted(content)) in place of another")
            }
            guard id != unknown else { continue }
            guard matchesTokens else {
                types[id] = .control
                continue
            }
            for flag in ["lstrip", "rstrip", "single_word"] where token[flag] == .bool(true) {
                throw refusal("\(flag) for the added token \(quoted(content))")
            }
            types[id] = .userDefined
        }
    }

    // MARK: - Steps

    private mutating func readNormalizer(_ step: JSONValue) throws(CheckpointError) {
        for step in Self.steps(step, "normalizers") {
            switch step["type"] {
            case .string("Precompiled"):
                guard case .string(let text)? = step["precompiled_charsmap"],
                    let map = Data(base64Encoded: text)
                else { throw refusal("a damaged precompiled_charsmap") }
                normalizer.map = Array(map)
            case .string("Lowercase"): isLowercase = true
            case .string("Strip") where step["strip_right"] == .bool(true):
                // SentencePiece strips both sides; on the left a space is put back.
                normalizer.removesSpaces = true
            case .string("Replace"):
                let (pattern, content) = (step["pattern"], step["content"])
                if pattern == .object(["String": .string(" ")]), content == .string("▁") {
                    normalizer.escapesSpaces = true
                } else if pattern == .object(["Regex": .string(" {2,}")]),
                    content == .string("▁") || content == .string(" ")
                {
                    normalizer.removesSpaces = true
                } else {
                    throw refusal("the normalizer Replace for another pattern than spaces")
                }
            default: throw refusal("the normalizer \(step["type"]?.shown ?? "null")")
            }
        }
    }

    private mutating func readPreTokenizer(_ step: JSONValue) throws(CheckpointError) {
        for step in Self.steps(step, "pretokenizers") {
            switch step["type"] {
            case .string("WhitespaceSplit"): normalizer.removesSpaces = true
            case .string("Metaspace"):
                guard step["replacement"] == .string("▁") else {
                    throw refusal("another sign than ▁ for spaces")
                }
                normalizer.escapesSpaces = true
                normalizer.splitsWords = step["split"] != .bool(false)
                switch step["prepend_scheme"] {
                case .string("always"), .string("first"): normalizer.hasDummyPrefix = true
                case .string("never"): break
                default: normalizer.hasDummyPrefix = step["add_prefix_space"] == .bool(true)
                }
            case .string("Split")
            where step["pattern"] == .object(["String": .string(" ")])
                && step["behavior"] == .string("MergedWithPrevious")
                && step["invert"] != .bool(true) && normalizer.escapesSpaces:
                // Spaces are gone already.
                break
            default: throw refusal("the pre-tokenizer \(step["type"]?.shown ?? "null")")
            }
        }
        guard normalizer.escapesSpaces else { throw refusal("spaces that are not replaced by ▁") }
    }

    /// `[Sequence A]` between special tokens.
    private mutating func readPostProcessor(_ step: JSONValue) throws(CheckpointError) {
        for step in Self.steps(step, "processors") {
            guard step["type"] == .string("TemplateProcessing"),
                case .array(let template)? = step["single"]
            else { throw refusal("the post-processor \(step["type"]?.shown ?? "null")") }
            var isBehind = false
            for item in template {
                guard case .object(let item) = item else { continue }
                if item["Sequence"] != nil { isBehind = true }
                guard case .object(let special)? = item["SpecialToken"] else { continue }
                guard case .string(let token)? = special["id"],
                    let id = pieces.id(Array(token.utf8))
                else { throw refusal("a special token that it does not have") }
                if isBehind { suffix.append(Int32(id)) } else { prefix.append(Int32(id)) }
            }
        }
    }

    /// The steps of a sequence, or the one that it is.
    private static func steps(_ step: JSONValue, _ name: String) -> [[String: JSONValue]] {
        guard case .object(let step) = step else { return [] }
        guard step["type"] == .string("Sequence"), case .array(let all)? = step[name] else {
            return [step]
        }
        return all.flatMap { steps($0, name) }
    }

    // MARK: - ModelProto

    /// Field numbers of sentencepiece_model.proto.
    private mutating func serialize(isUnigram: Bool, hasBytes: Bool, unknown: Int) {
        func varint(_ value: Int, _ out: inout [UInt8]) {
            var rest = UInt64(bitPattern: Int64(value))
            while rest >= 0x80 {
                out.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            out.append(UInt8(rest))
        }
        func number(_ field: Int, _ value: Int, _ out: inout [UInt8]) {
            varint(field << 3, &out)
            varint(value, &out)
        }
        func bytes(_ field: Int, _ value: [UInt8], _ out: inout [UInt8]) {
            varint(field << 3 | 2, &out)
            varint(value.count, &out)
            out += value
        }
        for id in types.indices {
            var piece: [UInt8] = []
            bytes(1, pieces[id], &piece)
            varint(2 << 3 | 5, &piece)
            withUnsafeBytes(of: scores[id].bitPattern.littleEndian) { piece += $0 }
            number(3, types[id].rawValue, &piece)
            bytes(1, piece, &serialized)
        }
        var trainer: [UInt8] = []
        number(3, isUnigram ? 1 : 2, &trainer)
        number(35, hasBytes ? 1 : 0, &trainer)
        number(40, unknown, &trainer)
        // None: what begins and ends a text is added here.
        for field in 41...43 { number(field, -1, &trainer) }
        bytes(2, trainer, &serialized)
        var spec: [UInt8] = []
        bytes(1, Array("identity".utf8), &spec)
        bytes(2, normalizer.map, &spec)
        number(3, normalizer.hasDummyPrefix ? 1 : 0, &spec)
        number(4, normalizer.removesSpaces ? 1 : 0, &spec)
        number(5, 1, &spec)
        bytes(3, spec, &serialized)
    }
}

/// The pieces of a vocabulary by id and by their bytes, in two arrays whatever their number.
private struct PieceTable {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    /// Open addressing with linear probing: an id plus one, or 0.
    private var slots: [Int32] = [Int32](repeating: 0, count: 1 << 10)

    subscript(id: Int) -> [UInt8] { Array(bytes[range(id)]) }

    private func range(_ id: Int) -> Range<Int> { (id == 0 ? 0 : ends[id - 1])..<ends[id] }

    mutating func append(_ piece: [UInt8]) {
        bytes += piece
        ends.append(bytes.count)
        guard 2 * ends.count < slots.count else {
            slots = [Int32](repeating: 0, count: 4 * slots.count)
            for id in ends.indices { insert(id) }
            return
        }
        insert(ends.count - 1)
    }

    private mutating func insert(_ id: Int) {
        let range = range(id)
        let slot = bytes.withUnsafeBufferPointer { bytes in
            self.slot(UnsafeBufferPointer(rebasing: bytes[range]))
        }
        // Of equal pieces the first counts.
        if slots[slot] == 0 { slots[slot] = Int32(id + 1) }
    }

    /// Where a piece is, or would be.
    private func slot(_ piece: UnsafeBufferPointer<UInt8>) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in piece { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var slot = Int(truncatingIfNeeded: hash ^ hash >> 32) & (slots.count - 1)
        while slots[slot] != 0 {
            if bytes[range(Int(slots[slot]) - 1)].elementsEqual(piece) { break }
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }

    func id(_ piece: [UInt8]) -> Int? { piece.withUnsafeBufferPointer(id) }

    private func id(_ piece: UnsafeBufferPointer<UInt8>) -> Int? {
        let found = slots[slot(piece)]
        return found == 0 ? nil : Int(found) - 1
    }

    /// In how many ways a piece is two others, one after the other.
    func splitCount(of id: Int) -> Int {
        let range = range(id)
        return bytes.withUnsafeBufferPointer { bytes in
            // Not within a character.
            range.dropFirst().count { middle in
                bytes[middle] & 0xC0 != 0x80
                    && self.id(UnsafeBufferPointer(rebasing: bytes[range.lowerBound..<middle]))
                        != nil
                    && self.id(UnsafeBufferPointer(rebasing: bytes[middle..<range.upperBound]))
                        != nil
            }
        }
    }

    func splitCount(where isCounted: (Int) -> Bool) -> Int {
        ends.indices.reduce(0) { isCounted($1) ? $0 + splitCount(of: $1) : $0 }
    }

    /// `<0x00>` to `<0xFF>`.
    func isByte(_ id: Int) -> Bool {
        let piece = bytes[range(id)]
        return piece.count == 6 && piece.starts(with: "<0x".utf8) && piece.last == UInt8(ascii: ">")
            && Int(String(decoding: piece.dropFirst(3).dropLast(), as: UTF8.self), radix: 16) != nil
    }

    /// Whether ▁ is within it, not only before it.
    func hasInnerSpace(_ id: Int) -> Bool {
        let piece = bytes[range(id)]
        let sign: [UInt8] = [0xE2, 0x96, 0x81]
        return piece.indices.dropFirst().contains { piece[$0...].starts(with: sign) }
    }
}
