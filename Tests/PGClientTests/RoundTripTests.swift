import Foundation
import PGClient
import Synchronization
import Testing

@Suite(.enabled(if: Server.isThere)) struct RoundTripTests {
    @Test func integers() throws {
        let connection = try Server.connect()
        let values: [(PGValue, String, Int)] =
            [Int32.min, -1, 0, .max].map { (.int32($0), "int4", Int($0)) }
            + [Int64.min, -1, 0, .max].map { (.int64($0), "int8", Int($0)) }
        for number in [Int16.min, -1, 0, 1, .max] {
            let row = try connection.execute("SELECT $1::int2", [.text("\(number)")])[0]
            #expect(try row.int(0) == Int(number))
        }
        for (value, type, number) in values {
            let row = try connection.execute(
                "SELECT $1, $1::text, pg_typeof($1)::text, 4294967295::oid", [value])[0]
            #expect(try row.int(0) == number)
            #expect(try row.string(1) == String(number))
            #expect(
                try row.string(2)
                    == ["int4": "integer", "int8": "bigint"][type])
            #expect(try row.int(3) == 4_294_967_295)
        }
    }

    @Test func floatsBitForBit() throws {
        let connection = try Server.connect()
        for value in [
            0, -0.0, 1.1, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .infinity, -.infinity,
            .nan,
        ] as [Double] {
            let row = try connection.execute("SELECT $1, $1::text", [.double(value)])[0]
            let back = try row.double(0)
            #expect(back == value || (back.isNaN && value.isNaN))
            #expect(back.sign == value.sign)
        }
        for value in [-0.0, 0.1, .leastNonzeroMagnitude, .greatestFiniteMagnitude] as [Float] {
            let row = try connection.execute("SELECT $1::float4", [.text("\(value)")])[0]
            #expect(try Float(row.double(0)).bitPattern == value.bitPattern)
        }
    }

    @Test func textsAndBytes() throws {
        let connection = try Server.connect()
        let long = String(repeating: "pictures/ž 🐈‍⬛.jpg\n", count: 50_000)
        #expect(long.utf8.count > 1 << 20)
        for text in ["", "a", "'; DROP TABLE x; --", "naïve 🏳️‍🌈 \u{202E} \u{1}", "\u{10FFFF}", long] {
            let row = try connection.execute(
                "SELECT $1, octet_length($1), $1::varchar, md5($1)", [.text(text)])[0]
            #expect(try row.string(0) == text)
            #expect(try row.int(1) == text.utf8.count)
            #expect(try Array(row.string(2).utf8) == Array(text.utf8))
        }
        for bytes in [[], [0], Array(0...255), [UInt8](repeating: 7, count: 1 << 20)]
            as [[UInt8]]
        {
            let row = try connection.execute("SELECT $1, length($1)", [.bytea(bytes)])[0]
            #expect(try row.bytes(0) == bytes)
            #expect(try row.int(1) == bytes.count)
        }
        for texts in [[], [""], ["a", "NULL", "{\"}", "ž"]] as [[String]] {
            let rows = try connection.execute("SELECT unnest($1)", [.textArray(texts)])
            #expect(try rows.map { try $0.string(0) } == texts)
        }
        let json = try connection.execute("SELECT '{\"a\": 1}'::jsonb, '[2]'::json")[0]
        #expect(try json.string(0) == "{\"a\": 1}")
        #expect(try json.string(1) == "[2]")
    }

    @Test func booleansAndNulls() throws {
        let connection = try Server.connect()
        let row = try connection.execute(
            "SELECT $1 AS yes, $2 AS no, $3::int8 AS nothing", [.bool(true), .bool(false), .null])[
                0]
        #expect(try row.bool(0))
        #expect(try !row.bool(1))
        #expect(try row.isNull(2) && !row.isNull(0))
    }

    @Test func vectorsBitForBit() throws {
        let connection = try Server.connectWithVector()
        var generator = SystemRandomNumberGenerator()
        let elements =
            [0, -0.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .pi]
            + (0..<507).map { _ in Float.random(in: -1...1, using: &generator) }
        let row = try connection.execute(
            "SELECT $1::vector, vector_dims($1::vector), $1::vector <=> $1::vector,"
                + " $1::vector::text", [.vector(elements)])[0]
        #expect(try row.vector(0).map(\.bitPattern) == elements.map(\.bitPattern))
        #expect(try row.int(1) == 512)
        let printed = try row.string(3).dropFirst().dropLast().split(separator: ",").map(Float.init)
        #expect(printed == elements)
    }

    @Test func everyTypeIsWhatTheServerWrites() throws {
        // The server reads our bytes and writes its own: they have to be the same.
        let connection = try Server.connectWithVector()
        let table = Server.freshName()
        try connection.execute(
            """
            CREATE TEMP TABLE \(table) (a bool, b bool, c text, d int4, e int8, f float8, g text,
                h text, i bytea, j text[], k text[], l vector)
            """)
        let places = EncodingTests.row.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
        try connection.execute("INSERT INTO \(table) VALUES (\(places))", EncodingTests.row)
        let row = try connection.execute("SELECT * FROM \(table)")[0]
        for (column, value) in EncodingTests.row.enumerated() {
            if try row.isNull(column) {
                #expect(value == .null)
                continue
            }
            var bytes: [UInt8] = []
            try value.encode(into: &bytes, place: "column \(column)")
            #expect(try row.bytes(column) == bytes)
        }
    }

    @Test func tenThousandVectorsBitForBit() throws {
        let connection = try Server.connectWithVector()
        let table = Server.freshName()
        try connection.execute(
            "CREATE TEMP TABLE \(table) (filename text PRIMARY KEY, embedding vector(64))")
        let rows = (0..<10_000).map { number in
            (name: "dir/ž \(number).jpg", vector: (0..<64).map { _ in Float.random(in: -1...1) })
        }
        let type = try connection.execute("SELECT 'vector'::regtype::oid")[0].int(0)
        let stored = try connection.execute(
            "INSERT INTO \(table) SELECT * FROM unnest($1::text[], $2::vector[])",
            [
                .textArray(rows.map(\.name)),
                .vectorArray(rows.map(\.vector), elementType: UInt32(type)),
            ])
        #expect(stored.affectedRows == 10_000)
        let expected = Dictionary(uniqueKeysWithValues: rows.map { ($0.name, $0.vector) })
        var different = 0
        let read = try connection.execute("SELECT filename, embedding FROM \(table)")
        for row in read {
            let (name, vector) = (try row.string(0), try row.vector(1))
            if expected[name]?.map(\.bitPattern) != vector.map(\.bitPattern) { different += 1 }
        }
        #expect(read.count == 10_000)
        #expect(different == 0)
    }

    @Test func serverSaysWhyAVectorIsRefused() throws {
        let connection = try Server.connectWithVector()
        func message(_ value: PGValue, _ type: String) throws -> String {
            try #require(throws: PGError.self) {
                try connection.execute("SELECT $1::\(type)", [value])
            }.message
        }
        #expect(try message(.vector([1, .nan]), "vector") == "NaN not allowed in vector")
        #expect(
            try message(.vector([.infinity]), "vector") == "infinite value not allowed in vector")
        #expect(try message(.vector([1, 2, 3]), "vector(2)") == "expected 2 dimensions, not 3")
        #expect(
            try message(.vector([]), "vector") == "vector must have at least 1 dimension")
    }

    @Test func wrongAccessesThrow() throws {
        let connection = try Server.connectWithVector()
        let result = try connection.execute(
            "SELECT 1 AS i, NULL::text AS n, 'a' AS t, 2.5::numeric AS d, '[1]'::vector AS v,"
                + " ARRAY['x', NULL] AS a, ARRAY[ARRAY['x']] AS aa, '[1]'::halfvec AS h")
        let row = result[0]
        func message<T>(_ body: () throws -> T) throws -> String {
            let error = try #require(throws: PGError.self) { _ = try body() }
            #expect(error.kind == .decoding)
            return error.message
        }
        #expect(
            try message { try row.string(8) } == "the result has 8 columns and none at 8")
        #expect(
            try message { try row.string(-1) } == "the result has 8 columns and none at -1")
        #expect(
            try message { try result[1].int(0) } == "the result has 1 rows and none at 1")
        #expect(
            try message { try row.string(1) }
                == "column \"n\" is NULL where text was expected")
        #expect(
            try message { try row.string(0) }
                == "column \"i\" (type OID 23) does not hold text")
        #expect(
            try message { try row.double(3) } == "column \"d\" (type OID 1700) does not hold a "
                + "floating-point number; cast it to double precision")
        for column in [2, 3, 4] { _ = try message { try row.int(column) } }
        for column in [2, 0, 7] { _ = try message { try row.vector(column) } }
        for column in [4, 7, 5] { _ = try message { try row.string(column) } }
        _ = try message { try row.bool(0) }
    }

    @Test func whatAStatementDid() throws {
        let connection = try Server.connect()
        let table = Server.freshName()
        #expect(
            try connection.execute("CREATE TEMP TABLE \(table) (a int)").commandTag
                == "CREATE TABLE")
        let inserted = try connection.execute(
            "INSERT INTO \(table) SELECT generate_series(1, 5) RETURNING a")
        #expect(inserted.affectedRows == 5)
        #expect(inserted.columnNames == ["a"])
        #expect(try inserted.map { try $0.int(0) } == [1, 2, 3, 4, 5])
        #expect(try connection.execute("").isEmpty)
        try connection.executeScript("DELETE FROM \(table) WHERE a > 2; DELETE FROM \(table)")
        #expect(try connection.execute("SELECT a FROM \(table)").isEmpty)
    }

    @Test func noticesGoToTheClosure() throws {
        let seen = Sink()
        let connection = try Server.connect { notice in seen.add("\(notice)") }
        try connection.executeScript("DO $$ BEGIN RAISE WARNING 'careful'; END $$")
        try connection.execute("DROP TABLE IF EXISTS \(Server.freshName())")
        #expect(seen.all.count == 2)
        #expect(seen.all.first == "careful")
        #expect(seen.all.last?.hasPrefix("table") == true)
    }
}

/// Strings gathered from a `@Sendable` closure.
final class Sink: Sendable {
    private let strings = Mutex<[String]>([])
    func add(_ string: String) { strings.withLock { $0.append(string) } }
    var all: [String] { strings.withLock { $0 } }
}
