import CPostgreSQL
import Glibc

extension PGConnection {
    /// Runs one statement (extended protocol) with parameters and results in binary format.
    ///
    /// - Returns: all rows, in memory.
    /// - Throws: `PGError` of kind `server` with SQLSTATE, `invalidUse` if nothing was sent, or an error
    ///   that `isConnectionLost`.
    @discardableResult
    public func execute(_ sql: String, _ parameters: [PGValue] = []) throws(PGError) -> PGResult {
        try send(sql, parameters)
        guard let result = try collect(sql, parameters) else { throw lost(sql) }
        return result
    }

    /// Runs any number of statements separated by `;` (simple protocol), in one transaction unless they
    /// contain BEGIN or COMMIT. Rows are discarded.
    public func executeScript(_ sql: String) throws(PGError) {
        try checkReady(sql)
        guard PQsendQuery(handle, sql) == 1 else { throw sendingFailed(sql) }
        _ = try collect(sql, [])
    }
}

// MARK: - Sending

extension PGConnection {
    func send(_ sql: String, _ parameters: [PGValue]) throws(PGError) {
        try checkReady(sql)
        // The protocol counts parameters in 16 bits.
        guard parameters.count <= 65_535 else {
            throw PGError(
                .invalidUse,
                "\(parameters.count) parameters exceed the limit of 65535 per statement")
        }
        var buffer: [UInt8] = []
        var places: [Range<Int>] = []
        for (number, value) in parameters.enumerated() {
            let start = buffer.count
            do throws(PGError) {
                try value.encode(into: &buffer, place: "parameter $\(number + 1)")
            } catch {
                throw PGError(error.kind, error.message, sql: sql)
            }
            guard buffer.count < 1 << 30 else {
                throw PGError(.invalidUse, "the parameters are too long for PostgreSQL", sql: sql)
            }
            places.append(start..<buffer.count)
        }
        buffer.append(0)  // gives an empty last value an address
        let sent = buffer.withUnsafeBytes { bytes in
            let values = zip(parameters, places).map { value, place in
                value == .null
                    ? nil
                    : (bytes.baseAddress! + place.lowerBound).assumingMemoryBound(to: CChar.self)
            }
            return PQsendQueryParams(
                handle, sql, Int32(parameters.count), parameters.map { Oid($0.oid) }, values,
                places.map { Int32($0.count) }, [Int32](repeating: 1, count: places.count), 1)
        }
        guard sent == 1 else { throw sendingFailed(sql) }
    }

    func checkReady(_ sql: String) throws(PGError) {
        guard !sql.utf8.contains(0) else {
            throw PGError(.invalidUse, "the statement holds a NUL character")
        }
        guard isUsable else { throw PGError(.connectionLost, "it is closed", sql: sql) }
    }

    func sendingFailed(_ sql: String) -> PGError {
        PGError(kindOfLoss, ownMessage(PQerrorMessage(handle)), sql: sql)
    }

    private var kindOfLoss: PGError.Kind {
        PQstatus(handle) == CONNECTION_OK ? .protocolViolation : .connectionLost
    }

    /// libpq's message on one line, without secrets.
    private func ownMessage(_ message: UnsafePointer<CChar>) -> String {
        scrubber.scrub(flatten(String(cString: message)).text)
    }
}

// MARK: - Results

extension PGConnection {
    /// Reads all results of what was sent.
    ///
    /// - Returns: the last result.
    /// - Throws: the first error, after reading the rest, so that the connection is ready for the next statement.
    func collect(_ sql: String, _ parameters: [PGValue]) throws(PGError) -> PGResult? {
        var last: PGResult?
        var failure: PGError?
        var count = 0
        while let result = try nextResult(sql) {
            count += 1
            if count > 1000 {
                throw breakOff(.protocolViolation, "the results do not end", sql)
            }
            switch result.status {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
                last = result
            case PGRES_COPY_IN, PGRES_COPY_OUT:
                failure = failure ?? PGError(.invalidUse, "COPY is not supported", sql: sql)
                try abandonCopy(result.status, sql)
            case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
                failure = failure ?? error(of: result.handle, sql, parameters)
            case PGRES_PIPELINE_ABORTED:
                failure = failure ?? PGError(.server, "a statement before it failed", sql: sql)
            default:
                throw breakOff(.protocolViolation, "the result has an unknown status", sql)
            }
        }
        if let failure { throw failure }
        return last
    }

