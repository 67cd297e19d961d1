/// Bytes read from front to back, as a file is: reading past the end gives fewer bytes or none.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    private(set) var offset: Int

    init(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0) {
        self.bytes = bytes
        self.offset = min(max(0, offset), bytes.count)
    }

    mutating func byte() -> UInt8? {
        guard offset < bytes.count else { return nil }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// The next `count` bytes, or as many as are left.
    mutating func bytes(atMost count: Int) -> UnsafeRawBufferPointer {
        let end = offset + min(count, bytes.count - offset)
        defer { offset = end }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<end])
    }

    /// The next `count` bytes.
    mutating func bytes(_ count: Int) throws(ImageError) -> UnsafeRawBufferPointer {
        guard count <= bytes.count - offset else { throw .truncated }
        return bytes(atMost: count)
    }
}

extension UnsafeRawBufferPointer {
    func littleEndian16(at offset: Int) -> Int {
        Int(self[offset]) | Int(self[offset + 1]) << 8
    }

    func littleEndian32(at offset: Int) -> Int {
        littleEndian16(at: offset) | littleEndian16(at: offset + 2) << 16
    }

    /// A big-endian number of `size` bytes.
    func bigEndian(_ size: Int, at offset: Int) -> Int {
        self[offset..<offset + size].reduce(0) { $0 << 8 | Int($1) }
    }
}
