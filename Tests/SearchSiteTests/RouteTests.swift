import Foundation
import Hummingbird
import SearchSite
import Testing

@Suite struct RouteTests {
    let site = SearchSite(search: FakeSearch())

    @Test func firstPageHasABoxAndExamples() async throws {
        let answer = try await site.ask("/")
        #expect(answer.status == 200)
        #expect(answer.header("Content-Type") == "text/html; charset=utf-8")
        #expect(
            answer.text.contains(
                "<form id=\"search\" class=\"search\" role=\"search\" action=\"/search\""))
        #expect(answer.text.contains("<label class=\"unseen\" for=\"query\">"))
        for link in ["/search?q=cat", "/search?q=man%20jumping", "/search?q=outer%20space"] {
            #expect(answer.text.contains("href=\"\(link)\""))
        }
        #expect(answer.text.contains("<title>Picture Search</title>"))
        #expect(answer.text.contains("<meta property=\"og:title\""))
        // Some of the collection, each of which leads to its like.
        #expect(answer.text.matches(of: /<a class="frame"/).count == 18)
        #expect(
            answer.text.contains(
                "<li class=\"a15\"><a class=\"frame\" href=\"/search?image_key=s1%26.jpg\">"))
        let part = try await site.ask("/", headers: ["X-Fragment": "1"])
        #expect(part.text.contains("data-view=\"home\"") && !part.text.contains("<html"))
    }

    @Test func theOperatorNamesThePage() async throws {
        let site = SearchSite(search: FakeSearch()) {
            $0.siteName = "Ann & Bob"
            $0.examples = ["snow"]
            $0.isLive = false
        }
        let page = try await site.ask("/")
        #expect(page.text.contains("<title>Ann &amp; Bob</title>"))
        #expect(page.text.contains("href=\"/search?q=snow\"") && !page.text.contains("q=cat"))
        #expect(!page.text.contains("data-live"))
        let results = try await site.ask("/search?q=cat")
        #expect(results.text.contains("<title>cat - Ann &amp; Bob</title>"))
    }

    @Test func everythingAPageLoadsIsHereAndSmall() async throws {
        let page = try await site.ask("/search?q=cat")
        var total = 0
        let loaded = page.text.matches(of: /(?:<script|<link)[^>]*(?:src|href)="([^"]+)"/)
        #expect(loaded.count == 3)
        for match in loaded {
            let asset = try await site.ask(String(match.1))
            #expect(asset.status == 200)
            #expect(asset.header("Cache-Control") == "public, max-age=31536000, immutable")
        }
        // As browsers get them.
        for target in loaded.map({ String($0.1) }) + ["/search?q=cat"] {
            total += try await site.ask(target, headers: ["Accept-Encoding": "gzip"]).body.count
        }
        #expect(total < 20_000)
        let stale = try await site.ask("/assets/site.css?v=old")
        #expect(stale.header("Cache-Control") == "public, max-age=300")
        #expect(try await site.ask("/favicon.ico").header("Content-Type") == "image/svg+xml")
        #expect(!page.text.contains("style=") && !page.text.contains("onclick"))
    }

    @Test(arguments: ["/", "/search?q=cat", "/health", "/no", "/pictures/no", "/assets/site.js"])
    func everyAnswerHasTheHeaders(target: String) async throws {
        let answer = try await site.ask(target)
        #expect(answer.header("X-Content-Type-Options") == "nosniff")
        #expect(answer.header("Referrer-Policy") == "no-referrer")
        #expect(answer.header("X-Frame-Options") == "DENY")
        #expect(answer.header("Cross-Origin-Opener-Policy") == "same-origin")
        let policy = try #require(answer.header("Content-Security-Policy"))
        #expect(policy.hasPrefix("default-src 'none'"))
        #expect(policy.contains("frame-ancestors 'none'"))
        #expect(!policy.contains("unsafe") && !policy.contains("*"))
    }

    @Test(arguments: ["/", "/search?q=cat", "/health", "/no", "/pictures/no", "/favicon.svg"])
    func headAnswersLikeGetWithoutABody(target: String) async throws {
        let get = try await site.ask(target)
        let head = try await site.ask(target, method: .head)
        #expect(head.status == get.status)
        #expect(head.body.isEmpty)
        #expect(head.headers == get.headers)
        #expect(head.header("Content-Length") == "\(get.body.count)")
    }

    @Test(arguments: [
        (HTTPRequest.Method.post, "/", "GET, HEAD"), (.put, "/search", "GET, HEAD, POST"),
        (.delete, "/search?q=cat", "GET, HEAD, POST"), (.get, "/search_form", "POST"),
        (.put, "/search_form", "POST"), (.post, "/health", "GET, HEAD"),
        (.post, "/pictures/a.jpg", "GET, HEAD"), (.options, "/assets/site.js", "GET, HEAD"),
    ])
    func otherMethodsAreNotAllowed(method: HTTPRequest.Method, target: String, allowed: String)
        async throws
    {
        let answer = try await site.ask(target, method: method)
        #expect(answer.status == 405)
        #expect(answer.header("Allow") == allowed)
    }

    @Test(arguments: [
        "/no", "/Search", "/search/x", "/search/x/y", "/search_form/x", "/assets", "/assets/",
        "/assets/no.css",
        "/pictures", "/pictures/", "/.env", "/%2e%2e/%2e%2e/etc/passwd", "/index.html",
    ])
    func unknownPathsGetAPage(target: String) async throws {
        let answer = try await site.ask(target)
        #expect(answer.status == 404)
        #expect(answer.text.contains("There is no such p"))
        #expect(answer.text.contains("<form id=\"search\" class=\"search\""))
        // A fragment only for the script's own request.
        let posted = try await site.ask(target, method: .post)
        let isKnown = target.hasPrefix("/pictures/") || target.hasPrefix("/search/")
        #expect(posted.status == (isKnown ? 405 : 404))
    }

    @Test func healthIsLifeAndReadyIsBeingAble() async throws {
        let sick = FakeSearch(isHealthy: false)
        let ill = SearchSite(search: sick, logger: silent) { $0.showsReasons = true }
        for (answer, status) in [
            (try await site.ask("/health"), 200), (try await site.ask("/ready"), 200),
            (try await ill.ask("/health"), 200),
        ] {
            #expect(answer.status == status)
            #expect(answer.text == #"{"status":"ok"}"#)
            #expect(answer.header("Content-Type") == "application/json")
            #expect(answer.header("Cache-Control") == "no-store")
        }
        let unready = try await ill.ask("/ready")
        #expect(unready.status == 503)
        #expect(unready.header("Retry-After") == "2")
        let told = try JSONDecoder().decode([String: String].self, from: Data(unready.body))
        #expect(told == ["status": "unavailable", "reason": FakeSearch.Failure().description])
        let discreet = try await SearchSite(search: sick, logger: silent).ask("/ready")
        #expect(discreet.status == 503 && discreet.text == #"{"status":"unavailable"}"#)
    }

    @Test func policyAllowsTheStoresOriginEvenBeforeASearch() async throws {
        let search = FakeSearch { .presigned(url: "https://s3.example:9000/b/\($0)?X-Amz-Date=1") }
        for target in ["/", "/search?q=cat", "/no"] {
            let answer = try await SearchSite(search: search).ask(target)
            let policy = try #require(answer.header("Content-Security-Policy"))
            #expect(policy.contains("img-src 'self' data: https://s3.example:9000;"))
        }
        // A policy cannot name an IPv6 address.
        let local = FakeSearch { .presigned(url: "http://[::1]:9000/b/\($0)") }
        let answer = try await SearchSite(search: local).ask("/")
        #expect(try #require(answer.header("Content-Security-Policy")).contains("data: http:;"))
        let files = try await site.ask("/").header("Content-Security-Policy")
        #expect(try #require(files).contains("img-src 'self' data:;"))
    }

    @Test(arguments: [
        "javascript:alert(1)", "data:image/svg+xml,<svg/>", "//evil.example/x", "https://",
        "https://a.example;script-src */x", "https://a b/x", "https://\"'/x", "",
    ])
    func onlyWebAddressesBecomeLinks(url: String) async throws {
        let answer = try await SearchSite(search: FakeSearch { _ in .presigned(url: url) })
            .ask("/search?q=cat")
        #expect(answer.status == 200)
        #expect(!answer.text.contains("<img"))
        #expect(answer.text.contains("<div class=\"frame broken\">"))
        let policy = try #require(answer.header("Content-Security-Policy"))
        #expect(policy.contains("img-src 'self' data:;"))
    }
}