    /// The next result of the running statement; nil after the last one.
    func nextResult(_ sql: String) throws(PGError) -> PGResult? {
        while let limit = responseTimeout, PQisBusy(handle) == 1 {
            guard wait(PQsocket(handle), for: POLLIN, until: .now + limit) else {
                throw breakOff(
                    .timeout,
                    "PostgreSQL was silent for more than \(limit.components.seconds) s", sql)
            }
            // On failure PQgetResult below says what happened.
            guard PQconsumeInput(handle) == 1 else { break }
        }
        return PQgetResult(handle).map(PGResult.init)
    }

    /// Ends a COPY in either direction.
    private func abandonCopy(_ status: ExecStatusType, _ sql: String) throws(PGError) {
        if status == PGRES_COPY_IN {
            guard PQputCopyEnd(handle, "not wanted") == 1 else { throw sendingFailed(sql) }
            return
        }
        var chunk: UnsafeMutablePointer<CChar>?
        while PQgetCopyData(handle, &chunk, 0) > 0 {
            PQfreemem(chunk)
        }
    }

    /// Closes the connection because its protocol state is unknown.
    func breakOff(_ kind: PGError.Kind, _ message: String, _ sql: String) -> PGError {
        isBroken = true
        shutdown(PQsocket(handle), Int32(SHUT_RDWR))
        return PGError(kind, message, sql: sql)
    }

    func lost(_ sql: String) -> PGError {
        let message = ownMessage(PQerrorMessage(handle))
        return PGError(
            .connectionLost, message.isEmpty ? "the server sent no answer" : message, sql: sql)
    }

    /// The server's error, or libpq's own, which has no error fields.
    private func error(
        of result: OpaquePointer, _ sql: String, _ parameters: [PGValue]
    ) -> PGError {
        let sqlState = field("C", of: result)
        guard let primary = field("M", of: result) else {
            let message = ownMessage(PQresultErrorMessage(result))
            return PGError(kindOfLoss, message, sqlState: sqlState, sql: sql)
        }
        let state = sqlState ?? ""
        let isEnd = PGError.endOfConnection.contains(state)
        let isAboutConnection = isEnd || state.hasPrefix("08") && state != "08P01"
        let kind: PGError.Kind =
            if isAboutConnection || primary.hasPrefix("failure on connection"),
                field("V", of: result) == "ERROR"
            {
                // This connection would end with FATAL: the server's own to another one has ended. Citus says
                // "failure on connection" (XX000) when that happens within a transaction.
                .node
            } else if isEnd {
                .connectionLost
            } else {
                state == "57014" ? .cancelled : .server
            }
        return PGError(
            kind, scrubber.scrub(hideValues(of: parameters, in: primary)),
            sqlState: sqlState, sql: sql)
    }
}

/// `message` with bound texts replaced by their placeholders, since data exceptions quote their input (`invalid input
/// syntax for type integer: "…"`). Short texts are replaced only inside quotes: they may be words of the message.
package func hideValues(of parameters: [PGValue], in message: String) -> String {
    var message = message
    for (number, value) in parameters.enumerated() {
        let texts: [String] =
            switch value {
            case .text(let text): [text]
            case .textArray(let texts): texts
            default: []
            }
        for text in texts where !text.isEmpty {
            message.replace("\"\(text)\"", with: "$\(number + 1)")
            if text.utf8.count >= 8 { message.replace(text, with: "$\(number + 1)") }
        }
    }
    return message
}

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
    /// Sends several statements in one round trip (manual, "Pipeline Mode"). They run one after the other; the server
    /// skips those after the first that fails, and a transaction that one of them began is rolled back. Everything
    /// is held in memory.
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
                if let result = try collect(query.sql, query.parameters) {
                    answers.append(result)
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
            // An error of the server (57P01: it ends the connection) explains more than the end of the stream.
            let isOpen = PQstatus(handle) == CONNECTION_OK
            let broken = breakOff(
                .protocolViolation, "the results of a pipeline did not end as they should", first)
            if let failure, failure.isConnectionLost { throw failure }
            throw isOpen ? broken : lost(first)
        }
        guard let failure else { return answers }
        if !wasInTransaction { rollBack() }
        throw failure
    }
}
