/// PostgreSQL's binary COPY format (manual, COPY, "Binary Format"): a header, for each row the
/// number of fields (int16) and for each field its length (int32, −1 for NULL) and bytes, and an
/// int16 −1 at the end.
package struct BinaryCopyEncoder {
    /// Bytes that the caller has not taken yet; starts with the header.
    package var buffer: [UInt8]
    /// Fields in each row.
    package let columnCount: Int
    package private(set) var rowCount = 0

    package static let header: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF] + Array("\r\n".utf8) + [0]  // signature
        + [0, 0, 0, 0]  // flags
        + [0, 0, 0, 0]  // length of the header's extension

    package init(columnCount: Int) {
        self.columnCount = columnCount
        buffer = Self.header
    }

    /// Appends a row. A column's type has to be exactly the value's, since nothing is converted:
    /// `int32` for int4, `int64` for int8.
    package mutating func append(_ row: [PGValue]) throws(PGError) {
        guard row.count == columnCount, let count = Int16(exactly: row.count) else {
            throw PGError(
                .invalidUse,
                "row \(rowCount + 1) of COPY has \(row.count) values for \(columnCount) columns")
        }
        let start = buffer.count
        let number = rowCount + 1
        // Only made for an error: there are millions of values.
        func place(_ column: Int) -> String { "column \(column + 1) in row \(number) of COPY" }
        do throws(PGError) {
            buffer.appendBigEndian(count)
            for (index, value) in row.enumerated() {
                if value == .null {
                    buffer.appendBigEndian(Int32(-1))
                    continue
                }
                try buffer.appendWithLength(place: place(index)) { buffer throws(PGError) in
                    try value.encode(into: &buffer, place: place(index))
                }
            }
        } catch {
            buffer.removeSubrange(start...)
            throw error
        }
        rowCount += 1
    }

    package mutating func appendTrailer() { buffer.appendBigEndian(Int16(-1)) }
}
