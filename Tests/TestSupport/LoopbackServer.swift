import Foundation
import Synchronization

/// A small HTTP server on loopback that gives the answers a test wants, wrong ones included.
package final class LoopbackServer: Sendable {
    /// A request as it came in.
    package struct Request: Sendable {
        package let line: String
        package let headers: [String: String]
        package var target: String {
            line.split(separator: " ").dropFirst().first.map(String.init) ?? ""
        }
    }

    /// What goes over the wire, bit by bit.
    package struct Reply: Sendable {
        package var pieces: [[UInt8]]
        package var pause: Duration = .zero
        package var close = false
        /// Close with a reset instead of an orderly end.
        package var reset = false

        package init(
            _ status: Int, headers: [String] = [], body: [UInt8] = [], length: Int? = nil,
            close: Bool = false
        ) {
            let head =
                ["HTTP/1.1 \(status) Status", "Content-Length: \(length ?? body.count)"] + headers
            pieces = [Array((head.joined(separator: "\r\n") + "\r\n\r\n").utf8), body]
            self.close = close || (length.map { $0 != body.count } ?? false)
        }

        package init(raw: String) {
            pieces = [Array(raw.utf8)]
            close = true
        }

        package static func xml(_ status: Int, _ text: String, headers: [String] = []) -> Reply {
            Reply(status, headers: headers, body: Array(text.utf8))
        }
    }

    package let port: UInt16
    private let listener: Int32
    private let answer: @Sendable (Int, Request) -> Reply
    private let seen = Mutex<[Request]>([])
    private let connections = Atomic<Int>(0)

    /// `answer` gets the number of the request, counted from 0.
    package init(_ answer: @escaping @Sendable (Int, Request) -> Reply) throws {
        self.answer = answer
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 64) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        guard bound else { throw POSIXError(.EADDRNOTAVAIL) }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                connections.add(1, ordering: .relaxed)
                Thread.detachNewThread { [self] in serve(connection) }
            }
        }
    }

    /// Ends the accepting thread; a port on which nothing listens remains.
    package func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    package var endpoint: String { "http://127.0.0.1:\(port)" }
    package var requests: [Request] { seen.withLock { $0 } }
    package var connectionCount: Int { connections.load(ordering: .relaxed) }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        // Head and body are written apart: without waiting for the head's acknowledgement.
        var on: Int32 = 1
        setsockopt(
            connection, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        var pending: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let blank = Array("\r\n\r\n".utf8)
        while true {
            while let end = pending.firstRange(of: blank) {
                let head = String(decoding: pending[..<end.lowerBound], as: UTF8.self)
                pending.removeSubrange(..<end.upperBound)
                var lines = head.components(separatedBy: "\r\n")
                let line = lines.removeFirst()
                var headers: [String: String] = [:]
                for text in lines {
                    let parts = text.split(separator: ":", maxSplits: 1)
                    headers[parts[0].lowercased()] =
                        parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
                }
                let request = Request(line: line, headers: headers)
                let number = seen.withLock {
                    $0.append(request)
                    return $0.count - 1
                }
                let reply = answer(number, request)
                for piece in reply.pieces {
                    guard piece.isEmpty || send(connection, piece) else { return }
                    if reply.pause > .zero {
                        Thread.sleep(forTimeInterval: reply.pause / .seconds(1))
                    }
                }
                if reply.reset {
                    var linger = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(
                        connection, SOL_SOCKET, SO_LINGER, &linger,
                        socklen_t(MemoryLayout.size(ofValue: linger)))
                }
                if reply.close || reply.reset { return }
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            pending += buffer[..<count]
        }
    }

    private func send(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    connection, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }
}
