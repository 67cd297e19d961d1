import PGClient

/// One thread's connection: opened when first needed, and opened anew after it was lost.
final class SearchConnection {
    private let connect: () throws -> PicturesTable
    private var table: PicturesTable?

    init(_ connect: @escaping () throws -> PicturesTable) { self.connect = connect }

    /// Runs a query. A connection that turns out to be dead is replaced and the query run once more,
    /// so that a restart of the server costs no search that comes after it.
    func withTable<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        if let table, table.isUsable {
            do {
                return try body(table)
            } catch let error as PGError where error.isConnectionLost {
                self.table = nil
                // A server that is there but silent would be silent again.
                if error.kind == .timeout { throw error }
            }
        }
        let table = try connect()
        self.table = table
        return try body(table)
    }
}
