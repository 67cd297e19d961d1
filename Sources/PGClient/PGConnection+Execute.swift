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
        guard let storage = try collect(sql, parameters) else { throw lost(sql) }
        return PGResult(storage)
    }

    /// Runs any number of statements separated by `;` (simple protocol), in one transaction unless they
    /// contain BEGIN or COMMIT. Rows are discarded.
    public func executeScript(_ sql: String) throws(PGError) {
        try checkReady(sql)
        guard PQsendQuery(handle, sql) == 1 else { throw sendingFailed(sql) }
        _ = try collect(sql, [], isScript: true)
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
        let encoded = try EncodedParameters(parameters, sql: sql)
        let oids = parameters.map { Oid($0.oid) }
        let sent = encoded.withPointers { values, lengths, formats in
            PQsendQueryParams(
                handle, sql, Int32(parameters.count), oids, values, lengths, formats, 1)
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
        let message = scrubber.scrub(flatten(String(cString: PQerrorMessage(handle))).text)
        if PQstatus(handle) != CONNECTION_OK {
            return PGError(.connectionLost, message, sql: sql)
        }
        return PGError(.protocolViolation, message, sql: sql)
    }
}

/// The bytes of all parameters in one buffer.
private struct EncodedParameters {
    private var buffer: [UInt8] = []
    private var ranges: [Range<Int>?] = []

    init(_ parameters: [PGValue], sql: String) throws(PGError) {
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
            ranges.append(value == .null ? nil : start..<buffer.count)
        }
        buffer.append(0)  // gives an empty last value an address
    }

    func withPointers<T>(
        _ body: ([UnsafePointer<CChar>?], [Int32], [Int32]) -> T
    ) -> T {
        buffer.withUnsafeBytes { bytes in
            let values = ranges.map { range in
                range.map { bytes.baseAddress!.advanced(by: $0.lowerBound) }?
                    .assumingMemoryBound(to: CChar.self)
            }
            let lengths = ranges.map { Int32($0?.count ?? 0) }
            return body(values, lengths, [Int32](repeating: 1, count: ranges.count))
        }
    }
}

// MARK: - Results

extension PGConnection {
    /// Reads all results of what was sent.
    ///
    /// - Returns: the last result.
    /// - Throws: the first error, after reading the rest, so that the connection is ready for the next
    ///   statement.
    func collect(_ sql: String, _ parameters: [PGValue], isScript: Bool = false) throws(PGError)
        -> ResultStorage?
    {
        var last: ResultStorage?
        var failure: PGError?
        var count = 0
        while let storage = try nextResult(sql) {
            count += 1
            if count > 1000 && !isScript {
                throw breakOff(.protocolViolation, "the results do not end", sql)
            }
            switch storage.status {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
                last = storage
            case PGRES_COPY_IN, PGRES_COPY_OUT:
                failure = failure ?? PGError(.invalidUse, "COPY is not supported", sql: sql)
                try abandonCopy(storage.status, sql)
            case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
                failure = failure ?? error(of: storage, sql, parameters)
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
    func nextResult(_ sql: String) throws(PGError) -> ResultStorage? {
        if let responseTimeout {
            while PQisBusy(handle) == 1 {
                let deadline = ContinuousClock.now + responseTimeout
                switch wait(PQsocket(handle), for: .reading, until: deadline) {
                case .ready, .failed:
                    // On failure PQgetResult below says what happened.
                    guard PQconsumeInput(handle) == 1 else { break }
                    continue
                case .timedOut:
                    throw breakOff(
                        .timeout,
                        "PostgreSQL was silent for more than "
                            + "\(responseTimeout.components.seconds) s", sql)
                }
                break
            }
        }
        return PQgetResult(handle).map(ResultStorage.init)
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
        let message = scrubber.scrub(flatten(String(cString: PQerrorMessage(handle))).text)
        return PGError(
            .connectionLost, message.isEmpty ? "the server sent no answer" : message, sql: sql)
    }

    /// The server's error, or libpq's own, which has no error fields.
    func error(of storage: ResultStorage, _ sql: String, _ parameters: [PGValue] = []) -> PGError {
        let result = storage.handle
        let sqlState = field(.sqlState, of: result)
        guard let primary = field(.message, of: result) else {
            let text = scrubber.scrub(flatten(String(cString: PQresultErrorMessage(result))).text)
            let kind: PGError.Kind =
                PQstatus(handle) == CONNECTION_OK ? .protocolViolation : .connectionLost
            return PGError(kind, text, sqlState: sqlState, sql: sql)
        }
        let isAboutConnection =
            sqlState.map {
                $0.hasPrefix("08") && $0 != "08P01" || PGError.endOfConnection.contains($0)
            } ?? false
        let kind: PGError.Kind =
            if isAboutConnection || primary.hasPrefix("failure on connection"),
                field(.severity, of: result) == "ERROR"
            {
                // This connection would end with FATAL: the server's own to another one has ended. Citus says
                // "failure on connection" (XX000) when that happens within a transaction.
                .node
            } else if let sqlState, PGError.endOfConnection.contains(sqlState) {
                .connectionLost
            } else {
                sqlState == "57014" ? .cancelled : .server
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
