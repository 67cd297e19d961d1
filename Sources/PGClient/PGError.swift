/// An error between this program and PostgreSQL.
///
/// `description` is one sentence without passwords, bound values, and the server's DETAIL and CONTEXT, which hold row
/// contents.
public struct PGError: Error, Sendable {
    public enum Kind: String, Sendable {
        /// Connecting failed: address, TLS, authentication, database name.
        case connection
        /// An established connection was lost.
        case connectionLost
        /// The server refused a statement; `sqlState` tells why.
        case server
        /// The server did not reach another one, on which part of the data is, as Citus's coordinator while a node is down.
        case node
        /// The statement was cancelled (SQLSTATE 57014: by request, or by `statement_timeout`).
        case cancelled
        /// The server stayed silent for longer than allowed.
        case timeout
        /// The server's bytes violate the protocol.
        case protocolViolation
        /// A column does not hold the requested type.
        case decoding
        /// The caller passed something that cannot be sent, such as text with a NUL character.
        case invalidUse
    }

    public let kind: Kind
    /// The server's primary message or this library's own, with whitespace collapsed.
    public let message: String
    /// Five characters from PostgreSQL's Appendix A; nil if the error did not come from a server.
    public let sqlState: String?
    /// The statement as the caller wrote it, on one line and shortened to 160 characters.
    public let sql: String?
    /// The server, or libpq on its behalf, did not accept the client's identity.
    public let isAuthenticationFailure: Bool

    package init(
        _ kind: Kind, _ message: String, sqlState: String? = nil, sql: String? = nil,
        authenticationFailed: Bool = false
    ) {
        self.kind = kind
        self.message = oneLine(message, limit: 1000)
        self.sqlState = sqlState
        self.sql = sql.map { oneLine($0, limit: 160) }
        self.isAuthenticationFailure =
            authenticationFailed || sqlState == "28P01" || sqlState == "28000"
    }
}

// MARK: - Classes of SQLSTATE

extension PGError {
    /// The relation does not exist (42P01).
    public var isUndefinedTable: Bool { sqlState == "42P01" }
    /// The type, function or operator class does not exist (42704, 42883), as in a database without
    /// `CREATE EXTENSION vector`.
    public var isUndefinedObject: Bool { sqlState == "42704" || sqlState == "42883" }
    /// The role may not do this (42501).
    public var isInsufficientPrivilege: Bool { sqlState == "42501" }
    /// The database named in the connection does not exist (3D000).
    public var isUndefinedDatabase: Bool { sqlState == "3D000" }
    /// The whole transaction may be retried (40001 serialization failure, 40P01 deadlock).
    public var isSerializationFailure: Bool { sqlState == "40001" || sqlState == "40P01" }
    /// The connection is no longer usable: SQLSTATE class 08, a state with which the server ends a
    /// connection, or libpq lost the socket.
    public var isConnectionLost: Bool {
        if kind == .connectionLost || kind == .timeout { return true }
        guard kind != .connection, kind != .node, let sqlState else { return false }
        return sqlState.hasPrefix("08") || Self.endOfConnection.contains(sqlState)
    }
    /// By an administrator, a crash, a shutdown; after an idle session or transaction (25P03), or a long
    /// transaction (25P04).
    static let endOfConnection = ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"]
    /// The server accepts no connection at the moment: it is starting up or shutting down (57P03), or
    /// out of connection slots (53300).
    public var isTemporarilyUnavailable: Bool { sqlState == "57P03" || sqlState == "53300" }
}

// MARK: - Rendering

extension PGError: CustomStringConvertible, CustomReflectable {
    public var description: String {
        var text =
            switch kind {
            case .connection: "cannot connect to PostgreSQL: " + message
            case .connectionLost: "the connection to PostgreSQL was lost: " + message
            case .node: "a server of the database cluster is down: " + message
            case .protocolViolation: "PostgreSQL's answer violates the protocol: " + message
            case .server, .cancelled, .timeout, .decoding, .invalidUse: message
            }
        guard kind != .node else { return text }
        var notes: [String] = []
        if let sqlState { notes.append("SQLSTATE " + sqlState) }
        if let sql { notes.append("statement: " + sql) }
        if !notes.isEmpty { text += " (" + notes.joined(separator: ", ") + ")" }
        return text
    }

    /// `dump` and `Mirror` show the description.
    public var customMirror: Mirror {
        Mirror(self, children: ["kind": kind, "description": description], displayStyle: .struct)
    }
}

/// `text` with runs of whitespace and control characters replaced by one space, so that a server cannot
/// control the terminal, shortened to `limit` characters.
package func oneLine(_ text: String, limit: Int) -> String {
    let words = text.unicodeScalars.split {
        $0.properties.isWhitespace || $0.value < 0x20 || (0x7F...0x9F).contains($0.value)
    }
    let line = words.map { String($0) }.joined(separator: " ").unicodeScalars
    return line.count > limit ? String(line.prefix(limit)) + "…" : String(line)
}
