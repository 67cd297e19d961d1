import CVocabulary

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
