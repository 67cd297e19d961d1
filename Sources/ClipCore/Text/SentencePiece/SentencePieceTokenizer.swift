import CSentencePiece

/// A tokenizer of SigLIP's kind: SentencePiece's own library, and what transformers does around it.
struct SentencePieceTokenizer: Tokenizer {
    /// What is done around the pieces of a text.
    struct Rules: Equatable {
        var cleaning: [TextCleaning]
        /// Ids before and after those of the text.
        var prefix: [Int32] = []
        var suffix: [Int32] = []
        var padding: Int32
        var padsLeft = false
    }

    let rules: Rules
    private let model: Model

    init(_ model: Model, _ rules: Rules) {
        self.model = model
        self.rules = rules
    }

    func encode(_ text: String, contextLength: Int) -> Tokens {
        let cleaned = rules.cleaning.reduce(text.unicodeScalars.map(\.value)) { $1.clean($0) }
        let room = max(0, contextLength - rules.prefix.count - rules.suffix.count)
        let (pieces, count) = model.encode(TextCleaning.utf8(cleaned[...]), limit: room)
        let ids = (rules.prefix + pieces + rules.suffix).prefix(contextLength)
        let padding = [Int32](
            repeating: rules.padding, count: max(0, contextLength - ids.count))
        return Tokens(
            ids: rules.padsLeft ? padding + ids : ids + padding, isTruncated: count > room)
    }

    /// The same text for tokenizers that give the same ids.
    var summary: String {
        "\(rules.cleaning),\(rules.prefix),\(rules.suffix),\(rules.padding),\(rules.padsLeft),\(model.checksum)"
    }

    /// The largest id.
    var highestID: Int32 {
        ([model.count - 1, rules.padding] + rules.prefix + rules.suffix).max()!
    }

    /// A model in SentencePiece's library. Immutable, so threads share it.
    final class Model: @unchecked Sendable {
        private let model: OpaquePointer
        let count: Int32

        static var isAvailable: Bool { csp_available() }

        /// - Parameter serialized: a `ModelProto`.
        /// - Returns: nil when it is damaged.
        init?(_ serialized: UnsafeRawBufferPointer) {
            guard let model = csp_open(serialized.baseAddress, serialized.count) else { return nil }
            self.model = model
            count = csp_size(model)
        }

        deinit { csp_close(model) }

        /// The id of a piece; nil when there is none.
        func id(_ piece: String) -> Int32? {
            var piece = piece
            let id = piece.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { csp_id(model, $0.baseAddress, $0.count) }
            }
            return id < 0 ? nil : id
        }

        /// The first `limit` ids of a text in UTF-8, and how many it has.
        func encode(_ text: [UInt8], limit: Int) -> (ids: [Int32], count: Int) {
            var count = 0
            let ids = [Int32](unsafeUninitializedCapacity: limit) { buffer, filled in
                count = text.withUnsafeBytes {
                    csp_encode(
                        model, $0.bindMemory(to: CChar.self).baseAddress, $0.count,
                        buffer.baseAddress, limit)
                }
                filled = max(0, min(count, limit))
            }
            return (ids, max(0, count))
        }

        /// FNV-1a of all pieces, in hexadecimal.
        var checksum: String {
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for id in 0..<count {
                var length = 0
                guard let piece = csp_piece(model, id, &length) else { continue }
                for byte in UnsafeRawBufferPointer(start: piece, count: length) {
                    hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
                }
                hash = (hash ^ 0xFF) &* 0x100_0000_01B3
            }
            return String(hash, radix: 16)
        }
    }
}
