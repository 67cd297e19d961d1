import PGClient
import Testing

/// Our bytes against bytes that PostgreSQL 16 with pgvector 0.8.5 wrote:
///
///     psql -c "COPY (SELECT true, false, NULL::text, 2147483647::int4, (-9223372036854775808)::int8,
///         (-0.1)::float8, 'naïve 🐈', '', '\x00ff10'::bytea, ARRAY['a','','ž'], ARRAY[]::text[],
///         '[1,-2.5,3.25e-7]'::vector) TO STDOUT (FORMAT binary)" | xxd -p -c 32
@Suite struct EncodingTests {
    static let golden = """
        5047434f50590aff0d0a000000000000000000000c00000001010000000100ff
        ffffff000000047fffffff00000008800000000000000000000008bfb9999999
        99999a0000000b6e61c3af766520f09f9088000000000000000300ff10000000
        2300000001000000000000001900000003000000010000000161000000000000
        0002c5be0000000c00000000000000000000001900000010000300003f800000
        c020000034ae7ba9ffff
        """

    static let row: [PGValue] = [
        .bool(true), .bool(false), .null, .int32(.max), .int64(.min), .double(-0.1),
        .text("naïve 🐈"), .text(""), .bytea([0, 0xFF, 0x10]), .textArray(["a", "", "ž"]),
        .textArray([]), .vector([1, -2.5, 3.25e-7]),
    ]

    @Test func rowIsWhatPostgreSQLWrites() throws {
        // The manual's COPY, "Binary Format": a header, the number of fields, each with its length, the end.
        var bytes = Array("PGCOPY\n".utf8) + [0xFF] + Array("\r\n\0".utf8)
        bytes += [UInt8](repeating: 0, count: 8)
        func append(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.bigEndian) { bytes += $0 }
        }
        append(Int16(Self.row.count))
        for value in Self.row {
            var field: [UInt8] = []
            try value.encode(into: &field, place: "a field")
            append(value == .null ? -1 : Int32(field.count))
            bytes += field
        }
        append(Int16(-1))
        let hex = bytes.map { byte in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }.joined()
        #expect(hex == Self.golden.filter { !$0.isNewline })
    }

    @Test(arguments: [PGValue.text("a\0b"), .textArray(["ok", "\0"])])
    func nulInTextIsRefused(_ value: PGValue) throws {
        var bytes: [UInt8] = []
        let error = try #require(throws: PGError.self) {
            try value.encode(into: &bytes, place: "parameter $3")
        }
        #expect(
            error.description
                == "parameter $3 holds a NUL character, which PostgreSQL cannot store in text")
        #expect(error.kind == .invalidUse)
    }

    @Test func tooManyDimensionsAreRefused() throws {
        var bytes: [UInt8] = []
        let zeros = [Float](repeating: 0, count: 32768)
        #expect(throws: PGError.self) {
            try PGValue.vector(zeros).encode(into: &bytes, place: "it")
        }
        try PGValue.vector([Float](zeros.dropLast())).encode(into: &bytes, place: "it")
        #expect(bytes.count == 4 + 4 * 32767)
    }
}
