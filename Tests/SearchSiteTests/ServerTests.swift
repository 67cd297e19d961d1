import Foundation
import Glibc
import ImageSearch
import SearchSite
import Testing

@Suite struct ServerTests {
    /// Runs the site on a free port, hands its address to the test, and ends it.
    static func serving<Value: Sendable>(
        _ site: SearchSite, _ test: @Sendable (String) async throws -> Value
    ) async throws -> Value {
        let (addresses, continuation) = AsyncStream.makeStream(of: String.self)
        let server = Task {
            defer { continuation.finish() }
            try await site.run(host: "127.0.0.1", port: 0) { continuation.yield($0) }
        }
        guard let address = await addresses.first(where: { _ in true }) else {
            try await server.value
            throw CancellationError()
        }
        let outcome: Result<Value, any Error>
        do {
            outcome = .success(try await test(address))
        } catch {
            outcome = .failure(error)
        }
        server.cancel()
        // Ends without an error.
        try await server.value
        return try outcome.get()
    }

    /// What curl prints.
    static func curl(_ arguments: [String]) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["curl", "--silent", "--max-time", "30"] + arguments
            let output = Pipe()
            process.standardOutput = output
            Thread.detachNewThread {
                do {
                    try process.run()
                    let data = output.fileHandleForReading.readDataToEndOfFile()
                    process.waitUntilExit()
                    continuation.resume(returning: String(decoding: data, as: UTF8.self))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    @Test func curlGetsAnswers() async throws {
        let search = FakeSearch()
        let texts = [
            "man jumping", "a+b & c=d; 100% #1 ?", "zwölf Boxkämpfer", "\u{1F408}", "%41%zz",
            "\"'<>{{",
        ]
        try await Self.serving(SearchSite(search: search, logger: silent)) { address in
            #expect(address.hasPrefix("http://127.0.0.1:"))
            for text in texts {
                let form = try await Self.curl([
                    "--data-urlencode", "search_text=\(text)", address + "search_form",
                ])
                #expect(form.hasPrefix("<section class=\"found\""))
                let page = try await Self.curl([
                    "--get", "--data-urlencode", "q=\(text)", address + "search",
                ])
                #expect(page.hasPrefix("<!doctype html>"))
            }
            let head = try await Self.curl(["--head", address])
            #expect(head.hasPrefix("HTTP/1.1 200"))
            // Twice over one connection: a HEAD's answer has no body that the second would read.
            let codes = try await Self.curl([
                "--head", "--write-out", "<%{http_code}>", address, address + "no",
            ])
            #expect(codes.contains("<200>") && codes.contains("<404>"))
        }
        #expect(search.texts == texts.flatMap { [$0, $0] })
    }

    @Test func curlGetsAPictureAndNothingTheSecondTime() async throws {
        let folder = try TemporaryFolder()
        let bytes = PictureTests.jpeg + [UInt8](repeating: 1, count: 300_000)
        try folder.write(bytes, to: "a b.jpg")
        let copy = folder.path + "/copy"
        try await Self.serving(PictureTests.site(folder).0) { address in
            let arguments = ["--output", copy, "--write-out", "%{http_code} %{size_download}"]
            let target = address + "pictures/a%20b.jpg"
            let first = try await Self.curl(arguments + ["--etag-save", copy + ".tag", target])
            #expect(first == "200 \(bytes.count)")
            #expect(FileManager.default.contents(atPath: copy) == Data(bytes))
            let second = try await Self.curl(arguments + ["--etag-compare", copy + ".tag", target])
            #expect(second == "304 0")
            // As it is, without curl tidying the path first.
            let hostile = address + "pictures/../../../../../../etc/passwd"
            let third = try await Self.curl(arguments + ["--path-as-is", hostile])
            #expect(third.hasPrefix("404 "))
        }
    }

    @Test func aTextOf100KilobytesIsRefused() async throws {
        let search = FakeSearch()
        try await Self.serving(SearchSite(search: search, logger: silent)) { address in
            let file = try TemporaryFolder()
            try file.write([UInt8](repeating: UInt8(ascii: "a"), count: 100_000), to: "text")
            let code = ["--output", "/dev/null", "--write-out", "%{http_code}"]
            let form = try await Self.curl(
                code + [
                    "--data-urlencode", "search_text@\(file.path)/text", address + "search_form",
                ])
            #expect(form == "413")
            // Longer than the server reads a request's first line.
            let page = try await Self.curl(
                code + [
                    "--get", "--data-urlencode", "q@\(file.path)/text", address + "search",
                ])
            #expect(["400", "414", "431"].contains(page))
            #expect(try await Self.curl(code + [address]) == "200")
        }
        #expect(search.texts.isEmpty)
    }

    @Test func aPortInUseIsOneSentence() async throws {
        let site = SearchSite(search: FakeSearch(), logger: silent)
        try await Self.serving(site) { address in
            let port = try #require(Int(address.split(separator: ":").last!.dropLast()))
            let error = await #expect(throws: ListenError.self) {
                try await site.run(host: "127.0.0.1", port: port) { _ in }
            }
            #expect(error?.reason == .system(errno: EADDRINUSE))
            #expect(
                error?.description == "cannot listen on 127.0.0.1 port \(port): something is using "
                    + "this port; stop it or choose another one with --port")
        }
    }

