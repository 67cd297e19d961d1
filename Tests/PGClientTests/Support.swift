import Foundation
import PGClient
import Testing

/// The servers that the tests use, named by the environment; `scripts/services/postgres` starts
/// such servers.
enum Server {
    /// A PostgreSQL with pgvector, asking for a password.
    static let uri = ProcessInfo.processInfo.environment["TEST_PG_URI"]
    /// A PostgreSQL with TLS and without pgvector, and the file with its certificate authority.
    static let tlsURI = ProcessInfo.processInfo.environment["TEST_PG_TLS_URI"]
    static let tlsCA = ProcessInfo.processInfo.environment["TEST_PG_TLS_CA"]

    static var isThere: Bool { uri != nil }
    static var hasTLS: Bool { tlsURI != nil && tlsCA != nil }

    static func connect(
        responseTimeout: Duration? = nil, onNotice: (@Sendable (String) -> Void)? = nil
    ) throws -> PGConnection {
        let uri = try #require(uri)
        return try PGConnection(
            uri: uri, applicationName: "pg-client-tests",
            responseTimeout: responseTimeout, onNotice: onNotice)
    }

    /// A connection to a database that has pgvector.
    static func connectWithVector() throws -> PGConnection {
        let connection = try connect()
        // Two CREATE EXTENSION IF NOT EXISTS at once collide in PostgreSQL's catalog.
        try connection.transaction {
            try connection.execute("SELECT pg_advisory_xact_lock(4711)")
            try connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        }
        return connection
    }

    /// `TEST_PG_URI` with parts changed.
    static func variant(_ change: (inout URLComponents) -> Void) throws -> String {
        let uri = try #require(uri)
        var parts = try #require(URLComponents(string: uri))
        change(&parts)
        return try #require(parts.string)
    }

    static var password: String {
        get throws {
            let parts = try #require(uri.flatMap { URLComponents(string: $0) })
            return try #require(parts.password)
        }
    }

    static func freshName() -> String {
        "t_" + String(UInt64.random(in: 0 ... .max), radix: 36)
    }
}

/// A thread of its own, since the calls under test block.
final class Worker: @unchecked Sendable {
    private let done = DispatchSemaphore(value: 0)
    private var failure: (any Error)?

    init(_ body: @escaping @Sendable () throws -> Void) {
        Thread.detachNewThread {
            do { try body() } catch { self.failure = error }
            self.done.signal()
        }
    }

    /// Waits for the end and throws what `body` threw.
    func join() throws {
        done.wait()
        if let failure { throw failure }
    }
}

/// A loopback server of the tests' own making: one thread that takes connections one by one.
///
/// Its port stays taken until the tests end, so that no other server of the tests gets it while a
/// client still believes that it knows who is there.
struct FakeServer: Sendable {
    let port: Int

    /// - Parameter serve: gets each connection's socket, which is closed afterwards; nil never
    ///   takes a connection, so that a client waits for an answer in vain.
    init(_ serve: (@Sendable (Int32) -> Void)?) throws {
        let (listener, port) = try Self.bindFreshPort()
        self.port = port
        try #require(listen(listener, 64) == 0)
        guard let serve else { return }
        Thread.detachNewThread {
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                serve(client)
                close(client)
            }
        }
    }

    /// Passes bytes on between a client and the test server, until either leaves; when `isCut` says so, it
    /// resets the client's connection.
    static func forwarding(isCut: @escaping @Sendable () -> Bool) throws -> FakeServer {
        let uri = try #require(Server.uri.flatMap { URLComponents(string: $0) })
        let (host, port) = (try #require(uri.host), try #require(uri.port))
        return try FakeServer { client in
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(server) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(port).bigEndian
            guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { return }
            let status = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard status == 0 else { return }
            var buffer = [UInt8](repeating: 0, count: 65536)
            while !isCut() {
                var sides = [client, server].map {
                    pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
                }
                guard poll(&sides, 2, 20) >= 0 else { return }
                for (side, other) in [(0, server), (1, client)] where sides[side].revents != 0 {
                    let count = recv(sides[side].fd, &buffer, buffer.count, 0)
                    guard count > 0 else { return }
                    send(Array(buffer[..<count]), to: other)
                }
            }
            // Closing it then sends a reset.
            var immediately = linger(l_onoff: 1, l_linger: 0)
            setsockopt(
                client, SOL_SOCKET, SO_LINGER, &immediately, socklen_t(MemoryLayout<linger>.size))
        }
    }

    /// A port without a listener: it is bound, so no other process can listen, and the kernel refuses
    /// connections to it.
    static func refusedPort() throws -> Int { try bindFreshPort().port }

    private static func bindFreshPort() throws -> (socket: Int32, port: Int) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(listener >= 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) + getsockname(listener, address, &length)
            }
        }
        try #require(status == 0)
        return (listener, Int(UInt16(bigEndian: address.sin_port)))
    }

    var uri: String { "postgres://u:topsecret1@127.0.0.1:\(port)/d?sslmode=disable" }

    static func send(_ bytes: [UInt8], to socket: Int32) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Foundation.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// Blocks until the client has sent something; false when it is gone.
    @discardableResult
    static func receive(from socket: Int32) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        return recv(socket, &buffer, buffer.count, 0) > 0
    }

    /// A message of the protocol: type, length, contents.
    static func message(_ type: Character, _ contents: [UInt8]) -> [UInt8] {
        let length = UInt32(contents.count + 4)
        let head = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        return [type.asciiValue!] + head + contents
    }

    /// Takes a client in without asking for a password, and waits for its first statement.
    static func logIn(_ socket: Int32) {
        receive(from: socket)
        send(message("R", [0, 0, 0, 0]) + message("Z", [UInt8(ascii: "I")]), to: socket)
        receive(from: socket)
    }
}
