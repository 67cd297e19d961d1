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
}
