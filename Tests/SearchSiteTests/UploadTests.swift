import Foundation
import Hummingbird
import ImageSearch
import Logging
import NIOCore
import SearchSite
import Testing

/// An embedder whose answers a test decides.
struct FakeEmbedder: PictureEmbedding {
    var embedding: [Float] = [0.6, -0.8, 0]
    var error: SearchError?

    func embed(_ file: [UInt8]) throws -> [Float] {
        if let error { throw error }
        return embedding
    }
}

@Suite struct UploadTests {
    /// A body that ends too early, or is not HTTP, is the sender's fault and not an error of the site.
    @Test(arguments: ["/search_form", "/api/search", "/search"])
    func brokenOffBodies(target: String) async throws {
        let log = RecordedLog()
        let site = SearchSite(
            search: FakeSearch(), embedder: FakeEmbedder(),
            logger: Logger(label: "test") { _ in log }
        ) { _ in }
        let type = target == "/search_form" ? "application/x-www-form-urlencoded" : "image/jpeg"
        let answer = try await site.ask(
            target, method: .post, headers: ["Content-Type": type], body: [[1, 2]],
            breaksOff: ChannelError.inputClosed, logger: Logger(label: "test") { _ in log })
        #expect(answer.status == 400 && answer.header("Connection") == "close")
        #expect(!log.lines.contains { $0.hasPrefix("error") })
    }

    let search = FakeSearch()
    var site: SearchSite { SearchSite(search: search, embedder: FakeEmbedder()) { _ in } }

    static func form(_ parts: String, boundary: String = "x") -> [UInt8] {
        Array(parts.replacingOccurrences(of: "\n", with: "\r\n").utf8)
    }

    func send(
        _ body: [UInt8], type: String = "multipart/form-data; boundary=x",
        to target: String = "/search", site: SearchSite? = nil
    ) async throws -> Answer {
        try await (site ?? self.site).ask(
            target, method: .post, headers: ["Content-Type": type], body: [body])
    }

    static let picture = form(
        "--x\nContent-Disposition: form-data; name=\"picture\"; filename=\"a.jpg\"\n\nJPEG\n--x--\n"
    )

    @Test func aPictureGetsAnAddressThatFindsItAgain() async throws {
        // 512 components of very different sizes, as CLIP has them.
        let raw = (0..<512).map { index -> Float in
            let value = Float((index * 7919) % 1_000 - 500) / 500
            return index == 133 ? 20 * value : value
        }
        let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let embedding = raw.map { $0 / length }
        let site = SearchSite(search: search, embedder: FakeEmbedder(embedding: embedding)) { _ in }
        let sent = try await send(Self.picture, site: site)
        #expect(sent.status == 303)
        let address = try #require(sent.header("Location"))
        #expect(address.hasPrefix("/search/") && address.count == "/search/".count + 683)
        let page = try await site.ask(address)
        #expect(page.status == 200)
        #expect(page.text.contains("Like your picture"))
        guard case .embedding(let found)? = search.queries.first?.terms.first?.content else {
            Issue.record("no embedding was searched for")
            return
        }
        let cosine = zip(found, embedding).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        #expect(cosine > 0.9999)
        // Links stay short: they keep the page's path.
        #expect(page.text.contains("href=\"?view=a.jpg&amp;at=1\""))
        let small = try await site.ask(address, headers: ["Accept-Encoding": "gzip"])
        #expect(small.body.count < 6_000)
    }

    @Test func wordsTravelWithThePicture() async throws {
        let body = Self.form(
            """
            preamble
            --x
            content-disposition: form-data; name=q

            night
            --x
            Content-Disposition: form-data; name="picture"; filename="a\\"b;.jpg"
            Content-Type: image/jpeg

            JP--x
            EG
            --x--
            """)
        let sent = try await send(body)
        #expect(sent.status == 303)
        #expect(sent.header("Location")?.hasSuffix("?q=night") == true)
    }

    @Test(arguments: [
        "", "AAA", "gQ", "f4E=", "f4%2B", "f4\u{2A}", "AA", "gIA", "f4AA!", "fwA%00",
        String(repeating: "f", count: 6_000),
    ])
    func otherAddressesAreNone(text: String) async throws {
        let answer = try await site.ask("/search/\(text)")
        if text == "gQ" {
            #expect(answer.status == 200)  // One component, -1.
        } else {
            #expect(answer.status == (text.isEmpty ? answer.status : 404))
        }
        #expect(search.queries.count == (text == "gQ" ? 1 : 0))
    }

    @Test(arguments: [
        "", "--x", "--x\n", "--x\n\n",
        "--x\nContent-Disposition: form-data; name=picture\n\nJPEG\n",
        "--y\nContent-Disposition: form-data; name=picture\n\nJPEG\n--y--\n",
        "--x\nContent-Disposition: form-data\n\nJPEG\n--x--\n",
        "--x\nContent-Disposition: attachment; name=picture\n\nJPEG\n--x--\n",
        "--x\n\nJPEG\n--x--\n", "--xContent-Disposition: form-data; name=picture\n\nJPEG\n--x--\n",
        "--x\nContent-Disposition: form-data; name=other\n\nJPEG\n--x--\n", "--x--\n",
        "--x\nContent-Disposition: form-data; name=picture\n\n\n--x--\n", "\0\0\0\0",
    ])
    func malformedFormsAreRefused(form: String) async throws {
        for target in ["/search", "/api/search"] {
            #expect(try await send(Self.form(form), to: target).status == 400)
        }
        #expect(search.queries.isEmpty)
    }

