import Foundation
import Hummingbird
import ImageSearch
import Logging
import SearchSite
import Synchronization
import Testing

@Suite struct OperatorTests {
    // MARK: WEB_AUTH

    @Test(arguments: [
        // Independently: the example of RFC 7617, section 2.
        ("basic:Aladdin:open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("basic:test:123\u{A3}", "Basic dGVzdDoxMjPCow=="),
        ("basic:a:b:c", "bAsIc   YTpiOmM="), ("bearer:mF_9.B5f-4.1JqM", "Bearer mF_9.B5f-4.1JqM"),
    ])
    func credentialsOpenTheDoor(setting: String, field: String) async throws {
        let rule = try AccessRule(setting)
        let site = SearchSite(search: FakeSearch(), logger: silent) { $0.access = rule }
        let targets = ["/", "/search?q=cat", "/api/search?q=cat", "/metrics", "/assets/site.css"]
        for (number, target) in targets.enumerated() {
            // Each from an address of its own, since guesses are counted.
            let peer = "192.0.2.\(number + 1)"
            let closed = try await site.ask(target, peer: peer)
            #expect(closed.status == 401)
            #expect(try #require(closed.header("WWW-Authenticate")).contains("realm="))
            let opened = try await site.ask(target, headers: ["Authorization": field], peer: peer)
            #expect(opened.status == 200)
            for wrong in [field + "A", String(field.dropLast()), "Bearer x", "Basic", "", " "] {
                let answer = try await site.ask(
                    target, headers: ["Authorization": wrong], peer: peer)
                #expect(answer.status == 401)
            }
        }
        // Probes need no credentials, and nothing reaches the search without.
        #expect(try await site.ask("/health").status == 200)
        #expect(try await site.ask("/ready").status == 200)
    }

    @Test(arguments: [
        "", "basic", "basic:", "basic:user", "basic::password", "basic:user:", "bearer:",
        "bearer:a b", "bearer:\n", "digest:a:b", "user:password",
    ])
    func otherSettingsAreRefused(setting: String) {
        do {
            _ = try AccessRule(setting)
            Issue.record("\(setting) was taken")
        } catch {
            // A mistyped setting may still hold the password.
            #expect(!"\(error)".contains("user") && !"\(error)".contains("digest"))
        }
    }

    /// After ten wrong guesses an address is refused, even with the right password; others are not.
    @Test func credentialsCannotBeTriedOut() async throws {
        let rule = try AccessRule("bearer:secret-9")
        let site = SearchSite(search: FakeSearch(), logger: silent) { $0.access = rule }
        func ask(_ token: String?, from peer: String) async throws -> Int {
            try await site.ask(
                "/assets/site.css", headers: token.map { ["Authorization": "Bearer \($0)"] } ?? [:],
                peer: peer
            ).status
        }
        for guess in 0..<10 { #expect(try await ask("guess\(guess)", from: "192.0.2.1") == 401) }
        #expect(try await ask("guess", from: "192.0.2.1") == 429)
        #expect(try await ask("secret-9", from: "192.0.2.1") == 429)
        #expect(try await ask("secret-9", from: "192.0.2.2") == 200)
        // A browser that has not been asked yet guesses nothing.
        for _ in 0..<30 { #expect(try await ask(nil, from: "192.0.2.3") == 401) }
        #expect(try await ask("secret-9", from: "192.0.2.3") == 200)
    }

    @Test func manyProbesAreOneQuestion() async throws {
        let search = FakeSearch()
        let site = SearchSite(search: search, logger: silent)
        let began = ContinuousClock.now
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<200 { group.addTask { try await site.ask("/ready").status } }
            for try await status in group { #expect(status == 200) }
        }
        let halfSeconds = Int((ContinuousClock.now - began) / .milliseconds(500))
        #expect(search.checks.load(ordering: .relaxed) <= halfSeconds + 1)
    }

    // MARK: Names, addresses, rates

    @Test func onlyOwnNamesAreAnswered() async throws {
        let site = SearchSite(search: FakeSearch(), logger: silent) {
            $0.hosts = try! AllowedHosts(["Pictures.example"], host: "127.0.0.1")
        }
        for name in [
            "localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000",
            "pictures.example", "pictures.example:443",
        ] {
            #expect(try await site.ask("/", authority: name).status == 200)
        }
        for name in [
            "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "evil.example:80",
            "[::2]", "", "localhost:8000:9", nil,
        ] {
            #expect(try await site.ask("/", authority: name).status == 421)
            #expect(try await site.ask("/api/search?q=x", authority: name).status == 421)
        }
        // Probes ask by address.
        #expect(try await site.ask("/health", authority: "10.0.0.7:8000").status == 200)
        #expect(try await site.ask("/ready", authority: "10.0.0.7:8000").status == 200)
        let open = SearchSite(search: FakeSearch()) {
            $0.hosts = try! AllowedHosts([], host: "0.0.0.0")
        }
        #expect(try await open.ask("/", authority: "anything.example").status == 200)
    }

    @Test func oneAddressMayNotAskTooOften() async throws {
        let seconds = Mutex(0.0)
        let start = ContinuousClock.now
        let site = SearchSite(search: FakeSearch()) {
            $0.now = { start + .seconds(seconds.withLock { $0 }) }
            $0.requestsPerMinute = 60
            $0.trustedProxies = try! ["10.0.0.1", "::ffff:10.0.0.2"].map { try AddressBlock($0) }
        }
        func ask(_ peer: String, _ forwarded: String? = nil) async throws -> Answer {
            try await site.ask(
                "/search?q=cat", headers: forwarded.map { ["X-Forwarded-For": $0] } ?? [:],
                peer: peer)
        }
        // Ten seconds' worth at once.
        for _ in 0..<10 { #expect(try await ask("192.0.2.1").status == 200) }
        let refused = try await ask("192.0.2.1")
        #expect(refused.status == 429)
        #expect(refused.header("Retry-After") == "1")
        seconds.withLock { $0 += 0.9 }
        #expect(try await ask("192.0.2.1").status == 429)
        seconds.withLock { $0 += 0.2 }
        #expect(try await ask("192.0.2.1").status == 200)
        #expect(try await ask("192.0.2.1").status == 429)
        // Other addresses are not affected, and an untrusted header changes nothing.
        #expect(try await ask("192.0.2.2").status == 200)
        #expect(try await ask("192.0.2.1", "192.0.2.9").status == 429)
        // A trusted proxy names who asks: the last that is not a proxy.
        #expect(try await ask("10.0.0.1", "192.0.2.1").status == 429)
        #expect(try await ask("10.0.0.1", "192.0.2.1, 192.0.2.3").status == 200)
        #expect(try await ask("::ffff:10.0.0.1", "192.0.2.3,192.0.2.1, 10.0.0.2").status == 429)
        // Style sheets and probes are free.
        #expect(try await site.ask("/health", peer: "192.0.2.1").status == 200)
        #expect(try await site.ask("/assets/site.css", peer: "192.0.2.1").status == 200)
        // A page's small pictures count for themselves: 24 for each request.
        for _ in 0..<240 {
            #expect(try await site.ask("/thumbnails/no.jpg", peer: "192.0.2.1").status == 404)
        }
        #expect(try await site.ask("/thumbnails/no.jpg", peer: "192.0.2.1").status == 429)
    }

    /// What the script asks by itself counts a quarter.
    @Test func resultsWhileTypingCountAQuarter() async throws {
        let start = ContinuousClock.now
        let site = SearchSite(search: FakeSearch()) {
            $0.now = { start }
            $0.requestsPerMinute = 60
        }
        func ask(_ part: String?) async throws -> Int {
            let headers = part.map { ["X-Fragment": $0] } ?? [:]
            return try await site.ask("/search?q=cat", headers: headers, peer: "192.0.2.1").status
        }
        for part in ["typing", "row"] {
            for _ in 0..<16 { #expect(try await ask(part) == 200) }
        }
        for _ in 0..<2 { #expect(try await ask("1") == 200) }
        #expect(try await ask("typing") == 429)
        #expect(try await ask(nil) == 429)
    }

    @Test(arguments: [
        "https://x", "x:443", "x/", "x y", "*.example", "", "[::1", "[::1]:80", "a:b",
    ])
    func namesThatNoRequestCanHaveAreRefused(name: String) {
        let error = #expect(throws: SiteOptionError.self) {
            try AllowedHosts([name], host: "0.0.0.0")
        }
        #expect(error?.description.hasPrefix("--allowed-host \(name): ") == true)
    }

    @Test(arguments: ["not-an-ip", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/8/8", "", "/8"])
    func proxiesThatAreNoAddressesAreRefused(text: String) {
        let error = #expect(throws: SiteOptionError.self) { try AddressBlock(text) }
        #expect(error?.description.hasPrefix("--trusted-proxy \(text): ") == true)
    }

    @Test func anIPv6AddressIsAllowedWithAndWithoutBrackets() async throws {
        for name in ["2001:db8::1", "[2001:DB8::1]"] {
            let site = SearchSite(search: FakeSearch(), logger: silent) {
                $0.hosts = try! AllowedHosts([name], host: "0.0.0.0")
            }
            #expect(try await site.ask("/", authority: "[2001:db8::1]:8000").status == 200)
            #expect(try await site.ask("/", authority: "[2001:db8::2]").status == 421)
        }
    }

    /// Blocks of proxies, ports in X-Forwarded-For, and IPv6 customers, who have a /64 each.
    @Test func ratesCountWhomTheProxyNames() async throws {
        let start = ContinuousClock.now
        let site = SearchSite(search: FakeSearch()) {
            $0.now = { start }
            $0.requestsPerMinute = 6
            $0.trustedProxies = try! ["10.0.0.0/8", "fd00::/7"].map { try AddressBlock($0) }
        }
        func ask(_ peer: String, _ forwarded: String? = nil) async throws -> Int {
            try await site.ask(
                "/search?q=cat", headers: forwarded.map { ["X-Forwarded-For": $0] } ?? [:],
                peer: peer
            ).status
        }
        #expect(try await ask("10.9.8.7", "192.0.2.1:4711") == 200)
        #expect(try await ask("fd12::1", "192.0.2.1") == 429)
        #expect(try await ask("10.1.1.1", "192.0.2.1, 10.200.0.1") == 429)
        #expect(try await ask("11.0.0.1", "192.0.2.2") == 200)
        #expect(try await ask("192.0.2.2") == 200)
        #expect(try await ask("2001:db8:1:2::1") == 200)
        #expect(try await ask("2001:db8:1:2:ffff::9") == 429)
        #expect(try await ask("10.0.0.1", "[2001:db8:1:2::5]:443") == 429)
        #expect(try await ask("2001:db8:1:3::1") == 200)
    }

    /// Browsers too old for Sec-Fetch-Site send Origin.
    @Test func formsWithTheOriginOfAnotherSiteAreRefused() async throws {
        let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder()) { _ in }
        func post(_ origin: String?) async throws -> Int {
            let headers = ["Content-Type": "image/jpeg"]
            return try await site.ask(
                "/search", method: .post,
                headers: origin.map { headers.merging(["Origin": $0]) { $1 } } ?? headers,
                body: [[1]], authority: "pictures.example:8000"
            ).status
        }
        #expect(try await post("https://evil.example") == 403)
        #expect(try await post("null") == 403)
        #expect(try await post("https://pictures.example.evil.example") == 403)
        #expect(try await post("http://pictures.example:8000") == 303)
        #expect(try await post("https://Pictures.example") == 303)
        #expect(try await post(nil) == 303)
    }

    @Test func formsOfOtherSitesAreRefused() async throws {
        let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder()) { _ in }
        for target in ["/search", "/api/search", "/search_form"] {
            let headers = ["Sec-Fetch-Site": "cross-site", "Content-Type": "image/jpeg"]
            let answer = try await site.ask(target, method: .post, headers: headers, body: [[1]])
            #expect(answer.status == 403)
        }
        // A link from elsewhere is welcome.
        let link = try await site.ask("/search?q=x", headers: ["Sec-Fetch-Site": "cross-site"])
        #expect(link.status == 200)
    }

    // MARK: Numbers and logs

    @Test func metricsCountWhatHappened() async throws {
        let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder(), logger: silent) {
            $0.build = [("version", "1.2.3"), ("commit", "abc")]
        }
        for _ in 0..<3 { _ = try await site.ask("/search?q=private\"thing") }
        _ = try await site.ask("/no/such\"page{}")
        let answer = try await site.ask("/metrics")
        #expect(answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
        let lines = answer.text.split(separator: "\n").map(String.init)
        #expect(lines.contains(#"clip_search_build_info{version="1.2.3",commit="abc"} 1"#))
        #expect(lines.contains("# TYPE clip_search_build_info gauge"))
        #expect(
            lines.contains(
                #"clip_search_requests_total{method="GET",route="/search",status="200"} 3"#))
        #expect(
            lines.contains(
                #"clip_search_requests_total{method="GET",route="none",status="404"} 1"#))
        #expect(lines.contains(#"clip_search_search_seconds_count{outcome="found"} 3"#))
        #expect(lines.contains(#"clip_search_search_seconds_bucket{outcome="found",le="+Inf"} 3"#))
        #expect(!answer.text.contains("private") && !answer.text.contains("such"))
        // Each line is a comment or a sample (Prometheus exposition format).
        let sample = /[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? -?[0-9.e+-]+/
        for line in lines where !line.hasPrefix("# ") {
            #expect(line.wholeMatch(of: sample) != nil, "\(line)")
        }
    }

    @Test func requestsAreLoggedWithoutWhatIsSearchedFor() async throws {
        for logsQueries in [false, true] {
            let log = RecordedLog()
            let logger = Logger(label: "test") { _ in log }
            let site = SearchSite(search: FakeSearch(), embedder: FakeEmbedder(), logger: logger) {
                $0.logsRequests = true
                $0.logsQueries = logsQueries
            }
            _ = try await site.ask("/search?q=privatething", peer: "192.0.2.7", logger: logger)
            _ = try await site.ask("/search/gQ?q=privatething", logger: logger)
            let lines = log.lines.filter { $0.hasPrefix("info request") }
            #expect(lines.count == 2)
            #expect(lines[0].contains("client=192.0.2.7") && lines[0].contains("path=/search"))
            #expect(lines[1].contains("path=/search/…"))
            #expect(lines.contains { $0.contains("privatething") } == logsQueries)
        }
    }

    @Test func theDescriptionNamesEveryRoute() async throws {
        let answer = try await SearchSite(search: FakeSearch()).ask("/openapi.json")
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        let paths = try #require(document["paths"] as? [String: Any])
        #expect(
            Set(paths.keys) == [
                "/api/search", "/api/embedding", "/api/pictures/{key}", "/health", "/ready",
            ])
    }

    @Test func whatIsKnownOfAPicture() async throws {
        let folder = try TemporaryFolder()
        try folder.write(PictureTests.jpeg, to: "a b.jpg")
        let (site, _) = PictureTests.site(folder)
        let answer = try await site.ask("/api/pictures/a%20b.jpg")
        #expect(
            answer.text
                == #"{"key":"a b.jpg","url":"/pictures/a%20b.jpg","size":64,"#
                + #""similar":"/api/search?image_key=a%20b.jpg"}"#)
        let unknown = SearchSite(
            search: FakeSearch(result: nil, error: SearchError.unknownKey("x")), logger: silent)
        let missing = try await unknown.ask("/api/pictures/x")
        #expect(missing.status == 404)
        #expect(missing.header("Content-Type") == "application/problem+json")
        for target in ["/api/pictures/%FF", "/api/pictures/a%00", "/api/pictures/a/b"] {
            #expect(try await site.ask(target).status == 404)
        }
    }
}
