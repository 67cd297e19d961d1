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
    /// Sends several statements in one packet and then reads their results, so that all of them cost
    /// one round trip (manual, "Pipeline Mode").
    ///
    /// They run one after the other; the server skips those after the first that fails. If one fails
    /// while a transaction is open that one of them began, it is rolled back. Meant for short
    /// statements with short results: everything is held in memory.
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
            // The query was refused before it was sent, or the connection is lost. The results of
            // those that were sent are read below.
            failure = error
        }
        guard PQpipelineSync(handle) == 1 else {
            // Without the end of the pipeline the connection cannot leave pipeline mode.
            let reason = sendingFailed(first)
            let broken = breakOff(reason.kind, reason.message, first)
            throw failure ?? broken
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
            // An error of the server (57P01: it ends the connection) explains more than the end of
            // the stream.
            let isOpen = PQstatus(handle) == CONNECTION_OK
            let broken = breakOff(
                .protocolViolation, "the results of a pipeline did not end as they should", first)
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
