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

/// One row of a result. Columns are numbered from 0. Every accessor checks the column's type and every
/// byte of the value, and throws a `decoding` error for NULL; check `isNull` first where NULL is possible.
public struct PGRow: Sendable {
    let result: PGResult
    let index: Int

    public func isNull(_ column: Int) throws(PGError) -> Bool {
        try check(column)
        return PQgetisnull(result.storage.handle, Int32(index), Int32(column)) == 1
    }

    /// text, varchar, char(n), name, json, jsonb, xml, and user-defined types whose binary form is UTF-8
    /// (enumerations, citext).
    public func string(_ column: Int) throws(PGError) -> String {
        try read(column, as: "text") { bytes, oid in
            var bytes = bytes
            switch oid {
            case OID.text, OID.varchar, OID.bpchar, OID.name, OID.json, OID.xml, OID.unknown,
                OID.char:
                break
            case OID.jsonb:
                guard bytes.first == 1 else { return .corrupt }
                bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
            case OID.firstUserDefined...: break
            default: return .wrongType
            }
            // PostgreSQL's text never contains NUL; the binary form of other types may.
            guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
                return oid >= OID.firstUserDefined ? .wrongType : .corrupt
            }
            return .value(text)
        }
    }

    /// int2, int4, int8 and oid.
    public func int(_ column: Int) throws(PGError) -> Int {
        try read(column, as: "an integer") { bytes, oid in
            switch (oid, bytes.count) {
            case (OID.int2, 2): .value(Int(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self))))
            case (OID.int4, 4): .value(Int(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self))))
            case (OID.int8, 8): .value(Int(Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))))
            case (OID.oid, 4): .value(Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))))
            case (OID.int2, _), (OID.int4, _), (OID.int8, _), (OID.oid, _): .corrupt
            default: .wrongType
            }
        }
    }

    /// float4 and float8. For numeric, cast it to `double precision` in the statement.
    public func double(_ column: Int) throws(PGError) -> Double {
        try read(column, as: "a floating-point number") { bytes, oid in
            switch (oid, bytes.count) {
            case (OID.float4, 4): .value(Double(bytes.bigEndianFloat(at: 0)))
            case (OID.float8, 8):
                .value(
                    Double(bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))))
            case (OID.float4, _), (OID.float8, _): .corrupt
            default: .wrongType
            }
        }
    }

    public func bool(_ column: Int) throws(PGError) -> Bool {
        try read(column, as: "a boolean") { bytes, oid in
            guard oid == OID.bool else { return .wrongType }
            guard bytes.count == 1, bytes[0] <= 1 else { return .corrupt }
            return .value(bytes[0] == 1)
        }
    }

    /// The value in PostgreSQL's binary format: the contents of a bytea, or what another type's `send`
    /// function wrote.
    public func bytes(_ column: Int) throws(PGError) -> [UInt8] {
        try read(column, as: "bytes") { bytes, _ in .value([UInt8](bytes)) }
    }

    /// pgvector's `vector`, `[dimensions]`.
    public func vector(_ column: Int) throws(PGError) -> [Float] {
        try read(column, as: "a vector") { bytes, oid in
            guard oid >= OID.firstUserDefined else { return .wrongType }
            guard let count = bytes.dimensions, bytes.count == 4 + 4 * count else {
                return .wrongType
            }
            return .value((0..<count).map { bytes.bigEndianFloat(at: 4 + 4 * $0) })
        }
    }
}

// MARK: - Checking

private enum Reading<Value> {
    case value(Value)
    case wrongType
    case corrupt
}

extension PGRow {
    private func check(_ column: Int) throws(PGError) {
        guard result.columnNames.indices.contains(column) else {
            throw PGError(
                .decoding,
                "the result has \(result.columnNames.count) columns and none at \(column)")
        }
        guard result.indices.contains(index) else {
            throw PGError(.decoding, "the result has \(result.count) rows and none at \(index)")
        }
    }

    private func read<Value>(
        _ column: Int, as wanted: String,
        _ body: (UnsafeRawBufferPointer, UInt32) -> Reading<Value>
    ) throws(PGError) -> Value {
        try check(column)
        let handle = result.storage.handle
        let (row, field) = (Int32(index), Int32(column))
        let name = result.columnNames[column]
        if PQgetisnull(handle, row, field) == 1 {
            throw PGError(.decoding, "column \"\(name)\" is NULL where \(wanted) was expected")
        }
        guard PQfformat(handle, field) == 1, let start = PQgetvalue(handle, row, field) else {
            throw PGError(.decoding, "column \"\(name)\" came in text format, not in binary")
        }
        let length = max(0, Int(PQgetlength(handle, row, field)))
        let oid = UInt32(PQftype(handle, field))
        let reading = withExtendedLifetime(result.storage) {
            body(UnsafeRawBufferPointer(start: start, count: length), oid)
        }
        switch reading {
        case .value(let value): return value
        case .wrongType:
            let advice = oid == OID.numeric ? "; cast it to double precision" : ""
            throw PGError(
                .decoding, "column \"\(name)\" (type OID \(oid)) does not hold \(wanted)\(advice)")
        case .corrupt:
            throw PGError(
                .decoding,
                "column \"\(name)\" should hold \(wanted), but its \(length) bytes are invalid")
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The header of a `vector`: int16 dimensions, then an unused zero.
    fileprivate var dimensions: Int? {
        guard count >= 4 else { return nil }
        let dimensions = Int16(bigEndian: loadUnaligned(as: Int16.self))
        let unused = loadUnaligned(fromByteOffset: 2, as: Int16.self)
        return dimensions > 0 && unused == 0 ? Int(dimensions) : nil
    }

    fileprivate func bigEndianFloat(at offset: Int) -> Float {
        Float(
            bitPattern: UInt32(
                bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }
}
