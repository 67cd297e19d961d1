/// What went wrong between this program and PostgreSQL.
///
/// `description` is one sentence that people may see: it holds no password, no bound value and
/// neither DETAIL nor CONTEXT of the server (PostgreSQL puts row contents into both).
public struct PGError: Error, Sendable {
    public enum Kind: String, Sendable {
        /// No connection could be made: address, TLS, authentication, database name.
        case connection
        /// A connection that worked is gone.
        case connectionLost
        /// The server refused a statement; `sqlState` says why.
        case server
        /// The statement was cancelled (SQLSTATE 57014: by request, or by `statement_timeout`).
        case cancelled
        /// The server kept silent for longer than allowed.
        case timeout
        /// The server's bytes do not follow the protocol.
        case protocolViolation
        /// A column does not hold what was asked of it.
        case decoding
        /// The caller asked for something that cannot be sent, such as text holding NUL.
        case invalidUse
    }

    public let kind: Kind
    /// The server's primary message, or this library's own; whitespace collapsed.
    public let message: String
    /// Five characters, PostgreSQL's Appendix A; nil where no server spoke.
    public let sqlState: String?
    /// `ERROR`, `FATAL` or `PANIC`, whatever the server's language.
    public let severity: String?
    /// The server's DETAIL. It may quote row contents, so it is never part of `description`.
    public let detail: String?
    /// The server's HINT: what a person may do about it.
    public let hint: String?
    public let schemaName: String?
    public let tableName: String?
    public let columnName: String?
    public let dataTypeName: String?
    public let constraintName: String?
    /// Where in the statement the error is, in characters from 1.
    public let position: Int?
    /// The statement as the caller wrote it, on one line and shortened to 160 characters.
    public let sql: String?
    /// The server (or libpq on its behalf) did not accept who the client says it is.
    public let isAuthenticationFailure: Bool

    package init(
        _ kind: Kind, _ message: String, sqlState: String? = nil, severity: String? = nil,
        detail: String? = nil, hint: String? = nil, schemaName: String? = nil,
        tableName: String? = nil, columnName: String? = nil, dataTypeName: String? = nil,
        constraintName: String? = nil, position: Int? = nil, sql: String? = nil,
        authenticationFailed: Bool = false
    ) {
        self.kind = kind
        self.message = oneLine(message, limit: 1000)
        self.sqlState = sqlState
        self.severity = severity
        self.detail = detail
        self.hint = hint.map { oneLine($0, limit: 1000) }
        self.schemaName = schemaName
        self.tableName = tableName
        self.columnName = columnName
        self.dataTypeName = dataTypeName
        self.constraintName = constraintName
        self.position = position
        self.sql = sql.map { oneLine($0, limit: 160) }
        self.isAuthenticationFailure =
            authenticationFailed || sqlState == "28P01" || sqlState == "28000"
    }
}

// MARK: - What a caller may want to know

extension PGError {
    /// The relation does not exist (42P01).
    public var isUndefinedTable: Bool { sqlState == "42P01" }
    /// The column does not exist (42703).
    public var isUndefinedColumn: Bool { sqlState == "42703" }
    /// The type, function or operator class does not exist (42704, 42883): what a database without
    /// `CREATE EXTENSION vector` answers.
    public var isUndefinedObject: Bool { sqlState == "42704" || sqlState == "42883" }
    /// The relation, schema, database or object exists already (42P07, 42P06, 42P04, 42710).
    public var isDuplicateObject: Bool {
        ["42P07", "42P06", "42P04", "42710"].contains(sqlState)
    }
    /// The role may not do this (42501).
    public var isInsufficientPrivilege: Bool { sqlState == "42501" }
    /// The database named in the connection does not exist (3D000).
    public var isUndefinedDatabase: Bool { sqlState == "3D000" }
    /// A row with this key exists already (23505).
    public var isUniqueViolation: Bool { sqlState == "23505" }
    /// Try the whole transaction again (40001 serialization failure, 40P01 deadlock).
    public var isSerializationFailure: Bool { sqlState == "40001" || sqlState == "40P01" }
    /// The files of an extension are not installed on the server: 0A000 since PostgreSQL 14, 58P01
    /// before (src/backend/commands/extension.c), answered to CREATE EXTENSION.
    public var isMissingExtension: Bool {
        guard sqlState == "0A000" || sqlState == "58P01" else { return false }
        return sql?.uppercased().contains("CREATE EXTENSION") ?? false
    }
    /// The connection is of no more use: open another one. SQLSTATE class 08 and 57P01 to 57P05,
    /// or libpq lost the socket.
    public var isConnectionLost: Bool {
        if kind == .connectionLost || kind == .timeout { return true }
        guard kind != .connection, let sqlState else { return false }
        return sqlState.hasPrefix("08")
            || ["57P01", "57P02", "57P03", "57P05"].contains(sqlState)
    }
    /// The server is there but takes no connection at the moment: starting up or shutting down
    /// (57P03), or out of connection slots (53300).
    public var isTemporarilyUnavailable: Bool { sqlState == "57P03" || sqlState == "53300" }
    /// The statement was cancelled (57014).
    public var isCancelled: Bool { kind == .cancelled }
}

// MARK: - Rendering

extension PGError: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        var text =
            switch kind {
            case .connection: "cannot connect to PostgreSQL: " + message
            case .connectionLost: "the connection to PostgreSQL was lost: " + message
            case .protocolViolation: "PostgreSQL's answer makes no sense: " + message
            case .server, .cancelled, .timeout, .decoding, .invalidUse: message
            }
        var notes: [String] = []
        if let sqlState { notes.append("SQLSTATE " + sqlState) }
        if let sql { notes.append("statement: " + sql) }
        if !notes.isEmpty { text += " (" + notes.joined(separator: ", ") + ")" }
        return text
    }

    public var debugDescription: String { description }

    /// `dump` and `Mirror` see what `description` shows, not `detail`.
    public var customMirror: Mirror {
        Mirror(self, children: ["kind": kind, "description": description], displayStyle: .struct)
    }
}

/// `text` with runs of whitespace and control characters turned into one space (a server must not
/// be able to steer the terminal), shortened to `limit` characters.
package func oneLine(_ text: String, limit: Int) -> String {
    var line = ""
    var count = 0
    var space = false
    for scalar in text.unicodeScalars {
        if scalar.properties.isWhitespace || scalar.value < 0x20
            || (0x7F...0x9F).contains(scalar.value)
        {
            space = !line.isEmpty
            continue
        }
        if space {
            line.unicodeScalars.append(" ")
            count += 1
            space = false
        }
        if count >= limit {
            line += "…"
            break
        }
        line.unicodeScalars.append(scalar)
        count += 1
    }
    return line
}
