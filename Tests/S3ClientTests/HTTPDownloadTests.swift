import Foundation
import S3Client
import Synchronization
import TestSupport
import Testing

@Suite final class HTTPDownloadTests {
    let directory: String
    var path: String { directory + "/file" }
    static let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

    init() throws { directory = try temporaryDirectory() }
    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func download(
        _ server: LoopbackServer, maximumBytes: Int64 = 1 << 20,
        path: String = "/model?token=geheim"
    ) throws -> HTTPDownload {
        try HTTPDownload(
            url: server.endpoint + path, maximumBytes: maximumBytes,
            retries: RetryPolicy(attempts: 3, firstDelay: .zero))
    }

    private func onDisk() throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

    private func put(_ bytes: some Sequence<UInt8>) throws {
        try Data(bytes).write(to: URL(filePath: path))
    }

    /// A server that does ranges right, and cuts what it sends after `cut` bytes.
    private static func ranged(
        _ request: LoopbackServer.Request, tag: String = "\"v1\"", cut: Int? = nil
    ) -> LoopbackServer.Reply {
        var first = 0
        if let range = request.headers["range"], request.headers["if-range"] ?? tag == tag {
            first = Int(range.dropFirst("bytes=".count).dropLast()) ?? 0
        }
        guard first < content.count || first == 0 else {
            return LoopbackServer.Reply(416, headers: ["Content-Range: bytes */\(content.count)"])
        }
        let rest = content[first...]
        let range = "Content-Range: bytes \(first)-\(content.count - 1)/\(content.count)"
        return LoopbackServer.Reply(
            first > 0 ? 206 : 200, headers: ["ETag: \(tag)"] + (first > 0 ? [range] : []),
            body: Array(rest.prefix(cut ?? rest.count)), length: rest.count)
    }

    @Test func downloads() throws {
        let server = try LoopbackServer { _, request in Self.ranged(request) }
        defer { server.stop() }
        var last: (received: Int64, total: Int64?)?
        let size = try download(server).run(to: path) { last = ($0, $1) }
        #expect(size == 300_000)
        #expect(try onDisk() == Self.content)
        #expect(last?.received == 300_000)
        #expect(last?.total == 300_000)
    }

