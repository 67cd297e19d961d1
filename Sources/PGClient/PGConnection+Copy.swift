import CPostgreSQL

/// Takes the rows of one `copyIn`. Of use only while its closure runs.
public final class PGCopyWriter {
    private var encoder: BinaryCopyEncoder
    private let connection: PGConnection
    private let sql: String
    fileprivate var isOpen = true
    /// libpq takes no more bytes, because the connection is lost.
    fileprivate private(set) var isCutOff = false

    /// Bytes gathered before they are given to libpq.
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
    /// What the server thinks of a row is heard after the last one: libpq does not look at the
    /// server's errors during COPY. A lost connection is noticed on the way.
    public func write(_ row: [PGValue]) throws(PGError) {
        guard isOpen else { throw PGError(.invalidUse, "COPY is over", sql: sql) }
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
        // Reading finds out early that the server is gone.
        guard sent == 1, PQconsumeInput(connection.handle) == 1 else {
            isCutOff = true
            throw connection.sendingFailed(sql)
        }
    }
}

extension PGConnection {
    /// Runs `COPY table (columns) FROM STDIN (FORMAT binary)` with the rows that `produce` writes.
    ///
    /// All rows or none: when `produce` throws, the COPY is ended with an error, the server keeps
    /// nothing of it, and the error is passed on; the same when the server refuses a row.
    ///
    /// - Returns: the number of rows stored.
    @discardableResult
    public func copyIn(_ sql: String, _ produce: (PGCopyWriter) throws -> Void) throws -> Int {
        try send(sql, [])
        let columnCount = try startCopy(sql, PGRES_COPY_IN)
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
            _ = PQputCopyEnd(handle, "the client gave up")
            do {
                _ = try collect(sql, [])
            } catch let answer {
                // Either why the connection is lost, or the text just sent, back as an error.
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

    /// Runs `COPY … TO STDOUT` and hands its bytes over as they arrive, in the format that the
    /// statement asks for.
    ///
    /// When `body` throws, the COPY is cancelled and the error is passed on.
    ///
    /// - Returns: the number of rows.
    @discardableResult
    public func copyOut(_ sql: String, _ body: ([UInt8]) throws -> Void) throws -> Int {
        try send(sql, [])
        _ = try startCopy(sql, PGRES_COPY_OUT)
        isBusy = true
        defer { isBusy = false }
        var failure: (any Error)?
        while let chunk = try copyChunk(sql) {
            if failure != nil { continue }
            do {
                try body(chunk)
            } catch {
                failure = error
                try? canceller.cancel()
            }
        }
        if let failure {
            _ = try? collect(sql, [])
            throw failure
        }
        guard let storage = try collect(sql, []) else { throw lost(sql) }
        return PGResult(storage).affectedRows
    }

    /// The number of columns, once the server is in the COPY state that was asked for.
    private func startCopy(_ sql: String, _ wanted: ExecStatusType) throws(PGError) -> Int {
        guard let storage = try nextResult(sql) else { throw lost(sql) }
        let isBinary = PQbinaryTuples(storage.handle) == 1
        if storage.status == wanted && (isBinary || wanted == PGRES_COPY_OUT) {
            return Int(PQnfields(storage.handle))
        }
        switch storage.status {
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            let failure = error(of: storage, sql)
            _ = try? collect(sql, [])
            throw failure
        case PGRES_COPY_IN:
            _ = PQputCopyEnd(handle, "not wanted")
            _ = try? collect(sql, [])
            throw PGError(
                .invalidUse,
                wanted == PGRES_COPY_IN
                    ? "COPY FROM STDIN needs (FORMAT binary)" : "this is no COPY TO STDOUT",
                sql: sql)
        case PGRES_COPY_OUT:
            while try copyChunk(sql) != nil {}
            _ = try? collect(sql, [])
            throw PGError(.invalidUse, "this is no COPY FROM STDIN", sql: sql)
        default:
            _ = try collect(sql, [])
            throw PGError(.invalidUse, "this is no COPY with STDIN or STDOUT", sql: sql)
        }
    }

    /// The next bytes of a COPY TO STDOUT; nil at its end, whose result comes next.
    private func copyChunk(_ sql: String) throws(PGError) -> [UInt8]? {
        var chunk: UnsafeMutablePointer<CChar>?
        var count = PQgetCopyData(handle, &chunk, responseTimeout == nil ? 0 : 1)
        while count == 0, let responseTimeout {
            let deadline = ContinuousClock.now + responseTimeout
            if case .timedOut = wait(PQsocket(handle), for: .reading, until: deadline) {
                throw breakOff(
                    .timeout,
                    "PostgreSQL was silent for more than \(responseTimeout.components.seconds) s",
                    sql)
            }
            guard PQconsumeInput(handle) == 1 else { throw lost(sql) }
            count = PQgetCopyData(handle, &chunk, 1)
        }
        guard count > 0, let chunk else { return nil }
        defer { PQfreemem(chunk) }
        return [UInt8](UnsafeRawBufferPointer(start: chunk, count: Int(count)))
    }
}
