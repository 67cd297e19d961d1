import CVocabulary

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
    private static let firstMerge = 512
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
    static func id(of byte: UInt8) -> UInt16 {
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

    /// The bytes a token stands for, and whether it ends a word; nil for the start and the end
    /// token, which stand for no bytes, and for anything that is not an id.
    package func bytes(of id: Int) -> (bytes: [UInt8], endsWord: Bool)? {
        switch id {
        case 0..<512:
            let byte = UInt8((0...255).first { Int(Self.id(of: UInt8($0))) == id % 256 } ?? 0)
            return ([byte], id >= 256)
        case Self.firstMerge..<(Self.firstMerge + Self.mergeCount):
            let pair = merges.load(UInt32.self, at: 4 * (id - Self.firstMerge))
            guard let left = bytes(of: Int(pair & 0xFFFF)), let right = bytes(of: Int(pair >> 16))
            else { return nil }
            return (left.bytes + right.bytes, right.endsWord)
        default:
            return nil
        }
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
