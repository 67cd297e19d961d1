import PGClient
import Testing

@Suite(.enabled(if: Server.isThere)) struct CopyTests {
    @Test func everyTypeIsWhatTheServerWrites() throws {
        // The server reads our bytes and writes its own: they have to be the same.
        let connection = try Server.connectWithVector()
        let table = Server.freshName()
        try connection.execute(
            """
            CREATE TEMP TABLE \(table) (a bool, b bool, c text, d int4, e int8, f float8, g text,
                h text, i bytea, j text[], k text[], l vector)
            """)
        let copied = try connection.copyIn("COPY \(table) FROM STDIN (FORMAT binary)") { writer in
            for _ in 0..<3 { try writer.write(EncodingTests.row) }
            #expect(writer.rowCount == 3)
        }
        #expect(copied == 3)
        for row in try connection.execute("SELECT * FROM \(table)") {
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
    }

    @Test func tenThousandVectorsBitForBit() throws {
        let connection = try Server.connectWithVector()
        let table = Server.freshName()
        try connection.execute(
            "CREATE TEMP TABLE \(table) (filename text PRIMARY KEY, embedding vector(64))")
        let rows = (0..<10_000).map { number in
            (name: "dir/ž \(number).jpg", vector: (0..<64).map { _ in Float.random(in: -1...1) })
        }
        let count = try connection.copyIn(
            "COPY \(table) (filename, embedding) FROM STDIN (FORMAT binary)"
        ) { writer in
            for row in rows { try writer.write([.text(row.name), .vector(row.vector)]) }
        }
        #expect(count == 10_000)
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

    @Test func nothingStaysOfACopyThatFails() throws {
        let connection = try Server.connectWithVector()
        let table = Server.freshName()
        try connection.execute(
            "CREATE TABLE \(table) (filename text PRIMARY KEY, embedding vector(3))")
        defer { _ = try? connection.execute("DROP TABLE \(table)") }
        let copy = "COPY \(table) FROM STDIN (FORMAT binary)"
        func rowsLeft() throws -> Int {
            try connection.execute("SELECT count(*) FROM \(table)")[0].int(0)
        }

        // A key twice: known to the server before the end, and far behind the first rows.
        let twice = try #require(throws: PGError.self) {
            try connection.copyIn(copy) { writer in
                for number in 0..<20_000 {
                    try writer.write([.text("private \(number % 15_000)"), .vector([1, 2, 3])])
                }
            }
        }
        #expect(twice.sqlState == "23505")
        #expect(!twice.description.contains("private"))
        #expect(try rowsLeft() == 0)

        // A vector that does not fit, in the last row.
        let dimensions = try #require(throws: PGError.self) {
            try connection.copyIn(copy) { writer in
                try writer.write([.text("a"), .vector([1, 2, 3])])
                try writer.write([.text("b"), .vector([1, 2])])
            }
        }
        #expect(dimensions.message == "expected 3 dimensions, not 2")
        #expect(try rowsLeft() == 0)

        // A value of another type than the column's.
        let type = try #require(throws: PGError.self) {
            try connection.copyIn(copy) { try $0.write([.text("a"), .int32(7)]) }
        }
        #expect(type.kind == .server)

        // The producer gives up; its own error comes out.
        struct Enough: Error {}
        #expect(throws: Enough.self) {
            try connection.copyIn(copy) { writer in
                for number in 0..<5000 { try writer.write([.text("\(number)"), .null]) }
                throw Enough()
            }
        }
        let nul = try #require(throws: PGError.self) {
            try connection.copyIn(copy) { try $0.write([.text("private\0"), .null]) }
        }
        #expect(
            nul.message == "column 1 in row 1 of COPY holds a NUL character, which PostgreSQL "
                + "cannot store in text")
        #expect(throws: PGError.self) {
            try connection.copyIn(copy) { try $0.write([.text("one column")]) }
        }
        #expect(try rowsLeft() == 0)

        // And the connection still works.
        #expect(try connection.copyIn(copy) { try $0.write([.text("a"), .null]) } == 1)
        #expect(try connection.copyIn(copy) { _ in } == 0)
        #expect(try rowsLeft() == 1)
    }

    @Test func copyInATransactionIsRolledBackWithIt() throws {
        let connection = try Server.connect()
        let table = Server.freshName()
        try connection.execute("CREATE TEMP TABLE \(table) (a int)")
        struct Enough: Error {}
        #expect(throws: Enough.self) {
            try connection.transaction {
                try connection.copyIn("COPY \(table) FROM STDIN (FORMAT binary)") {
                    try $0.write([.int32(1)])
                }
                throw Enough()
            }
        }
        #expect(try connection.execute("SELECT * FROM \(table)").isEmpty)
    }

    @Test func statementsThatAreNoSuchCopyAreRefused() throws {
        let connection = try Server.connect()
        let table = Server.freshName()
        try connection.execute("CREATE TEMP TABLE \(table) (a int)")
        let bodies: [(String) throws -> Void] = [
            { sql in try connection.execute(sql) },
            { sql in try connection.executeScript(sql) },
        ]
        for body in bodies {
            for sql in ["COPY \(table) FROM STDIN", "COPY \(table) TO STDOUT"] {
                let error = try #require(throws: PGError.self) { try body(sql) }
                #expect(error.kind == .invalidUse)
                #expect(try connection.execute("SELECT 1")[0].int(0) == 1)
            }
        }
        for sql in ["COPY \(table) FROM STDIN", "COPY \(table) TO STDOUT", "SELECT 1", ""] {
            let error = try #require(throws: PGError.self) {
                try connection.copyIn(sql) { _ in }
            }
            #expect(error.kind == .invalidUse)
            #expect(try connection.execute("SELECT 1")[0].int(0) == 1)
        }
        let error = try #require(throws: PGError.self) {
            try connection.copyIn("COPY no_such_table FROM STDIN (FORMAT binary)") { _ in }
        }
        #expect(error.isUndefinedTable)
        #expect(try connection.execute("SELECT 1")[0].int(0) == 1)
    }
}
