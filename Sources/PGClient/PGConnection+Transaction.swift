import CPostgreSQL

extension PGConnection {
    /// Runs `body` in a transaction that is committed when it returns and rolled back when it throws.
    /// Transactions do not nest.
    ///
    /// After an error that `isConnectionLost` from the COMMIT itself, it is unknown whether the server
    /// committed. After any other error, nothing of the transaction was stored.
    public func transaction<Value>(_ body: () throws -> Value) throws -> Value {
        try checkReady("BEGIN")
        guard PQtransactionStatus(handle) == PQTRANS_IDLE else {
            throw PGError(
                .invalidUse, "a transaction is already open, and transactions do not nest")
        }
        try execute("BEGIN")
        let value: Value
        do {
            value = try body()
        } catch {
            rollBack()
            throw error
        }
        // COMMIT succeeds as a rollback after a failed statement.
        guard try execute("COMMIT").commandTag != "ROLLBACK" else {
            throw PGError(
                .server, "the transaction was rolled back: a statement in it failed",
                sqlState: "25P02")
        }
        return value
    }

    func rollBack() {
        guard isUsable, isInTransaction else { return }
        do {
            try execute("ROLLBACK")
        } catch {
            // The server releases the transaction's locks when it sees the socket close.
            _ = breakOff(.connectionLost, "ROLLBACK failed", "ROLLBACK")
        }
    }
}

// MARK: - Connection poolers

extension PGConnection {
    /// Whether a connection pooler (PgBouncer or one like it) is between this client and the server, so
    /// that session settings, session locks and temporary tables do not belong to this client alone.
    ///
    /// A pooler answers the login itself and invents the process number that libpq gets with the cancel key, so it
    /// differs from `pg_backend_pid()`. Proxies that only forward bytes do not count.
    public func isPooled() throws(PGError) -> Bool {
        try execute("SELECT pg_backend_pid()").first?.int(0) != backendProcessID
    }

    /// Whether a pooler refuses BEGIN because it assigns a server connection to each statement: PgBouncer answers with
    /// SQLSTATE 08P01 and closes the connection. It overlooks transactions within one `pipeline`, so ask first.
    public func refusesTransactions() throws(PGError) -> Bool {
        do throws(PGError) {
            try execute("BEGIN")
        } catch {
            guard error.sqlState == "08P01" else { throw error }
            return true
        }
        try execute("ROLLBACK")
        return false
    }
}
