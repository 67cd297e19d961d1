import Foundation
import PGClient
import Testing

/// libpq reads the strings; here stands what must not come out again.
@Suite struct ConnectionStringTests {
    /// Strings that libpq refuses or misreads, each with `s3cr` and `etPW` somewhere in what the
    /// writer meant as the password.
    static let broken = [
        "postgres://u:s3cr%etPW@h/db",
        "postgres://u:s3cr%00etPW@h/db",
        "postgres://u:s3cr@etPW@h/db",
        "postgres://u:s3cr/etPW@h/db",
        "postgres://u:s3cr/etPW?x@h/db",
        "postgres://u:s3cr/a?etPW=1@h/db",
        "postgres://u:s3cretPW@[::1/db",
        "postgres://u:s3cretPW@[]/db",
        "postgres://u:s3cretPW@[::1]x/db",
        "postgres://u@h/db?password=s3cr=etPW",
        "postgres://u@h/db?password=s3cr%zzetPW",
        "postgres://u@h/db?passwordx=s3cretPW&s3cretPW",
        "postgres://u@h/db?s3cretPW",
        "host=h password=s3cr etPW dbname=d",
        "host=h password='s3cretPW dbname=d",
        "host=h password=s3cr etPW=x",
        "s3cretPW",
        "s3cr\"et\"PW",
        "host=h password=s3cr \"etPW\" x\"etPW",
    ]

    @Test(arguments: broken)
    func brokenStringIsRefusedWithoutItsSecret(_ text: String) throws {
        let error = try #require(throws: PGError.self) { try PGConnection(uri: text) }
        #expect(error.kind == .connection)
        var dumped = ""
        dump(error, to: &dumped)
        for rendering in ["\(error)", String(reflecting: error), dumped] {
            for secret in ["s3cr", "etPW"] { #expect(!rendering.contains(secret)) }
            #expect(!rendering.contains("\n") || rendering == dumped)
        }
    }

    @Test func misspeltParameterIsNamed() throws {
        let error = try #require(throws: PGError.self) {
            try PGConnection(uri: "postgres://u:s3cretPW@h/db?sslmod=require")
        }
        #expect(
            error.description == "cannot connect to PostgreSQL: the connection string cannot be "
                + "read: invalid URI query parameter: \"sslmod\"")
    }

    @Test(arguments: ["", " \n"])
    func emptyStringIsRefused(_ text: String) throws {
        let error = try #require(throws: PGError.self) { try PGConnection(uri: text) }
        #expect(error.message == "the connection string is empty")
    }

    @Test func nulIsRefused() throws {
        let error = try #require(throws: PGError.self) { try PGConnection(uri: "host=h\0 user=u") }
        #expect(error.message == "the connection string holds a NUL character")
    }

    @Test(arguments: [
        "postgres://us:p%40ss%2Fw%3A1@h:5/db?sslpassword=k%20y7&passfile=/s/pf1",
        "postgresql://us@h:5/db?password=p%40ss%2Fw%3A1&sslpassword=k%20y7&passfile=/s/pf1",
        "user=us host=h port=5 password='p@ss/w:1' sslpassword='k y7' passfile=/s/pf1",
    ])
    func secretsAreScrubbedWhereverTheyOccur(_ text: String) throws {
        let string = try ConnectionString(text)
        #expect(string.parameters["password"] == "p@ss/w:1")
        let echo = string.scrub("no \"\(text)\": p@ss/w:1 \"x p@ss/w:1\" k y7 /s/pf1")
        for secret in ["p@ss", "p%40ss", "k y7", "k%20y7", "pf1"] {
            #expect(!echo.contains(secret), "\(echo)")
        }
        var dumped = ""
        dump(string, to: &dumped)
        #expect(!(dumped + "\(string)" + String(reflecting: string)).contains("ss"))
    }

    @Test func fixedWordsAndNamesStay() throws {
        // Taking them out would tell that they are the password.
        let string = try ConnectionString("postgres://clip:password@clip:5432/db")
        let message = "password authentication failed for user \"clip\", not \"password\""
        #expect(
            string.scrub(message)
                == "password authentication failed for user \"clip\", not \"***\"")
        let same = try ConnectionString("postgres://clip:clip@db/clip")
        #expect(same.scrub("no user \"clip\"") == "no user \"clip\"")
    }

    @Test func quotesInThePasswordDoNotHideIt() throws {
        let string = try ConnectionString("host=h password=a\"b\"c9")
        #expect(string.scrub("seen \"a\"b\"c9\" there") == "seen \"***\" there")
    }

    @Test func messagesOfSeveralHostsBecomeOneSentence() {
        let (text, state) = flatten(
            """
            connection to server at "a" (10.0.0.1), port 1 failed: Connection refused
            \tIs the server running on that host and accepting TCP/IP connections?
            connection to server at "b", port 2 failed: FATAL:  28P01: password failed
            DETAIL:  data
            HINT:  Try again.
            LOCATION:  auth_failed, auth.c:335

            """)
        #expect(
            text == "connection to server at \"a\" (10.0.0.1), port 1 failed: Connection refused "
                + "(Is the server running on that host and accepting TCP/IP connections?); "
                + "connection to server at \"b\", port 2 failed: FATAL: password failed "
                + "(Try again.)")
        #expect(state == "28P01")
    }
}