    @Test func goesOnWhereItBrokeOff() throws {
        // More interruptions than attempts, but each after some progress.
        let server = try LoopbackServer { number, request in
            Self.ranged(request, cut: number < 5 ? 50_000 : nil)
        }
        defer { server.stop() }
        try download(server).run(to: path)
        #expect(try onDisk() == Self.content)
        #expect(
            server.requests.compactMap { $0.headers["range"] } == [
                "bytes=50000-", "bytes=100000-", "bytes=150000-", "bytes=200000-", "bytes=250000-",
            ])
        #expect(server.requests.last?.headers["if-range"] == "\"v1\"")
    }

    @Test func goesOnWithAnEarlierRunsFile() throws {
        let server = try LoopbackServer { _, request in Self.ranged(request) }
        defer { server.stop() }
        try put(Self.content.prefix(123_456))
        try download(server).run(to: path)
        #expect(try onDisk() == Self.content)
        #expect(server.requests.map { $0.headers["range"] } == ["bytes=123456-"])
        // And once more, with the whole file there.
        #expect(try download(server).run(to: path) == 300_000)
        #expect(try onDisk() == Self.content)
    }

    @Test func startsOverWhereThereAreNoRanges() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(200, body: Self.content) }
        defer { server.stop() }
        try put([UInt8](repeating: 9, count: 400_000))
        try download(server).run(to: path)
        #expect(try onDisk() == Self.content)
    }

    @Test func startsOverWhereTheFileIsLonger() throws {
        let server = try LoopbackServer { _, request in Self.ranged(request) }
        defer { server.stop() }
        try put([UInt8](repeating: 9, count: 400_000))
        try download(server).run(to: path)
        #expect(try onDisk() == Self.content)
    }

    @Test func startsOverWhereTheFileChangesMeanwhile() throws {
        let server = try LoopbackServer { number, request in
            Self.ranged(
                request, tag: number == 0 ? "\"v0\"" : "\"v1\"", cut: number == 0 ? 50_000 : nil)
        }
        defer { server.stop() }
        try download(server).run(to: path)
        #expect(try onDisk() == Self.content)
        #expect(server.requests.last?.headers["if-range"] == "\"v0\"")
    }

    @Test(arguments: ["bytes 0-9/300000", "bytes 5-2/7", "garbage", ""])
    func wrongPartIsAnError(_ range: String) throws {
        let server = try LoopbackServer { _, _ in
            LoopbackServer.Reply(206, headers: ["Content-Range: \(range)"], body: [1, 2])
        }
        defer { server.stop() }
        try put([1, 2, 3])
        let error = #expect(throws: S3Error.self) {
            try download(server).run(to: path)
        }
        #expect(error?.reason == .response)
        #expect(try onDisk() == [1, 2, 3])
    }

    @Test func statusIsAnErrorAndTheFileStays() throws {
        let server = try LoopbackServer { _, _ in
            LoopbackServer.Reply(404, body: Array("<html>Not found</html>".utf8))
        }
        defer { server.stop() }
        try put([1, 2, 3])
        let error = #expect(throws: S3Error.self) {
            try download(server).run(to: path)
        }
        #expect(error?.reason == .service(status: 404, code: nil, requestID: nil))
        #expect(error?.description.contains("geheim") == false)
        #expect(server.requests.count == 1)
        #expect(try onDisk() == [1, 2, 3])
    }

    @Test func triesAgainButNotForever() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(503) }
        defer { server.stop() }
        let error = #expect(throws: S3Error.self) {
            try download(server).run(to: path)
        }
        #expect(error?.reason == .service(status: 503, code: nil, requestID: nil))
        #expect(server.requests.count == 3)
    }

    @Test func boundsTheFile() throws {
        let server = try LoopbackServer { number, request in
            number == 0
                ? Self.ranged(request)
                : .init(
                    raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + String(repeating: "4\r\nabcd\r\n", count: 50_000) + "0\r\n\r\n")
        }
        defer { server.stop() }
        for _ in 0..<2 {
            let error = #expect(throws: S3Error.self) {
                try download(server, maximumBytes: 100_000).run(to: path)
            }
            #expect(error?.reason == .tooLarge)
            #expect(try onDisk().count <= 100_000)
            try put([])
        }
    }

    @Test func followsRedirectsOfTheSameSchemeOnly() throws {
        let server = try LoopbackServer { _, request in
            switch request.target {
            case "/model": LoopbackServer.Reply(302, headers: ["Location: /real"], body: [1, 2, 3])
            case "/file": LoopbackServer.Reply(302, headers: ["Location: file:///etc/passwd"])
            case "/other": LoopbackServer.Reply(302, headers: ["Location: ftp://127.0.0.1/x"])
            case "/loop": LoopbackServer.Reply(302, headers: ["Location: /loop"])
            default: Self.ranged(request)
            }
        }
        defer { server.stop() }
        try download(server, path: "/model").run(to: path)
        #expect(try onDisk() == Self.content)
        try put([])
        for bad in ["/file", "/other", "/loop"] {
            #expect(throws: S3Error.self) {
                try download(server, path: bad).run(to: path)
            }
            #expect(try onDisk().isEmpty)
        }
        #expect(server.requests.count(where: { $0.target == "/loop" }) == 11)
    }

    @Test(arguments: [
        "", "file:///etc/passwd", "ftp://h/x", "/x", "https://u:geheim@h/", "https://h/a b",
        "https://h/x?\n",
    ])
    func refusesAddress(_ url: String) {
        let error = #expect(throws: S3Error.self) {
            try HTTPDownload(url: url, maximumBytes: 1)
        }
        #expect(error?.reason == .setting)
        #expect(error?.description.contains("geheim") == false)
    }

    /// A byte for each connection is progress every time, so that only the deadline ends it.
    @Test func deadlineHoldsForTheWholeDownload() throws {
        let server = try LoopbackServer { number, request in
            Self.ranged(request, cut: 1)
        }
        defer { server.stop() }
        let download = try HTTPDownload(
            url: server.endpoint, maximumBytes: 1 << 20,
            retries: RetryPolicy(attempts: 2, firstDelay: .milliseconds(20)),
            deadline: .milliseconds(500))
        let error = #expect(throws: S3Error.self) { try download.run(to: path) }
        #expect(error?.reason == .connection(.timeout))
        #expect(server.requests.count < 60)
    }

    @Test func deadlineEndsATrickle() throws {
        let server = try LoopbackServer { _, _ in
            var reply = LoopbackServer.Reply(200, body: [], length: 1_000)
            reply.pieces = [reply.pieces[0]] + [[UInt8]](repeating: [1], count: 100)
            reply.pause = .milliseconds(100)
            return reply
        }
        defer { server.stop() }
        let download = try HTTPDownload(
            url: server.endpoint, maximumBytes: 1 << 20, retries: RetryPolicy(attempts: 2),
            deadline: .milliseconds(300))
        let error = #expect(throws: S3Error.self) { try download.bytes() }
        #expect(error?.reason == .connection(.timeout))
    }

    @Test func bytesLeaveNoFileBehind() throws {
        let server = try LoopbackServer { number, request in
            Self.ranged(request, cut: number == 0 ? 50_000 : nil)
        }
        defer { server.stop() }
        #expect(try download(server).bytes() == Self.content)
    }

    @Test func linksAndPipesAreRefused() throws {
        let server = try LoopbackServer { _, request in Self.ranged(request) }
        defer { server.stop() }
        try put([1])
        #expect(symlink(path, directory + "/link") == 0)
        #expect(mkfifo(directory + "/pipe", 0o600) == 0)
        for name in ["link", "pipe"] {
            #expect(throws: S3Error.self) {
                try download(server).run(to: "\(directory)/\(name)")
            }
        }
        #expect(try onDisk() == [1])
        #expect(server.requests.isEmpty)
    }

    @Test func unwritableFile() throws {
        let server = try LoopbackServer { _, request in Self.ranged(request) }
        defer { server.stop() }
        let error = #expect(throws: S3Error.self) {
            try download(server).run(to: directory + "/no/such/file")
        }
        #expect(error?.reason == .file(ENOENT))
        #expect(server.requests.isEmpty)
    }
}
