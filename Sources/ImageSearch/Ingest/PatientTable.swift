import PGClient

/// A connection to the pictures table that comes back after the server was away. Used by several
/// threads, one after the other.
final class PatientTable: Sendable {
    private struct State {
        var table: PicturesTable?
        /// Whether there ever was a connection: before, a wrong address is more likely than a server
        /// that comes back.
        var wasConnected = false
    }

    /// The connection is only touched with the monitor held.
    private final class Box: @unchecked Sendable {
        var state = State()
    }

    private let box = Monitor(Box())
    private let connect: @Sendable () throws -> PicturesTable
    private let prepare: @Sendable (PicturesTable) throws -> Void
    private let patience: Patience

    /// - Parameter prepare: runs on each new connection before anything else does.
    init(
        patience: Patience, connect: @escaping @Sendable () throws -> PicturesTable,
        prepare: @escaping @Sendable (PicturesTable) throws -> Void = { _ in }
    ) {
        self.patience = patience
        self.connect = connect
        self.prepare = prepare
    }

    /// Runs `body`, again and again while the database is away, for as long as patience lasts. It may
    /// have been carried out although it failed, so repeating it must do no harm.
    func run<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        try box.update { box in try run(&box.state, body) }
    }

    private func run<T>(_ state: inout State, _ body: (PicturesTable) throws -> T) throws -> T {
        var loss = Loss()
        while true {
            do {
                let value = try body(try usable(&state))
                if loss.failures > 0 { patience.note("the database is back") }
                return value
            } catch let error as PGError {
                guard error.isWorthWaiting, state.wasConnected else { throw error }
                if error.isConnectionLost || error.kind == .connection { state.table = nil }
                guard loss.bear(patience, "\(error): trying again") else { throw error }
            }
        }
    }

    private func usable(_ state: inout State) throws -> PicturesTable {
        if let table = state.table, table.isUsable { return table }
        state.table = nil
        let table = try connect()
        state.wasConnected = true
        try prepare(table)
        state.table = table
        return table
    }

    /// Closes the connection.
    func close() {
        box.update { $0.state.table = nil }
    }
}

extension PGError {
    /// Whether the same may work a little later: the server is away, starts, is overloaded (class 53),
    /// has just become a replica (25006), or two transactions were in each other's way.
    var isWorthWaiting: Bool {
        if isAuthenticationFailure || isUndefinedDatabase { return false }
        return isConnectionLost || kind == .connection || isTemporarilyUnavailable
            || isSerializationFailure || sqlState == "25006" || sqlState?.hasPrefix("53") == true
    }
}
