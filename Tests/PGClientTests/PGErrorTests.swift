import PGClient
import Testing

@Suite struct PGErrorTests {
    @Test func descriptionIsOneSentenceWithoutDetail() {
        let error = PGError(
            .server, "duplicate key value violates\n  unique constraint \"p\"", sqlState: "23505",
            sql: "INSERT INTO p\n    VALUES ($1)")
        #expect(
            error.description == "duplicate key value violates unique constraint \"p\" "
                + "(SQLSTATE 23505, statement: INSERT INTO p VALUES ($1))")
        var dumped = ""
        dump(error, to: &dumped)
        #expect(dumped.contains(error.description) && !dumped.contains("VALUES ($1)\n    "))
    }

    @Test func longStatementIsShortened() throws {
        let error = PGError(.server, "no", sql: String(repeating: "SELECT 1 ", count: 100))
        let sql = try #require(error.sql)
        #expect(sql.count <= 161)
        #expect(sql.hasSuffix("…"))
    }

    @Test func controlCharactersOfAServerDoNotReachTheTerminal() {
        #expect(PGError(.server, "a\u{1B}[31mb\r\u{07}c\u{9B}d").description == "a [31mb c d")
    }

    @Test func boundTextsAreHidden() {
        #expect(
            hideValues(
                of: [.int32(1), .text("x"), .textArray(["secret text"])],
                in: "invalid input syntax for type integer: \"x\" next to secret text")
                == "invalid input syntax for type integer: $2 next to $3")
    }

    @Test func classesOfSQLSTATE() {
        func error(_ state: String) -> PGError { PGError(.server, "m", sqlState: state) }
        #expect(error("42P01").isUndefinedTable && !error("42501").isUndefinedTable)
        #expect(error("42501").isInsufficientPrivilege)
        #expect(error("42704").isUndefinedObject)
        #expect(error("40001").isSerializationFailure && error("40P01").isSerializationFailure)
        #expect(error("08006").isConnectionLost && error("57P01").isConnectionLost)
        #expect(!error("57014").isConnectionLost)
        #expect(error("28P01").isAuthenticationFailure && error("28000").isAuthenticationFailure)
    }
}