    @Test func impossibleAddressesAreOneSentence() async throws {
        let site = SearchSite(search: FakeSearch(), logger: silent)
        for port in [-1, 65_536, .max] {
            let error = await #expect(throws: ListenError.self) {
                try await site.run(host: "127.0.0.1", port: port) { _ in }
            }
            #expect(error?.reason == .notAPort)
        }
        // TEST-NET-1 (RFC 5737), no machine's own; a name that is reserved to be unknown (RFC 2606).
        let foreign = await #expect(throws: ListenError.self) {
            try await site.run(host: "192.0.2.1", port: 0) { _ in }
        }
        #expect(foreign?.reason == .system(errno: EADDRNOTAVAIL))
        let unknown = await #expect(throws: ListenError.self) {
            try await site.run(host: "no-such-host.invalid", port: 0) { _ in }
        }
        #expect(unknown?.reason == .unknownHost)
        #expect(
            ListenError(host: "h", port: 80, reason: .system(errno: EACCES)).description
                == "cannot listen on h port 80: this user may not use this port; "
                + "choose one above 1023 with --port")
    }

    // MARK: Clients that take their time

    /// Runs what blocks on a thread of its own: the server needs the others.
    static func onThread(_ body: @escaping @Sendable () throws -> Void) async throws {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
        }
    }

    /// A connection to a site, as bytes.
    final class Client: Sendable {
        let descriptor: Int32

        /// - Parameter address: where the site is.
        init(_ address: String) throws {
            let port = try #require(UInt16(address.split(separator: ":").last!.dropLast()))
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var size: Int32 = 4_096
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
            var timeout = timeval(tv_sec: 60, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, 16)
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let result = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            try #require(result == 0)
        }

        deinit { close(descriptor) }

        @discardableResult
        func send(_ text: String) -> Bool { send(Array(text.utf8)) }

        @discardableResult
        func send(_ bytes: [UInt8]) -> Bool {
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if count <= 0 { return false }
                sent += count
            }
            return true
        }

        /// Up to `limit` bytes, fewer at the connection's end; nil after a minute of silence.
        func receive(_ limit: Int = .max) -> String? {
            var bytes: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 65_536)
            while bytes.count < limit {
                let count = recv(descriptor, &part, min(part.count, limit - bytes.count), 0)
                if count < 0, errno == EAGAIN { return nil }
                if count <= 0 { break }
                bytes += part.prefix(count)
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ])
    func contradictoryHostsAreRefused(request: String) async throws {
        try await Self.serving(SearchSite(search: FakeSearch(), logger: silent)) { address in
            try await Self.onThread {
                let client = try Client(address)
                client.send(request)
                #expect(client.receive(12) == "HTTP/1.1 400")
            }
        }
    }

    @Test func aTargetWithItsHostIsAnswered() async throws {
        try await Self.serving(SearchSite(search: FakeSearch(), logger: silent)) { address in
            try await Self.onThread {
                let client = try Client(address)
                client.send(
                    "GET http://LOCALHOST/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                #expect(client.receive(12) == "HTTP/1.1 200")
            }
        }
    }

    /// Sends all of a body that is refused before it reads, as simple clients and proxies do.
    @Test(arguments: ["", "Connection: close\r\n"])
    func aRefusedBodyIsReadAway(field: String) async throws {
        let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder()) {
            $0.maximumUploadBytes = 1_000
            // Far beyond the test's end: nothing may depend on it.
            $0.limits.drain = .seconds(600)
            $0.limits.head = .seconds(600)
        }
        try await Self.serving(site) { address in
            try await Self.onThread {
                let client = try Client(address)
                let body = [UInt8](repeating: 1, count: 16_000_000)
                client.send(
                    "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n\(field)"
                        + "Content-Length: \(body.count)\r\n\r\n")
                #expect(client.send(body))
                #expect(client.receive(12) == "HTTP/1.1 413")
                // A connection that stays open takes the next request.
                guard field.isEmpty else {
                    #expect(client.receive() != nil)
                    return
                }
                client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                #expect(client.receive()?.contains("HTTP/1.1 200") == true)
            }
        }
    }

    @Test func endlessBodiesAreCutOff() async throws {
        let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder()) {
            $0.maximumUploadBytes = 1_000
            $0.limits.drainedBytes = 1_000_000
        }
        try await Self.serving(site) { address in
            try await Self.onThread {
                let client = try Client(address)
                client.send(
                    "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                        + "Content-Length: 1000000000000\r\n\r\n")
                let part = [UInt8](repeating: 1, count: 1_000_000)
                #expect((0..<64).contains { _ in !client.send(part) })
            }
        }
    }

    /// Nine uploads that trickle hold no place in the queue, and end.
    @Test func slowUploadsKeepNobodyOut() async throws {
        let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder()) {
            $0.limits.period = .seconds(2)
            $0.limits.body = .seconds(600)
        }
        try await Self.serving(site) { address in
            try await Self.onThread {
                let head =
                    "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                let slow = try (0..<9).map { _ in try Client(address) }
                for client in slow { client.send(head + "Content-Length: 100000\r\n\r\nx") }
                let quick = try Client(address)
                quick.send(head + "Content-Length: 4\r\nConnection: close\r\n\r\nJPEG")
                #expect(quick.receive(12) == "HTTP/1.1 200")
                for client in slow { #expect(client.receive()?.isEmpty == true) }
            }
        }
    }

    /// Large pages are refused when too many bytes already wait for their clients.
    @Test func unsentPagesAreBounded() async throws {
        let keys = (0..<88).map { "\($0).jpg" }
        let search = FakeSearch(result: FakeSearch.found(keys))
        let words = String(repeating: "%F0%9F%90%88", count: 990)
        let target = "/search?q=\(words)&limit=240"
        let page = try await SearchSite(search: search, logger: silent).ask(target)
        #expect(page.status == 200 && page.body.count < 1_500_000)
        // 240 times this query would be 2.9 MB of links.
        #expect(search.limits == [88])
        let site = SearchSite(search: search, logger: silent) { $0.maximumUnsentBytes = 1 << 20 }
        let refused = try await site.ask(target)
        #expect(refused.status == 503 && refused.header("Retry-After") == "2")
        #expect(site.unsent.shares == 0)
        // It was refused before it was searched for, and so were these.
        #expect(search.limits == [88])
        for other in [
            "/search?q=\(words)&view=a.jpg&at=3&limit=240", "/api/search?q=cat&limit=240",
        ] {
            let small = SearchSite(search: search, logger: silent) {
                $0.maximumUnsentBytes = 100_000
            }
            #expect(try await small.ask(other).status == 503)
        }
        #expect(search.limits == [88])
        #expect(try await site.ask("/").status == 200)
    }
}