    @Test func endlessFormsAreRefused() async throws {
        let part = "--x\nContent-Disposition: form-data; name=a\n\nb\n"
        let many = Self.form(String(repeating: part, count: 65) + "--x--")
        #expect(try await send(many).status == 400)
        let header = Self.form(
            "--x\nA: \(String(repeating: "b", count: 9_000))\n"
                + "Content-Disposition: form-data; name=picture\n\nJPEG\n--x--")
        #expect(try await send(header).status == 400)
    }

    @Test(arguments: [
        "text/plain", "application/json", "multipart/form-data", "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=", "application/x-www-form-urlencoded", "",
        "multipart/form-data; boundary=\(String(repeating: "b", count: 71))",
    ])
    func otherTypesAreRefused(type: String) async throws {
        #expect(try await send(Self.picture, type: type).status == 415)
        #expect(try await send(Self.picture, type: type, to: "/api/search").status == 415)
    }

    @Test func largePicturesAreRefusedUnread() async throws {
        let site = SearchSite(search: search, embedder: FakeEmbedder()) {
            $0.maximumUploadBytes = 1_000
        }
        let type = ["Content-Type": "image/jpeg"]
        let exact = [UInt8](repeating: 1, count: 1_000)
        #expect(
            try await site.ask("/api/search", method: .post, headers: type, body: [exact]).status
                == 200)
        let over = try await site.ask(
            "/api/search", method: .post, headers: type, body: [exact, [1]])
        #expect(over.status == 413)
        // The announced length is enough to say no.
        let announced = try await site.ask(
            "/api/search", method: .post,
            headers: ["Content-Type": "image/jpeg", "Content-Length": "1001"])
        #expect(announced.status == 413)
        let form = try await send(
            Self.form("--x\nContent-Disposition: form-data; name=picture\n\n") + exact + [1]
                + Self.form("\n--x--"), site: site)
        #expect(form.status == 413)
    }

    @Test(arguments: [
        (SearchError.unsupportedPicture(reason: "x"), 415), (.damagedPicture(reason: "x"), 422),
        (.pictureTooLarge(bytes: 2, limit: 1), 413),
    ])
    func whatIsNoPictureIsRefused(error: SearchError, status: Int) async throws {
        let site = SearchSite(search: search, embedder: FakeEmbedder(error: error)) { _ in }
        #expect(try await send(Self.picture, site: site).status == status)
        #expect(try await send(Self.picture, to: "/api/search", site: site).status == status)
    }

    @Test func tooManyAtOnceAreRefused() async throws {
        // An embedder that is stuck, and a site that takes one picture and lets none wait.
        struct Stuck: PictureEmbedding {
            let door: DispatchSemaphore
            func embed(_ file: [UInt8]) throws -> [Float] {
                door.wait()
                door.signal()
                return [1]
            }
        }
        let door = DispatchSemaphore(value: 0)
        let site = SearchSite(search: search, embedder: Stuck(door: door)) {
            $0.encodings = 1
            $0.waitingEncodings = 0
        }
        let first = Task { try await send(Self.picture, site: site) }
        while !(try await site.ask("/metrics")).text.contains("encodings_in_progress 1") {
            await Task.yield()
        }
        let second = try await send(Self.picture, site: site)
        #expect(second.status == 503)
        #expect(second.header("Retry-After") == "2")
        door.signal()
        #expect(try await first.value.status == 303)
        #expect(try await send(Self.picture, site: site).status == 303)
    }

    @Test func programsGetJSON() async throws {
        let answer = try await send(
            Array("JPEG".utf8), type: "image/jpeg", to: "/api/search?limit=7&q=night")
        #expect(answer.status == 200)
        let query = try #require(search.queries.first)
        #expect(query.limit == 7)
        #expect(query.terms.first?.content == .embedding([0.6, -0.8, 0]))
        let found = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        let results = try #require(found["results"] as? [[String: Any]])
        #expect(results.map { $0["key"] as? String } == ["a.jpg", "b.jpg"])
        #expect(results[0]["score"] as? Double == 0.3125)
        #expect(results[0]["url"] as? String == "/pictures/a.jpg")
        #expect(found["has_more"] as? Bool == false)
    }

    @Test func keysOfAllKindsAreJSON() async throws {
        let keys = SearchTests.hostile + ["\u{0}\u{1}\u{7F}\\\"/", "\u{2028}"]
        let site = SearchSite(search: FakeSearch(result: FakeSearch.found(keys)))
        let answer = try await site.ask("/api/search?q=x")
        let found = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        let results = try #require(found["results"] as? [[String: Any]])
        #expect(
            results.map { Array(($0["key"] as? String ?? "").utf8) } == keys.map { Array($0.utf8) })
    }
}
