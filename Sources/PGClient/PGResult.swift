import CPostgreSQL

/// The result of a statement: its rows, or the number of rows it affected. Immutable, so several threads
/// may use it at once.
public struct PGResult: RandomAccessCollection, Sendable {
    let storage: ResultStorage

    package let columnNames: [String]

    init(_ storage: ResultStorage) {
        self.storage = storage
        columnNames = (0..<PQnfields(storage.handle)).map {
            String(cString: PQfname(storage.handle, $0))
        }
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { storage.rowCount }

    /// A row outside the result does not trap; reading one of its columns throws.
    public subscript(index: Int) -> PGRow { PGRow(result: self, index: index) }

    /// The server's command tag: `SELECT 4`, `INSERT 0 1`, `CREATE TABLE`.
    package var commandTag: String { String(cString: PQcmdStatus(storage.handle)) }

    /// Rows selected, inserted, updated, deleted or copied; 0 for other statements.
    public var affectedRows: Int { Int(String(cString: PQcmdTuples(storage.handle))) ?? 0 }
}

/// Owns a `PGresult`.
///
/// Sendable: libpq never changes a result after returning it (manual, "Behavior in Threaded Programs"),
/// the handle is private to this package, and `deinit` runs once.
final class ResultStorage: @unchecked Sendable {
    let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }
    deinit { PQclear(handle) }

    var rowCount: Int { Int(PQntuples(handle)) }
    var status: ExecStatusType { PQresultStatus(handle) }
}
