import Foundation
import PGClient
import Synchronization
import TestSupport
import Testing

/// The way to share a connection that the compiler accepts.
final class Shared: Sendable {
    let connection: Mutex<PGConnection>
    init(_ connection: sending PGConnection) { self.connection = Mutex(connection) }
}

@Suite(.enabled(if: Server.isThere)) struct ConnectingTests {
    @Test func whatAConnectionSaysOfItself() throws {
        let connection = try Server.connect()
        #expect(try connection.execute("SHOW client_encoding")[0].string(0) == "UTF8")
        let row = try connection.execute(
            "SELECT current_setting('server_version_num')::int, pg_backend_pid(),"
                + " current_setting('application_name')")[0]
        #expect(try connection.serverVersion == row.int(0))
        #expect(try connection.backendProcessID == row.int(1))
        #expect(try row.string(2) == "pg-client-tests")
        #expect(!connection.isInTransaction)
        #expect(try !connection.isPooled() && !connection.refusesTransactions())
        #expect(!connection.isInTransaction)

        var dumped = "\(connection)" + String(reflecting: connection)
        dump(connection, to: &dumped)
        dump(try connection.execute("SELECT 1"), to: &dumped)
        #expect(try !dumped.contains(Server.password))
    }

    @Test func keyValueStringAndSocketOptions() throws {
        let uri = try #require(Server.uri.flatMap { URLComponents(string: $0) })
        let connection = try PGConnection(
            uri: "host=\(uri.host ?? "") port=\(uri.port ?? 0) user=\(uri.user ?? "") "
                + "password='\(Server.password)' dbname=\(uri.path.dropFirst()) "
                + "application_name=mine options='-c statement_timeout=4711'")
        let row = try connection.execute(
            "SELECT current_setting('application_name'), current_setting('statement_timeout')")[0]
        #expect(try row.string(0) == "mine")
        #expect(try row.string(1) == "4711ms")
    }

    @Test func wrongPassword() throws {
        for password in ["wr0ng/p@ss", "wr0ng p%ss"] {
            let uri = try Server.variant { $0.password = password }
            let error = try #require(throws: PGError.self) { try PGConnection(uri: uri) }
            #expect(error.kind == .connection)
            #expect(error.isAuthenticationFailure)
            #expect(error.sqlState == "28P01")
            #expect(error.message.contains("password authentication failed for user"))
            #expect(!error.description.contains("wr0ng"))
        }
        let none = try Server.variant { $0.password = nil }
        let error = try #require(throws: PGError.self) {
            try PGConnection(uri: none + "&passfile=/nonexistent/pa55")
        }
        #expect(error.isAuthenticationFailure)
        #expect(error.message.contains("no password supplied"))
        #expect(!error.description.contains("pa55"))
    }

    @Test func noSuchDatabase() throws {
        let uri = try Server.variant { $0.path = "/no_such_db" }
        let error = try #require(throws: PGError.self) { try PGConnection(uri: uri) }
        #expect(error.isUndefinedDatabase)
        #expect(error.message.hasSuffix("FATAL: database \"no_such_db\" does not exist"))
        #expect(!error.isAuthenticationFailure)
    }

    @Test func serverWithoutTLSIsRefusedWhereTLSIsRequired() throws {
        let plain = try Server.connect()
        guard try plain.execute("SHOW ssl")[0].string(0) == "off"
        else { return }
        for mode in ["require", "verify-full"] {
            let uri = try Server.variant { $0.query = "sslmode=\(mode)" }
            let error = try #require(throws: PGError.self) { try PGConnection(uri: uri) }
            #expect(error.kind == .connection)
            #expect(!error.description.contains(try Server.password))
        }
    }

    @Test func nextHostIsTriedWhenOneRefuses() throws {
        let parts = try #require(Server.uri.flatMap { URLComponents(string: $0) })
        let (host, port) = (parts.host ?? "", parts.port ?? 0)
        let good = "\(host):\(port)"
        let refusing = try FakeServer.refusedPort()
        let silent = try FakeServer(nil)
        func uri(_ hosts: [String]) throws -> String {
            "postgres://\(parts.user ?? ""):\(try Server.password)@"
                + hosts.joined(separator: ",") + parts.path + "?" + (parts.query ?? "")
        }
        func serverPort(of connection: PGConnection) throws -> Int {
            try connection.execute("SELECT inet_server_port()")[0].int(0)
        }
        let first = try PGConnection(uri: uri(["127.0.0.1:\(refusing)", good]))
        #expect(try serverPort(of: first) == port)
        // One that takes the connection and then says nothing.
        let second = try PGConnection(
            uri: uri(["127.0.0.1:\(silent.port)", "127.0.0.1:\(refusing)", good]),
            connectTimeout: .milliseconds(300))
        #expect(try serverPort(of: second) == port)
        #expect(try second.execute("SELECT 1")[0].int(0) == 1)
        // A host that is not there at all comes first.
        let third = try PGConnection(uri: uri(["no-such-host.invalid", good]))
        #expect(try serverPort(of: third) == port)
    }
}

