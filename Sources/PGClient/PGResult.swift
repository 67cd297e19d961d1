import CPostgreSQL

/// The result of a statement: its rows, or the number of rows it affected. Several threads may use it at once.
///
/// Sendable: libpq never changes a result after returning it (manual, "Behavior in Threaded Programs"), and the handle
/// is private to this package.
public final class PGResult: RandomAccessCollection, @unchecked Sendable {
    let handle: OpaquePointer
    package let columnNames: [String]

    /// Takes over a `PGresult`.
    init(_ handle: OpaquePointer) {
        self.handle = handle
        // Columns of a COPY have no names.
        columnNames = (0..<PQnfields(handle)).map { column in
            PQfname(handle, column).map { String(cString: $0) } ?? ""
        }
    }

    deinit { PQclear(handle) }

    public var startIndex: Int { 0 }
    public var endIndex: Int { Int(PQntuples(handle)) }

    /// A row outside the result does not trap; reading one of its columns throws.
    public subscript(index: Int) -> PGRow { PGRow(result: self, index: index) }

    var status: ExecStatusType { PQresultStatus(handle) }

    /// The server's command tag: `SELECT 4`, `INSERT 0 1`, `CREATE TABLE`.
    package var commandTag: String { String(cString: PQcmdStatus(handle)) }

    /// Rows selected, inserted, updated, deleted or copied; 0 for other statements.
    public var affectedRows: Int { Int(String(cString: PQcmdTuples(handle))) ?? 0 }
}

/// One row of a result. Columns are numbered from 0. Every accessor checks the column's type and every byte of the
/// value, and throws a `decoding` error for NULL; check `isNull` first where NULL is possible.
public struct PGRow: Sendable {
    let result: PGResult
    let index: Int

    public func isNull(_ column: Int) throws(PGError) -> Bool {
        try check(column)
        return PQgetisnull(result.handle, Int32(index), Int32(column)) == 1
    }

    /// text, varchar, char(n), name, json, jsonb, xml, and user-defined types whose binary form is UTF-8
    /// (enumerations, citext).
    public func string(_ column: Int) throws(PGError) -> String {
        try read(column, as: "text") { bytes, oid in
            var bytes = bytes
            switch oid {
            case OID.text, OID.varchar, OID.bpchar, OID.name, OID.json, OID.xml, OID.unknown,
                OID.char, OID.firstUserDefined...:
                break
            case OID.jsonb:
                // After the format's version.
                guard bytes.first == 1 else { return nil }
                bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
            default: return nil
            }
            // PostgreSQL's text never contains NUL; the binary form of other types may.
            return bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
        }
    }

    /// int2, int4, int8 and oid.
    public func int(_ column: Int) throws(PGError) -> Int {
        try read(column, as: "an integer") { bytes, oid in
            switch (oid, bytes.count) {
            case (OID.int2, 2): Int(bytes.bigEndian(Int16.self))
            case (OID.int4, 4): Int(bytes.bigEndian(Int32.self))
            case (OID.int8, 8): Int(bytes.bigEndian(Int64.self))
            case (OID.oid, 4): Int(bytes.bigEndian(UInt32.self))
            default: nil
            }
        }
    }

    /// float4 and float8. For numeric, cast it to `double precision` in the statement.
    public func double(_ column: Int) throws(PGError) -> Double {
        try read(column, as: "a floating-point number") { bytes, oid in
            switch (oid, bytes.count) {
            case (OID.float4, 4): Double(Float(bitPattern: bytes.bigEndian(UInt32.self)))
            case (OID.float8, 8): Double(bitPattern: bytes.bigEndian(UInt64.self))
            default: nil
            }
        }
    }

    public func bool(_ column: Int) throws(PGError) -> Bool {
        try read(column, as: "a boolean") { bytes, oid in
            oid == OID.bool && bytes.count == 1 && bytes[0] <= 1 ? bytes[0] == 1 : nil
        }
    }

    /// The value in PostgreSQL's binary format: the contents of a bytea, or what another type's `send` function wrote.
    public func bytes(_ column: Int) throws(PGError) -> [UInt8] {
        try read(column, as: "bytes") { bytes, _ in [UInt8](bytes) }
    }

    /// pgvector's `vector`, `[dimensions]`: int16 dimensions, an unused zero, then the elements.
    public func vector(_ column: Int) throws(PGError) -> [Float] {
        try read(column, as: "a vector") { bytes, oid in
            guard oid >= OID.firstUserDefined, bytes.count > 4 else { return nil }
            let count = Int(bytes.bigEndian(Int16.self))
            guard bytes.bigEndian(Int16.self, at: 2) == 0, bytes.count == 4 + 4 * count else {
                return nil
            }
            return (0..<count).map {
                Float(bitPattern: bytes.bigEndian(UInt32.self, at: 4 + 4 * $0))
            }
        }
    }
}

// MARK: - Checking

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

    /// - Parameter body: gets the value's bytes and its type; gives nil for a type or bytes that it cannot read.
    private func read<Value>(
        _ column: Int, as wanted: String,
        _ body: (UnsafeRawBufferPointer, UInt32) -> Value?
    ) throws(PGError) -> Value {
        try check(column)
        let (handle, row, field) = (result.handle, Int32(index), Int32(column))
        let name = result.columnNames[column]
        if PQgetisnull(handle, row, field) == 1 {
            throw PGError(.decoding, "column \"\(name)\" is NULL where \(wanted) was expected")
        }
        guard PQfformat(handle, field) == 1, let start = PQgetvalue(handle, row, field) else {
            throw PGError(.decoding, "column \"\(name)\" came in text format, not in binary")
        }
        let length = max(0, Int(PQgetlength(handle, row, field)))
        let oid = UInt32(PQftype(handle, field))
        let value = withExtendedLifetime(result) {
            body(UnsafeRawBufferPointer(start: start, count: length), oid)
        }
        if let value { return value }
        let advice = oid == OID.numeric ? "; cast it to double precision" : ""
        throw PGError(
            .decoding, "column \"\(name)\" (type OID \(oid)) does not hold \(wanted)\(advice)")
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        _: Number.Type, at offset: Int = 0
    ) -> Number {
        Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}
