import PGClient

/// A connection to the pictures table that comes back after the server was away. Used by several
/// threads, one after the other.
///
/// The first connection is waited for, too: that the address is right was seen when the run began.
final class PatientTable: Sendable {
    /// The connection is only touched with the monitor held.
    private final class Box: @unchecked Sendable {
        var table: PicturesTable?
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
        try box.update { box in try run(&box.table, body) }
    }

    private func run<T>(_ table: inout PicturesTable?, _ body: (PicturesTable) throws -> T) throws
        -> T
    {
        var loss = Loss()
        while true {
            do {
                let value = try body(try usable(&table))
                if loss.failures > 0 { patience.note("the database is back") }
                return value
            } catch let error as PGError {
                guard error.isWorthWaiting else { throw error }
                if error.isConnectionLost || error.kind == .connection { table = nil }
                guard loss.bear(patience, "\(error): trying again") else { throw error }
            }
        }
    }

    private func usable(_ table: inout PicturesTable?) throws -> PicturesTable {
        if let table, table.isUsable { return table }
        table = nil
        let new = try connect()
        try prepare(new)
        table = new
        return new
    }

    /// Closes the connection.
    func close() {
        box.update { $0.table = nil }
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
