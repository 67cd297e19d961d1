import PGClient
import Testing

@Suite(.enabled(if: Server.isThere)) struct StatementTests {
    @Test func errorsSayWhatTheServerSays() throws {
        let connection = try Server.connect()
        let table = Server.freshName()
        let missing = try #require(throws: PGError.self) {
            try connection.execute("SELECT *\n  FROM \(table)")
        }
        #expect(missing.isUndefinedTable)
        #expect(missing.kind == .server)
        #expect(
            missing.description == "relation \"\(table)\" does not exist "
                + "(SQLSTATE 42P01, statement: SELECT * FROM \(table))")

        // Data exceptions quote their input.
        let input = try #require(throws: PGError.self) {
            try connection.execute("SELECT $1::text::int", [.text("my secret")])
        }
        #expect(input.sqlState == "22P02")
        #expect(input.message == "invalid input syntax for type integer: $1")

        let script = try #require(throws: PGError.self) {
            try connection.executeScript("SELECT 1; SELECT 1/0; SELECT 2")
        }
        #expect(script.sqlState == "22012")

        let nul = try #require(throws: PGError.self) { try connection.execute("SELECT 1\0; x") }
        #expect(nul.kind == .invalidUse)
        let value = try #require(throws: PGError.self) {
            try connection.execute("SELECT $1, $2", [.int32(1), .text("\0")])
        }
        #expect(value.message.hasPrefix("parameter $2 holds a NUL character"))
        let many = try #require(throws: PGError.self) {
            try connection.execute("SELECT 1", [PGValue](repeating: .null, count: 65_536))
        }
        #expect(many.kind == .invalidUse)
        #expect(try connection.execute("SELECT 1")[0].int(0) == 1)
    }

    @Test func rightsAreChecked() throws {
        let connection = try Server.connect()
        let (role, table) = (Server.freshName(), Server.freshName())
        try connection.executeScript("CREATE TABLE \(table) (a int); CREATE ROLE \(role)")
        defer { try? connection.executeScript("DROP TABLE \(table); DROP ROLE \(role)") }
        try connection.execute("SET ROLE \(role)")
        let error = try #require(throws: PGError.self) {
            try connection.execute("SELECT * FROM \(table)")
        }
        try connection.execute("RESET ROLE")
        #expect(error.isInsufficientPrivilege)
        #expect(error.message == "permission denied for table \(table)")
    }

    @Test func transactions() throws {
        let connection = try Server.connect()
        let table = Server.freshName()
        try connection.execute("CREATE TEMP TABLE \(table) (a int PRIMARY KEY)")
        func count() throws -> Int {
            try connection.execute("SELECT count(*) FROM \(table)")[0].int(0)
        }
        let answer = try connection.transaction {
            try connection.execute("INSERT INTO \(table) VALUES (1)")
            #expect(connection.isInTransaction)
            return 42
        }
        #expect(try answer == 42 && count() == 1)
        #expect(!connection.isInTransaction)

        let duplicate = try #require(throws: PGError.self) {
            try connection.transaction {
                try connection.execute("INSERT INTO \(table) VALUES (2)")
                try connection.execute("INSERT INTO \(table) VALUES (1)")
            }
        }
        #expect(duplicate.sqlState == "23505")
        #expect(try count() == 1)

        // An error that the body keeps to itself must not look like a commit.
        let swallowed = try #require(throws: PGError.self) {
            try connection.transaction {
                try connection.execute("INSERT INTO \(table) VALUES (3)")
                _ = try? connection.execute("SELECT 1/0")
            }
        }
        #expect(swallowed.sqlState == "25P02")
        #expect(try count() == 1)

        let nested = try #require(throws: PGError.self) {
            try connection.transaction {
                try connection.transaction {}
            }
        }
        #expect(nested.kind == .invalidUse)
        #expect(!connection.isInTransaction)

        // A constraint that fails at COMMIT.
        let deferred = Server.freshName()
        try connection.execute(
            "CREATE TEMP TABLE \(deferred) (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        let late = try #require(throws: PGError.self) {
            try connection.transaction {
                try connection.execute("INSERT INTO \(deferred) VALUES (1), (1)")
            }
        }
        #expect(late.sqlState == "23505")
        #expect(!connection.isInTransaction)
    }

    @Test func serializationFailure() throws {
        let (one, two) = (try Server.connect(), try Server.connect())
        let table = Server.freshName()
        try one.executeScript(
            "CREATE TABLE \(table) (a int); INSERT INTO \(table) VALUES (0)")
        defer { _ = try? one.execute("DROP TABLE \(table)") }
        let error = try #require(throws: PGError.self) {
            try two.transaction {
                try two.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                try two.execute("SELECT * FROM \(table)")
                try one.execute("UPDATE \(table) SET a = 1")
                try two.execute("UPDATE \(table) SET a = 2")
            }
        }
        #expect(error.isSerializationFailure)
    }

    @Test func cancelFromAnotherThread() throws {
        let connection = try Server.connect()
        let pid = connection.backendProcessID
        let worker = Worker {
            // Once the statement runs, and not before.
            let watcher = try Server.connect()
            while try watcher.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1"
                    + " AND state = 'active' AND query LIKE 'SELECT pg_sleep%'",
                [.int32(Int32(pid))]
            ).isEmpty {}
        }
        let error = try #require(throws: PGError.self) {
            try connection.execute("SELECT pg_sleep(600)")
        }
        try worker.join()
        #expect(error.kind == .cancelled)
        #expect(error.sqlState == "57014")
        #expect(try connection.execute("SELECT 1")[0].int(0) == 1)
    }

    /// As `idle_in_transaction_session_timeout` makes it do, for example while a program is suspended.
    @Test func serverEndsAnIdleTransaction() throws {
        let (connection, other) = (try Server.connect(), try Server.connect())
        try connection.executeScript("SET idle_in_transaction_session_timeout = '20ms'; BEGIN")
        let process = PGValue.int32(Int32(connection.backendProcessID))
        for _ in 0..<500 {
            let rows = try other.execute(
                "SELECT pg_sleep(0.02) FROM pg_stat_activity WHERE pid = $1", [process])
            if rows.isEmpty { break }
        }
        let error = try #require(throws: PGError.self) { try connection.execute("SELECT 1") }
        #expect(error.sqlState == "25P03" && error.isConnectionLost)
        #expect(!connection.isUsable)
    }

    @Test func serverEndsTheSession() throws {
        let (connection, other) = (try Server.connect(), try Server.connect())
        #expect(connection.isUsable)
        try other.execute(
            "SELECT pg_terminate_backend($1)", [.int32(Int32(connection.backendProcessID))])
        let error = try #require(throws: PGError.self) { try connection.execute("SELECT 1") }
        #expect(error.isConnectionLost)
        #expect(!connection.isUsable)
        let again = try #require(throws: PGError.self) { try connection.execute("SELECT 1") }
        #expect(again.isConnectionLost)

        // In a transaction, in a stream and in a COPY.
        func end(_ victim: PGConnection) throws {
            try other.execute(
                "SELECT pg_terminate_backend($1)", [.int32(Int32(victim.backendProcessID))])
        }
        let second = try Server.connect()
        let inTransaction = try #require(throws: PGError.self) {
            try second.transaction {
                try end(second)
                try second.execute("SELECT 1")
            }
        }
        #expect(inTransaction.isConnectionLost)
    }

    @Test func silenceIsNotWaitedForForever() throws {
        let connection = try Server.connect(responseTimeout: .seconds(1))
        #expect(try connection.execute("SELECT 1")[0].int(0) == 1)
        let slow = try connection.withoutResponseTimeout {
            try connection.execute("SELECT pg_sleep(1.5)")
        }
        #expect(slow.count == 1)
        let error = try #require(throws: PGError.self) {
            try connection.execute("SELECT pg_sleep(60)")
        }
        #expect(error.kind == .timeout)
        #expect(error.isConnectionLost)
        #expect(!connection.isUsable)
    }

    @Test func copyIsRefused() throws {
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
    }

    @Test func severalConnectionsAtOnce() throws {
        let table = Server.freshName()
        let connection = try Server.connect()
        try connection.execute("CREATE TABLE \(table) (worker int, n int)")
        defer { _ = try? connection.execute("DROP TABLE \(table)") }
        let workers = (0..<8).map { worker in
            Worker {
                let connection = try Server.connect()
                try connection.execute(
                    "INSERT INTO \(table) SELECT $1, n FROM generate_series(0, 499) AS n",
                    [.int32(Int32(worker))])
                for _ in 0..<20 {
                    let count = try connection.execute(
                        "SELECT count(*) FROM \(table) WHERE worker = $1", [.int32(Int32(worker))])
                    #expect(try count[0].int(0) == 500)
                }
            }
        }
        for worker in workers { try worker.join() }
        #expect(try connection.execute("SELECT count(*) FROM \(table)")[0].int(0) == 4000)
    }

    @Test func handedToAnotherThreadInAMutex() throws {
        let shared = Shared(try Server.connect())
        let workers = (0..<4).map { number in
            Worker {
                for _ in 0..<50 {
                    let answer = try shared.connection.withLock {
                        try $0.execute("SELECT $1", [.int32(Int32(number))])[0].int(0)
                    }
                    #expect(answer == number)
                }
            }
        }
        for worker in workers { try worker.join() }
    }
}
