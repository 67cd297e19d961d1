import CZlib

/// The table of contents of a zip file: the container of `torch.save` and of TorchScript. Only entries
/// that are stored as they are can be read, which is how PyTorch writes pickles and tensors; it
/// compresses nothing but TorchScript's source code, which is not needed.
///
/// Follows PKWARE's APPNOTE 6.3.10: end of central directory (4.3.16), its zip64 forms (4.3.14,
/// 4.3.15), central headers (4.3.12), zip64 extra field (4.5.3). PyTorch aligns entry data with
/// padding in the local header's extra field, so data offsets come from the local headers.
package struct ZipArchive {
    package struct Entry {
        package let checksum: UInt32
        fileprivate let size: Int
        /// Where the local header begins.
        fileprivate let header: Int
    }

    /// Entries that are stored as they are, by full name, such as `ViT-B-32/data.pkl`.
    package let entries: [String: Entry]
    private let bytes: UnsafeRawBufferPointer

    /// Far above any model, which has some hundreds; keeps time and memory bounded.
    private static let maximumEntries = 200_000

    /// Whether the file begins like a zip archive.
    package static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= 4 && bytes[0] == 0x50 && bytes[1] == 0x4B && bytes[2] == 3 && bytes[3] == 4
    }

    /// - Parameter bytes: the whole file; it must outlive the archive.
    package init(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        self.bytes = bytes
        let directory = try Self.locateDirectory(bytes)
        // A central header takes at least 46 bytes, so the count is bounded by the file itself.
        guard directory.count <= directory.range.count / 46 else {
            throw CheckpointError("is corrupt: its zip directory is shorter than it claims")
        }
        guard directory.count <= Self.maximumEntries else {
            throw CheckpointError("is corrupt or hostile: it has more parts than any model")
        }
        var entries: [String: Entry] = [:]
        entries.reserveCapacity(directory.count)
        var names: Set<String> = []
        names.reserveCapacity(directory.count)
        var reader = try ByteReader(
            UnsafeRawBufferPointer(rebasing: bytes[directory.range]), what: "the zip directory")
        for _ in 0..<directory.count {
            let (name, entry) = try Self.readEntry(&reader)
            guard names.insert(name).inserted else {
                throw CheckpointError("is corrupt: its zip directory lists \(quoted(name)) twice")
            }
            entries[name] = entry
        }
        self.entries = entries
    }

    /// Where an entry's bytes lie in the file. Read from the local header on demand: most entries of
    /// a TorchScript archive are source code, which is not needed.
    package func range(of entry: Entry) throws(CheckpointError) -> Range<Int> {
        var local = try ByteReader(bytes, at: entry.header, what: "a zip entry")
        guard try local.integer(UInt32.self) == 0x0403_4B50 else {
            throw CheckpointError("is corrupt: a zip entry has no header")
        }
        _ = try local.take(22)
        let name = Int(try local.integer(UInt16.self))
        let extra = Int(try local.integer(UInt16.self))
        _ = try local.take(name + extra)
        return try local.take(entry.size)
    }

    private typealias Directory = (range: Range<Int>, count: Int)

    /// Bytes that may follow an archive, as of a copy padded to whole blocks.
    private static let maximumTrailer = 1 << 20

    /// Finds the central directory through the record at the end of the archive.
    private static func locateDirectory(
        _ bytes: UnsafeRawBufferPointer
    ) throws(CheckpointError) -> Directory {
        // The record is 22 bytes and a comment of at most 65,535, which reaches to the end of the file;
        // so a signature inside a comment is recognised as such.
        let last = bytes.count - 22
        for position in stride(from: last, through: max(0, last - 65_535), by: -1)
        where signature(bytes, position) == 0x0605_4B50
            && commentLength(bytes, position) == last - position
        {
            return try directory(bytes, position)
        }
        // Something follows the archive: the last record that points at a directory counts.
        for position in stride(from: last, through: max(0, last - maximumTrailer), by: -1)
        where signature(bytes, position) == 0x0605_4B50
            && commentLength(bytes, position) <= last - position
        {
            if let found = try? directory(bytes, position), !found.range.isEmpty,
                found.range.count >= 46, signature(bytes, found.range.lowerBound) == 0x0201_4B50
            {
                return found
            }
        }
        throw CheckpointError("is truncated: the zip directory at its end is missing")
    }

    /// - Parameter position: where the end record begins.
    private static func directory(
        _ bytes: UnsafeRawBufferPointer, _ position: Int
    ) throws(CheckpointError) -> Directory {
        var reader = try ByteReader(bytes, at: position + 4, what: "the zip end record")
        let disk = try reader.integer(UInt16.self)
        _ = try reader.take(2 + 2)
        var count = Int(try reader.integer(UInt16.self))
        var size = Int(try reader.integer(UInt32.self))
        var start = Int(try reader.integer(UInt32.self))
        var end = position

        // Values that do not fit are kept in a zip64 record, found through a locator before this one.
        if position >= 20, signature(bytes, position - 20) == 0x0706_4B50 {
            var locator = try ByteReader(bytes, at: position - 20 + 8, what: "the zip64 locator")
            let record = try locator.size64()
            var reader = try ByteReader(bytes, at: record, what: "the zip64 end record")
            guard try reader.integer(UInt32.self) == 0x0606_4B50 else {
                throw CheckpointError("is corrupt: its zip64 end record is damaged")
            }
            _ = try reader.take(8 + 2 + 2 + 4 + 4 + 8)
            count = try reader.size64()
            size = try reader.size64()
            start = try reader.size64()
            end = record
        } else if disk != 0 {
            throw CheckpointError(
                "is a zip archive split over several files, which is not supported")
        }
        guard start <= end, size <= end - start else {
            throw CheckpointError("is corrupt: its zip directory lies outside the file")
        }
        return (start..<start + size, count)
    }

    private static func signature(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    private static func commentLength(_ bytes: UnsafeRawBufferPointer, _ record: Int) -> Int {
        Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: record + 20, as: UInt16.self)))
    }

    /// Reads one central header; no entry when it is compressed or encrypted.
    private static func readEntry(
        _ reader: inout ByteReader
    ) throws(CheckpointError) -> (String, Entry?) {
        guard try reader.integer(UInt32.self) == 0x0201_4B50 else {
            throw CheckpointError("is corrupt: its zip directory is damaged")
        }
        _ = try reader.take(2 + 2)
        let flags = try reader.integer(UInt16.self)
        let method = try reader.integer(UInt16.self)
        _ = try reader.take(4)
        let checksum = try reader.integer(UInt32.self)
        var stored = Int(try reader.integer(UInt32.self))
        var size = Int(try reader.integer(UInt32.self))
        let nameLength = Int(try reader.integer(UInt16.self))
        let extraLength = Int(try reader.integer(UInt16.self))
        let commentLength = Int(try reader.integer(UInt16.self))
        _ = try reader.take(2 + 2 + 4)
        var header = Int(try reader.integer(UInt32.self))
        let name = reader.text(try reader.take(nameLength))
        let extra = try reader.take(extraLength)
        _ = try reader.take(commentLength)

        // The zip64 field holds, in this order, only the values that overflowed above.
        var fields = try ByteReader(
            UnsafeRawBufferPointer(rebasing: reader.bytes[extra]), what: "a zip extra field")
        while fields.remaining >= 4 {
            let tag = try fields.integer(UInt16.self)
            let length = Int(try fields.integer(UInt16.self))
            let field = try fields.take(length)
            guard tag == 1 else { continue }
            var values = try ByteReader(
                UnsafeRawBufferPointer(rebasing: fields.bytes[field]), what: "a zip64 field")
            if size == 0xFFFF_FFFF { size = try values.size64() }
            if stored == 0xFFFF_FFFF { stored = try values.size64() }
            if header == 0xFFFF_FFFF { header = try values.size64() }
        }

        guard method == 0, flags & 1 == 0 else { return (name, nil) }
        guard stored == size else {
            throw CheckpointError("is corrupt: the zip entry \(quoted(name)) has two sizes")
        }
        return (name, Entry(checksum: checksum, size: size, header: header))
    }

    /// The CRC-32 of an entry.
    package static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return UInt32(truncatingIfNeeded: crc32_z(0, start, bytes.count))
    }
}
