import PGClient

/// Asks on a connection of its own how far another one is with building an index.
final class IndexWatch: Sendable {
    private struct State {
        var isOver = false
        var isDone = false
        var part = 1
        var parts = 1
    }

    private let state = Monitor(State())

    /// - Parameter process: the server process that builds.
    init(
        uri: String, process: Int, _ report: @escaping @Sendable (IndexProgress) -> Void
    ) throws {
        try WorkerThread.start { [state] in
            // Not knowing how far it is is no reason to stop building.
            let connection = try? PGConnection(
                uri: uri, applicationName: "create-table", responseTimeout: .seconds(30))
            while let connection, connection.isUsable {
                let isOver = state.wait(milliseconds: 500) { $0.isOver ? true : nil } ?? false
                if isOver { break }
                let (part, parts) = state.read { ($0.part, $0.parts) }
                if let progress = try? Self.ask(connection, process, part, parts) {
                    report(progress)
                }
            }
            state.update { $0.isDone = true }
        }
    }

    func begin(part: Int, of parts: Int) {
        state.update { ($0.part, $0.parts) = (part, parts) }
    }

    /// Returns when nothing more will be reported.
    func stop() {
        state.update { $0.isOver = true }
        _ = state.wait { $0.isDone ? true : nil }
    }

    private static func ask(
        _ connection: PGConnection, _ process: Int, _ part: Int, _ parts: Int
    ) throws -> IndexProgress? {
        let rows = try connection.execute(
            """
            SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total
            FROM pg_stat_progress_create_index WHERE pid = $1
            """, [.int32(Int32(clamping: process))])
        guard let row = rows.first else { return nil }
        func fraction(_ done: Int, _ total: Int) throws -> Double? {
            let (done, total) = (try row.int(done), try row.int(total))
            return total > 0 ? min(1, Double(done) / Double(total)) : nil
        }
        return IndexProgress(
            phase: try row.string(0), fraction: try fraction(1, 2) ?? fraction(3, 4),
            part: part, parts: parts)
    }
}
