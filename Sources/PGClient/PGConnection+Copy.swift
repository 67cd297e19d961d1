import CPostgreSQL

/// Receives the rows of one `copyIn`. Valid only while the closure runs.
public final class PGCopyWriter {
    private var encoder: BinaryCopyEncoder
    private let connection: PGConnection
    private let sql: String
    fileprivate var isOpen = true
    /// libpq accepts no more bytes because the connection is lost.
    fileprivate private(set) var isCutOff = false

    /// Bytes collected before they are passed to libpq.
    private static let chunk = 1 << 16

    fileprivate init(_ connection: PGConnection, columnCount: Int, sql: String) {
        self.connection = connection
        self.sql = sql
        encoder = BinaryCopyEncoder(columnCount: columnCount)
    }

    /// Rows written so far.
    public var rowCount: Int { encoder.rowCount }

    /// Writes one row: a value for each column of the COPY, of exactly the column's type.
    ///
    /// The server's errors arrive after the last row, because libpq does not read them during COPY. A
    /// lost connection is noticed earlier.
    public func write(_ row: [PGValue]) throws(PGError) {
        guard isOpen else { throw PGError(.invalidUse, "the COPY has ended", sql: sql) }
        try encoder.append(row)
        if encoder.buffer.count >= Self.chunk { try flush() }
    }

    fileprivate func end() throws(PGError) {
        encoder.appendTrailer()
        try flush()
    }

    private func flush() throws(PGError) {
        let sent = encoder.buffer.withUnsafeBytes { bytes in
            PQputCopyData(
                connection.handle, bytes.assumingMemoryBound(to: CChar.self).baseAddress,
                Int32(clamping: bytes.count))
        }
        encoder.buffer.removeAll(keepingCapacity: true)
        // Reading detects a lost server early.
        guard sent == 1, PQconsumeInput(connection.handle) == 1 else {
            isCutOff = true
            throw connection.sendingFailed(sql)
        }
    }
}

extension PGConnection {
    /// Runs `COPY table (columns) FROM STDIN (FORMAT binary)` with the rows that `produce` writes.
    ///
    /// All rows are stored or none: if `produce` throws or the server refuses a row, the COPY fails
    /// as a whole and the error is rethrown.
    ///
    /// - Returns: the number of rows stored.
    @discardableResult
    public func copyIn(_ sql: String, _ produce: (PGCopyWriter) throws -> Void) throws -> Int {
        try send(sql, [])
        let columnCount = try startCopy(sql)
        isBusy = true
        let writer = PGCopyWriter(self, columnCount: columnCount, sql: sql)
        defer {
            writer.isOpen = false
            isBusy = false
        }
        do {
            try produce(writer)
            try writer.end()
        } catch {
            _ = PQputCopyEnd(handle, "the client stopped")
            do {
                _ = try collect(sql, [])
            } catch let answer {
                // Either the reason for the lost connection, or the text just sent as an error.
                if writer.isCutOff { throw answer }
            }
            throw error
        }
        guard PQputCopyEnd(handle, nil) == 1 else {
            let failure = sendingFailed(sql)
            _ = try collect(sql, [])
            throw failure
        }
        guard let storage = try collect(sql, []) else { throw lost(sql) }
        return PGResult(storage).affectedRows
    }

    /// The number of columns, once the server is ready to receive rows.
    private func startCopy(_ sql: String) throws(PGError) -> Int {
        guard let storage = try nextResult(sql) else { throw lost(sql) }
        switch storage.status {
        case PGRES_COPY_IN where PQbinaryTuples(storage.handle) == 1:
            return Int(PQnfields(storage.handle))
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            let failure = error(of: storage, sql)
            _ = try? collect(sql, [])
            throw failure
        case PGRES_COPY_IN, PGRES_COPY_OUT:
            try abandonCopy(storage.status, sql)
            _ = try? collect(sql, [])
            throw PGError(.invalidUse, "COPY must be FROM STDIN (FORMAT binary)", sql: sql)
        default:
            _ = try collect(sql, [])
            throw PGError(.invalidUse, "the statement is not a COPY FROM STDIN", sql: sql)
        }
    }
}

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
