import CPostgreSQL

extension PGConnection {
    /// Runs a statement and passes its rows to `body` one at a time as they arrive, so that a result of
    /// any size needs the memory of one row (libpq's single-row mode). The connection cannot run
    /// anything else meanwhile.
    ///
    /// If `body` throws, the statement is cancelled (which fails an open transaction) and the error is
    /// rethrown.
    ///
    /// - Returns: the number of rows.
    @discardableResult
    public func forEachRow(
        _ sql: String, _ parameters: [PGValue] = [], _ body: (PGRow) throws -> Void
    ) throws -> Int {
        try send(sql, parameters)
        PQsetSingleRowMode(handle)
        isBusy = true
        defer { isBusy = false }
        var count = 0
        while let storage = try nextResult(sql) {
            guard storage.status == PGRES_SINGLE_TUPLE else {
                // The end of the rows, or an error after some rows.
                try finishStream(storage, sql, parameters)
                return count
            }
            do {
                try body(PGRow(result: PGResult(storage), index: 0))
            } catch {
                try? canceller.cancel()
                while let rest = try? nextResult(sql), rest.status == PGRES_SINGLE_TUPLE {}
                _ = try? collect(sql, parameters)
                throw error
            }
            count += 1
        }
        throw lost(sql)
    }

    private func finishStream(
        _ storage: ResultStorage, _ sql: String, _ parameters: [PGValue]
    ) throws(PGError) {
        switch storage.status {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            _ = try collect(sql, parameters)
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            let failure = error(of: storage, sql, parameters)
            _ = try? collect(sql, parameters)
            throw failure
        default:
            throw breakOff(
                .invalidUse, "COPY FROM STDIN needs copyIn, and COPY TO STDOUT is not supported",
                sql)
        }
    }
}