@Suite struct UnreachableServerTests {
    @Test func refusedPortIsNamed() throws {
        let port = try FakeServer.refusedPort()
        let error = try #require(throws: PGError.self) {
            try PGConnection(uri: "postgres://u:topsecret1@127.0.0.1:\(port)/d")
        }
        #expect(error.kind == .connection)
        #expect(
            error.description == "cannot connect to PostgreSQL: connection to server at "
                + "\"127.0.0.1\", port \(port) failed: Connection refused "
                + "(Is the server running on that host and accepting TCP/IP connections?)")
        #expect(!error.isConnectionLost && !error.isAuthenticationFailure)
    }

    @Test func unknownHostIsNamed() throws {
        let error = try #require(throws: PGError.self) {
            try PGConnection(uri: "postgres://u:topsecret1@no-such-host.invalid/d")
        }
        #expect(error.kind == .connection)
        #expect(error.message.contains("\"no-such-host.invalid\""))
    }

    @Test func everyHostIsNamed() throws {
        let (one, two) = (try FakeServer.refusedPort(), try FakeServer.refusedPort())
        let error = try #require(throws: PGError.self) {
            try PGConnection(uri: "postgres://u:topsecret1@127.0.0.1:\(one),127.0.0.1:\(two)/d")
        }
        #expect(error.message.contains("port \(one)") && error.message.contains("port \(two)"))
        #expect(!error.description.contains("\n"))
    }

    @Test func silentServerIsGivenUp() throws {
        let server = try FakeServer(nil)
        let error = try #require(throws: PGError.self) {
            try PGConnection(uri: server.uri, connectTimeout: .milliseconds(200))
        }
        #expect(error.kind == .connection)
        #expect(
            error.message
                == "no answer from the server at \"127.0.0.1\", port \(server.port), within 1 s")
        // The string's own limit wins.
        let own = try #require(throws: PGError.self) {
            try PGConnection(uri: server.uri + "&connect_timeout=1", connectTimeout: .seconds(600))
        }
        #expect(own.message == error.message)
        #expect(!own.description.contains("topsecret1"))
    }

    @Test func dribblingServerIsGivenUp() throws {
        // A byte now and then must not keep the attempt alive.
        let server = try FakeServer { socket in
            FakeServer.receive(from: socket)
            let endless = FakeServer.message("N", Array("SNOTICE\0C00000\0Mhello\0\0".utf8))
            for _ in 0..<200 {
                FakeServer.send(endless, to: socket)
                usleep(20_000)
            }
        }
        #expect(throws: PGError.self) {
            try PGConnection(uri: server.uri, connectTimeout: .milliseconds(400))
        }
    }

    @Test func noticesWhileConnectingGoToTheClosure() throws {
        // PostgreSQL warns of a collation version mismatch at this point.
        let server = try FakeServer { socket in
            FakeServer.receive(from: socket)
            let warning = "SWARNING\0VWARNING\0C01000\0Mcollation version mismatch\0\0"
            FakeServer.send(
                FakeServer.message("R", [0, 0, 0, 0])
                    + FakeServer.message("N", Array(warning.utf8))
                    + FakeServer.message("Z", [UInt8(ascii: "I")]), to: socket)
        }
        let seen = Sink()
        _ = try PGConnection(uri: server.uri, onNotice: { seen.add($0) })
        #expect(seen.all == ["collation version mismatch"])
    }

    @Test func serverThatSpeaksNonsenseWhileConnecting() throws {
        let openings: [[UInt8]] = [
            [], [0], Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8),
            [UInt8](repeating: 0xFF, count: 64),
            FakeServer.message("R", [0, 0, 0, 99]), FakeServer.message("R", []),
            FakeServer.message("E", [0xFF, 0xFE]),
            FakeServer.message("E", Array("SFATAL\0C28P01\0Mno \u{1B}[31m".utf8)),
            [UInt8(ascii: "E"), 0x7F, 0xFF, 0xFF, 0xFF], [UInt8(ascii: "R"), 0, 0, 0, 0],
            FakeServer.message("R", [0, 0, 0, 10] + Array("SCRAM-SHA-256\0\0".utf8))
                + FakeServer.message("R", [0, 0, 0, 11] + Array("r=x".utf8)),
        ]
        for opening in openings {
            let server = try FakeServer { socket in
                FakeServer.receive(from: socket)
                FakeServer.send(opening, to: socket)
            }
            let error = try #require(throws: PGError.self) {
                try PGConnection(uri: server.uri, connectTimeout: .seconds(5))
            }
            #expect(error.kind == .connection)
            #expect(!error.description.contains("topsecret1"))
            #expect(!error.description.contains("\u{1B}"))
        }
    }

    @Test func serverThatSpeaksNonsenseInAnswer() throws {
        let end = FakeServer.message("Z", [UInt8(ascii: "I")])
        let complete = FakeServer.message("C", Array("SELECT 1\0".utf8)) + end
        let bound = FakeServer.message("1", []) + FakeServer.message("2", [])
        /// One column `c` of type `oid`, in binary format.
        func description(_ oid: [UInt8]) -> [UInt8] {
            FakeServer.message(
                "T",
                [0, 1] + Array("c\0".utf8) + [0, 0, 0, 0, 0, 0] + oid
                    + [0, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1])
        }
        let int4 = description([0, 0, 0, 23])
        let answers: [[UInt8]] = [
            [], [0, 1, 2], Array("HTTP/1.1 200 OK\r\n\r\n".utf8),
            bound + int4 + FakeServer.message("D", [0, 1, 0x7F, 0xFF, 0xFF, 0xFF, 1]) + complete,
            bound + int4 + FakeServer.message("D", [0, 2, 0, 0, 0, 0, 0, 0, 0, 0]) + complete,
            bound + int4 + FakeServer.message("D", [0xFF, 0xFF]) + complete,
            bound + int4 + FakeServer.message("D", [0, 1, 0, 0, 0, 3, 1, 2, 3]) + complete,
            bound + FakeServer.message("D", [0, 1, 0, 0, 0, 1, 1]) + complete,
            bound + FakeServer.message("T", [0x7F, 0xFF]) + complete,
            bound + FakeServer.message("W", [1, 0, 1, 0, 1]) + complete,
            bound + FakeServer.message("E", Array("Mno fields\0\0".utf8)) + end,
            bound + [UInt8(ascii: "D"), 0x7F, 0xFF, 0xFF, 0xFF],
        ]
        for (number, answer) in answers.enumerated() {
            let server = try FakeServer { socket in
                FakeServer.logIn(socket)
                FakeServer.send(answer, to: socket)
            }
            let connection = try PGConnection(uri: server.uri, responseTimeout: .seconds(5))
            let error = try #require(throws: PGError.self, "answer \(number)") {
                _ = try connection.execute("SELECT 1")[0].int(0)
            }
            #expect(!error.description.contains("topsecret1"))
        }
    }

    @Test func valuesThatLieAboutTheirLength() throws {
        let bound = FakeServer.message("1", []) + FakeServer.message("2", [])
        let end =
            FakeServer.message("C", Array("SELECT 1\0".utf8))
            + FakeServer.message("Z", [UInt8(ascii: "I")])
        // Type, bytes, and what reads them.
        let cases: [(UInt32, [UInt8], (PGRow) throws -> Void)] = [
            (20, [1, 2, 3], { _ = try $0.int(0) }), (701, [], { _ = try $0.double(0) }),
            (16, [2], { _ = try $0.bool(0) }), (25, [0xC3], { _ = try $0.string(0) }),
            (25, [0x61, 0], { _ = try $0.string(0) }), (3802, [], { _ = try $0.string(0) }),
            (20000, [], { _ = try $0.vector(0) }),
            (20000, [0, 1, 0, 0], { _ = try $0.vector(0) }),
            (20000, [0, 1, 0, 1, 0, 0, 0, 0], { _ = try $0.vector(0) }),
            (20000, [0xFF, 0xFF, 0, 0], { _ = try $0.vector(0) }),
            (20000, [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], { _ = try $0.vector(0) }),
        ]
        for (oid, bytes, read) in cases {
            let column =
                [0, 1] + Array("c\0".utf8) + [0, 0, 0, 0, 0, 0]
                + (0..<4).map { UInt8(truncatingIfNeeded: oid >> (24 - 8 * $0)) }
                + [0, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1]
            let value = [0, 1, 0, 0, 0, UInt8(bytes.count)] + bytes
            let answer =
                bound + FakeServer.message("T", column) + FakeServer.message("D", value) + end
            let server = try FakeServer { socket in
                FakeServer.logIn(socket)
                FakeServer.send(answer, to: socket)
                FakeServer.receive(from: socket)
            }
            let connection = try PGConnection(uri: server.uri, responseTimeout: .seconds(5))
            let row = try connection.execute("SELECT 1")[0]
            let error = try #require(throws: PGError.self) { try read(row) }
            #expect(error.kind == .decoding)
        }
    }

    @Test func garbageNeverHangsOrTraps() throws {
        // Random answers, most of them after a believable beginning; seeded, so that a failure
        // comes back.
        let server = try FakeServer { socket in
            FakeServer.receive(from: socket)
            var generator = SplitMix(state: Self.seed.add(1, ordering: .relaxed).newValue)
            let login =
                FakeServer.message("R", [0, 0, 0, 0]) + FakeServer.message("Z", [UInt8(ascii: "I")])
            FakeServer.send(login, to: socket)
            FakeServer.receive(from: socket)
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let type = "12TDCEZNASGHWdcnKstvI3".randomElement(using: &generator) ?? "E"
                let count = Int.random(in: 0...40, using: &generator)
                let contents = (0..<count).map { _ in
                    Bool.random(using: &generator)
                        ? 0 : UInt8.random(in: 0...255, using: &generator)
                }
                bytes += FakeServer.message(type, contents)
            }
            FakeServer.send(bytes, to: socket)
        }
        var failures = 0
        for _ in 0..<500 {
            let connection = try PGConnection(uri: server.uri, responseTimeout: .seconds(20))
            do {
                for row in try connection.execute("SELECT 1") { _ = try row.int(0) }
                try connection.execute("SELECT 2")
            } catch {
                #expect(error.kind != .timeout)
                failures += 1
            }
        }
        // The connection is closed behind the answer, so at the latest the second statement fails.
        #expect(failures == 500)
    }

    private static let seed = Atomic<UInt64>(20_240)
}
