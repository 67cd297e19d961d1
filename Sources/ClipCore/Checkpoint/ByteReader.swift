/// A cursor over untrusted bytes. Every read is checked against the end, overflow included;
/// integers are little-endian, as in zip, pickle and safetensors.
package struct ByteReader {
    package let bytes: UnsafeRawBufferPointer
    /// Offset of the next byte; always within `0...bytes.count`.
    package private(set) var offset: Int
    /// What is being read, for the message when it ends too early.
    let what: String

    package init(
        _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, what: String
    ) throws(CheckpointError) {
        self.bytes = bytes
        self.what = what
        guard offset >= 0, offset <= bytes.count else {
            throw CheckpointError("is truncated or corrupt: \(what) lies outside the file")
        }
        self.offset = offset
    }

    var remaining: Int { bytes.count - offset }

    /// Consumes `count` bytes and gives their range.
    mutating func take(_ count: Int) throws(CheckpointError) -> Range<Int> {
        guard count >= 0, count <= remaining else {
            throw CheckpointError("is truncated or corrupt: \(what) ends too early")
        }
        defer { offset += count }
        return offset..<offset + count
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(CheckpointError) -> T {
        let range = try take(MemoryLayout<T>.size)
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
    }

    mutating func byte() throws(CheckpointError) -> UInt8 { try integer(UInt8.self) }

    /// A length or offset that must fit in `Int`.
    mutating func size64() throws(CheckpointError) -> Int {
        guard let value = Int(exactly: try integer(UInt64.self)) else {
            throw CheckpointError("is corrupt: \(what) holds an impossible size")
        }
        return value
    }

    /// The bytes up to the next line feed, which is consumed too.
    mutating func line() throws(CheckpointError) -> Range<Int> {
        guard let end = bytes[offset...].firstIndex(of: UInt8(ascii: "\n")) else {
            throw CheckpointError("is truncated or corrupt: \(what) ends too early")
        }
        defer { offset = end + 1 }
        return offset..<end
    }

    func text(_ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }
}
