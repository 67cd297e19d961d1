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
