import CPostgreSQL

/// What a statement answered: its rows, or how many rows it touched.
///
/// A result never changes and may be used by several threads at once.
public struct PGResult: RandomAccessCollection, Sendable {
    let storage: ResultStorage

    public let columnNames: [String]

    init(_ storage: ResultStorage) {
        self.storage = storage
        columnNames = (0..<PQnfields(storage.handle)).map {
            String(cString: PQfname(storage.handle, $0))
        }
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { storage.rowCount }

    /// A row outside the result is no trap: reading a column of it throws.
    public subscript(index: Int) -> PGRow { PGRow(result: self, index: index) }

    /// What the server says it did: `SELECT 4`, `INSERT 0 1`, `CREATE TABLE`.
    public var commandTag: String { String(cString: PQcmdStatus(storage.handle)) }

    /// Rows selected, inserted, updated, deleted or copied; 0 for every other statement.
    public var affectedRows: Int { Int(String(cString: PQcmdTuples(storage.handle))) ?? 0 }
}

/// Owns a `PGresult`.
///
/// Sendable: libpq never changes a result that it handed out (manual, "Behavior in Threaded
/// Programs"), the handle is private to this package, and `deinit` runs once.
final class ResultStorage: @unchecked Sendable {
    let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }
    deinit { PQclear(handle) }

    var rowCount: Int { Int(PQntuples(handle)) }
    var status: ExecStatusType { PQresultStatus(handle) }
}

/// How a column is named: by its place, from 0, or by its name.
public protocol PGColumn {
    func index(in row: PGRow) throws(PGError) -> Int
}

extension Int: PGColumn {
    public func index(in row: PGRow) throws(PGError) -> Int { self }
}

extension String: PGColumn {
    public func index(in row: PGRow) throws(PGError) -> Int {
        guard let index = row.columnNames.firstIndex(of: self) else {
            throw PGError(.decoding, "the result has no column \"\(self)\"")
        }
        return index
    }
}
