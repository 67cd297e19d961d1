import CPostgreSQL

extension PGConnection {
    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws.
    /// Transactions do not nest.
    ///
    /// An error that `isConnectionLost` from the COMMIT itself leaves open whether the server
    /// committed; otherwise, an error means that nothing of the transaction was stored.
    public func transaction<Value>(_ body: () throws -> Value) throws -> Value {
        try checkReady("BEGIN")
        guard PQtransactionStatus(handle) == PQTRANS_IDLE else {
            throw PGError(.invalidUse, "a transaction is open already, and they do not nest")
        }
        try execute("BEGIN")
        let value: Value
        do {
            value = try body()
        } catch {
            rollBack()
            throw error
        }
        // COMMIT of a transaction in which a statement failed succeeds as a rollback.
        guard try execute("COMMIT").commandTag != "ROLLBACK" else {
            throw PGError(
                .server, "the transaction was rolled back: a statement in it failed",
                sqlState: "25P02")
        }
        return value
    }

    private func rollBack() {
        guard isUsable, isInTransaction else { return }
        do {
            try execute("ROLLBACK")
        } catch {
            // What the transaction holds is released when the server sees the socket close.
            _ = breakOff(.connectionLost, "ROLLBACK failed", "ROLLBACK")
        }
    }
}
