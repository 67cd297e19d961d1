import CPostgreSQL

/// A statement and the values bound to it.
public struct PGQuery: Sendable {
    public let sql: String
    public let parameters: [PGValue]

    public init(_ sql: String, _ parameters: [PGValue] = []) {
        self.sql = sql
        self.parameters = parameters
    }
}

extension PGConnection {
    /// Sends several statements in one packet and reads their answers afterwards, so that they cost
    /// one round trip together (manual, "Pipeline Mode").
    ///
    /// They run one after the other; after the first that fails the rest is passed over. A
    /// transaction that one of them began and none ended is rolled back when one fails. Meant for
    /// short statements with short answers: everything is held in memory.
    ///
    /// - Returns: the result of each statement.
    /// - Throws: the error of the first statement that failed.
    public func pipeline(_ queries: [PGQuery]) throws(PGError) -> [PGResult] {
        let first = queries.first?.sql ?? ""
        try checkReady(first)
        let wasInTransaction = isInTransaction
        guard PQenterPipelineMode(handle) == 1 else { throw sendingFailed(first) }
        var answers: [PGResult] = []
        var failure: PGError?
        var sent = 0
        do throws(PGError) {
            for query in queries {
                try send(query.sql, query.parameters)
                sent += 1
            }
        } catch {
            // Refused before it was sent, or the connection is lost. What was sent is read below.
            failure = error
        }
        guard PQpipelineSync(handle) == 1 else {
            throw failure ?? sendingFailed(first)
        }
        for query in queries.prefix(sent) {
            do throws(PGError) {
                if let storage = try collect(query.sql, query.parameters) {
                    answers.append(PGResult(storage))
                } else {
                    failure = failure ?? lost(query.sql)
                }
            } catch {
                failure = failure ?? error
                guard isUsable else { throw failure ?? error }
            }
        }
        guard let end = try nextResult(first), end.status == PGRES_PIPELINE_SYNC,
            PQexitPipelineMode(handle) == 1
        else {
            // The server's last words (57P01: it ends the connection) say more than their end.
            let isOpen = PQstatus(handle) == CONNECTION_OK
            let broken = breakOff(
                .protocolViolation, "the answers to a pipeline have no end", first)
            if let failure, failure.isConnectionLost { throw failure }
            throw isOpen ? broken : lost(first)
        }
        guard let failure else { return answers }
        if isInTransaction, !wasInTransaction {
            do {
                try execute("ROLLBACK")
            } catch {
                _ = breakOff(.connectionLost, "ROLLBACK failed", "ROLLBACK")
            }
        }
        throw failure
    }
}
