import PGClient
import Synchronization
import Testing

@Suite(.enabled(if: Server.isThere)) struct PipelineTests {
    @Test func answersComeInOrder() throws {
        let connection = try Server.connect()
        let answers = try connection.pipeline([
            PGQuery("BEGIN"), PGQuery("SET LOCAL work_mem = '3MB'"),
            PGQuery("SELECT current_setting('work_mem'), $1::int", [.int32(7)]), PGQuery("COMMIT"),
        ])
        #expect(answers.map(\.commandTag) == ["BEGIN", "SET", "SELECT 1", "COMMIT"])
        #expect(try answers[2].first?.string(0) == "3MB" && answers[2].first?.int(1) == 7)
        #expect(!connection.isInTransaction)
        #expect(try connection.execute("SHOW work_mem").first?.string(0) != "3MB")
        #expect(try connection.pipeline([]).isEmpty)
        let many = try connection.pipeline((0..<50).map { PGQuery("SELECT $1::int", [.int32($0)]) })
        #expect(try many.map { try $0.first?.int(0) } == Array(0..<50))
    }

    @Test func theFirstFailureCountsAndTheConnectionStaysUsable() throws {
        let connection = try Server.connect()
        let failing = [
            PGQuery("BEGIN"), PGQuery("SELECT 1/0"), PGQuery("SELECT nonsense"), PGQuery("COMMIT"),
        ]
        for _ in 0..<3 {
            let error = try #require(throws: PGError.self) { try connection.pipeline(failing) }
            #expect(error.sqlState == "22012" && error.sql == "SELECT 1/0")
            #expect(connection.isUsable && !connection.isInTransaction)
            #expect(try connection.execute("SELECT 5").first?.int(0) == 5)
        }
        // Refused before it is sent.
        let refused = try #require(throws: PGError.self) {
            try connection.pipeline([
                PGQuery("BEGIN"), PGQuery("SELECT $1", [.text("\0")]), PGQuery("COMMIT"),
            ])
        }
        #expect(refused.kind == .invalidUse && !connection.isInTransaction)
        #expect(try connection.execute("SELECT 6").first?.int(0) == 6)
    }

    @Test func aLostConnectionIsTold() throws {
        let connection = try Server.connect()
        let error = try #require(throws: PGError.self) {
            try connection.pipeline([
                PGQuery("SELECT pg_terminate_backend(pg_backend_pid())"), PGQuery("SELECT 1"),
            ])
        }
        #expect(error.isConnectionLost && !connection.isUsable)
    }

    /// The connection is reset before the pipeline is sent. libpq finds out while it sends the first 8 kB and
    /// keeps it to itself; then `PQpipelineSync` fails.
    @Test func aPipelineThatCannotBeSentEndsTheConnection() throws {
        let isCut = Mutex(false)
        let proxy = try FakeServer.forwarding {
            isCut.withLock { isCut in
                defer { isCut = false }
                return isCut
            }
        }
        let uri = try Server.variant { $0.port = proxy.port }
        let connection = try PGConnection(uri: uri)
        #expect(try connection.execute("SELECT 1").first?.int(0) == 1)
        isCut.withLock { $0 = true }
        // The proxy takes a connection when the one before is closed.
        let next = try PGConnection(uri: uri)
        let error = try #require(throws: PGError.self) {
            try connection.pipeline([
                PGQuery("SELECT $1", [.text(String(repeating: "x", count: 10_000))])
            ])
        }
        #expect(error.isConnectionLost && !connection.isUsable)
        let again = try #require(throws: PGError.self) { try connection.execute("SELECT 1") }
        #expect(again.kind == .connectionLost)
        #expect(try next.pipeline([PGQuery("SELECT 3")])[0].first?.int(0) == 3)
    }

    @Test func silenceEndsAPipeline() throws {
        let connection = try Server.connect(responseTimeout: .seconds(1))
        let error = try #require(throws: PGError.self) {
            try connection.pipeline([PGQuery("SELECT 1"), PGQuery("SELECT pg_sleep(60)")])
        }
        #expect(error.kind == .timeout && !connection.isUsable)
    }
}
