/// A value bound to `$1`, `$2`, …, in PostgreSQL's binary format.
///
/// The formats are those of the types' `send` functions: big-endian integers and IEEE 754 floats,
/// UTF-8 text; `vector` as in pgvector's `vector_send`.
public enum PGValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case int32(Int32)
    case int64(Int64)
    case double(Double)
    case text(String)
    case bytea([UInt8])
    case textArray([String])
    case byteaArray([[UInt8]])
    /// pgvector's `vector`: 1 to 16,000 finite float4. The server infers the type from the
    /// statement, so write `$1::vector` where a column or operator does not say it.
    case vector([Float])
    /// An array of pgvector's `vector`, whose object identifier (`pg_type.oid`) differs from database to database.
    case vectorArray([[Float]], elementType: UInt32)
}

enum OID {
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let char: UInt32 = 18
    static let name: UInt32 = 19
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let oid: UInt32 = 26
    static let json: UInt32 = 114
    static let xml: UInt32 = 142
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let unknown: UInt32 = 705
    static let byteaArray: UInt32 = 1001
    static let textArray: UInt32 = 1009
    static let bpchar: UInt32 = 1042
    static let varchar: UInt32 = 1043
    static let numeric: UInt32 = 1700
    static let jsonb: UInt32 = 3802
    /// Extensions, enumerations and every other type made by users start here.
    static let firstUserDefined: UInt32 = 16384
}

extension PGValue {
    /// The parameter's type, as src/include/catalog/pg_type.dat numbers it. 0 lets the server infer it,
    /// since an extension's types have another number in each database.
    var oid: UInt32 {
        switch self {
        case .null, .vector, .vectorArray: 0
        case .bool: OID.bool
        case .int32: OID.int4
        case .int64: OID.int8
        case .double: OID.float8
        case .text: OID.text
        case .bytea: OID.bytea
        case .textArray: OID.textArray
        case .byteaArray: OID.byteaArray
        }
    }

    /// Appends the value's bytes, without a length; nothing for `null`. `place` names the value in
    /// an error ("parameter $2").
    package func encode(into buffer: inout [UInt8], place: @autoclosure () -> String)
        throws(PGError)
    {
        switch self {
        case .null: break
        case .bool(let value): buffer.append(value ? 1 : 0)
        case .int32(let value): buffer.appendBigEndian(value)
        case .int64(let value): buffer.appendBigEndian(value)
        case .double(let value): buffer.appendBigEndian(value.bitPattern)
        case .bytea(let value): buffer.append(contentsOf: value)
        case .text(let value): try Self.encode(value, into: &buffer, place: place())
        case .textArray(let values):
            try Self.encode(values.map(Self.text), of: OID.text, into: &buffer, place: place())
        case .byteaArray(let values):
            try Self.encode(values.map(Self.bytea), of: OID.bytea, into: &buffer, place: place())
        case .vectorArray(let vectors, let type):
            try Self.encode(vectors.map(Self.vector), of: type, into: &buffer, place: place())
        case .vector(let elements):
            // vector_recv reads two int16: the number of dimensions, then an unused zero.
            guard let dimensions = Int16(exactly: elements.count) else {
                throw PGError(
                    .invalidUse,
                    "\(place()) is a vector of \(elements.count) dimensions, which is too many")
            }
            buffer.appendBigEndian(dimensions)
            buffer.appendBigEndian(Int16(0))
            // A closure: a key path would be looked up for each element.
            elements.map { $0.bitPattern.bigEndian }.withUnsafeBytes {
                buffer.append(contentsOf: $0)
            }
        }
    }

    private static func encode(_ text: String, into buffer: inout [UInt8], place: String)
        throws(PGError)
    {
        let start = buffer.count
        buffer.append(contentsOf: text.utf8)
        guard !buffer[start...].contains(0) else {
            throw PGError(
                .invalidUse,
                "\(place) holds a NUL character, which PostgreSQL cannot store in text")
        }
    }

    /// array_send: dimensions, "has NULLs", element type; per dimension length and lower bound; then each element after
    /// its length. PostgreSQL's empty array has no dimension at all, and its values have at most 1 GB.
    private static func encode(
        _ elements: [PGValue], of type: UInt32, into buffer: inout [UInt8], place: String
    ) throws(PGError) {
        guard elements.count <= Int(Int32.max) else { throw tooLong(place) }
        buffer.appendBigEndian(Int32(elements.isEmpty ? 0 : 1))
        buffer.appendBigEndian(Int32(0))
        buffer.appendBigEndian(type)
        guard !elements.isEmpty else { return }
        buffer.appendBigEndian(Int32(elements.count))
        buffer.appendBigEndian(Int32(1))
        for element in elements {
            let start = buffer.count
            buffer.appendBigEndian(Int32(0))
            try element.encode(into: &buffer, place: place)
            let length = buffer.count - start - 4
            guard length < 1 << 30 else { throw tooLong(place) }
            withUnsafeBytes(of: Int32(length).bigEndian) {
                buffer.replaceSubrange(start..<start + 4, with: $0)
            }
        }
    }

    private static func tooLong(_ place: String) -> PGError {
        PGError(.invalidUse, "\(place) is too long for PostgreSQL")
    }
}

extension [UInt8] {
    fileprivate mutating func appendBigEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}
