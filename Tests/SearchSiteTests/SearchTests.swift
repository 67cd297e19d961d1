import Foundation
import Hummingbird
import ImageSearch
import Logging
import SearchSite
import Testing

@Suite struct SearchTests {
    /// Every link of a page repeats the search, so a search that no link could hold is refused.
    @Test func searchesThatFitNoAddressAreRefused() async throws {
        let site = SearchSite(search: FakeSearch())
        let text = String(repeating: "\u{1F600}", count: 1_000)
        #expect(try await site.post("search_text=\(text)").status == 200)
        let answer = try await site.post("search_text=\(text)&more=\(text)&limit=240")
        #expect(answer.status == 400 && answer.text.utf8.count < 10_000)
    }

    @Test func resultsShowRankKeyAndLink() async throws {
        let search = FakeSearch { .presigned(url: "https://s3.example/b/\($0)?a=1&b=2") }
        let page = try await SearchSite(search: search).ask("/search?q=man+jumping")
        #expect(page.status == 200)
        #expect(page.header("Cache-Control") == "no-store")
        #expect(page.text.contains("<title>man jumping - Picture Search</title>"))
        #expect(page.text.contains("value=\"man jumping\""))
        #expect(page.text.contains("data-status=\"The 2 nearest pictures for man jumping\""))
        #expect(page.text.contains("1,005 pictures, nearest first"))
        let address = "https://s3.example/b/a.jpg?a=1&amp;b=2"
        #expect(
            page.text.contains(
                "<a class=\"frame\" href=\"?q=man%20jumping&amp;view=a.jpg&amp;at=1\">"
                    + "<img src=\"\(address)\""))
        #expect(page.text.contains("alt=\"Picture 1: a.jpg\""))
        #expect(page.text.contains("<bdi class=\"key\" title=\"b.jpg\">b.jpg</bdi>"))
        #expect(search.texts == ["man jumping"])
        #expect(search.limits == [24])
    }

    @Test(arguments: [
        (0.2865, "0.287"), (0.3125, "0.313"), (1, "1.000"), (-0.0004, "0.000"), (-0.25, "-0.250"),
        (0.9996, "1.000"),
        (0.05, "0.050"), (.nan, "nan"), (.infinity, "inf"),
    ])
    func scoresHaveThreeDecimals(score: Double, text: String) async throws {
        let hit = SearchHit(rank: 1, key: "a", score: score)
        let search = FakeSearch(result: SearchResult(hits: [hit], isTruncated: false))
        let page = try await SearchSite(search: search).ask("/search?q=x&view=a&at=1")
        #expect(page.text.contains("<dt>Similarity</dt><dd>\(text)</dd>"))
    }

    @Test func theFormsAnswerIsTheSameResultsAsAFragment() async throws {
        let search = FakeSearch(result: FakeSearch.found(["a.jpg"], isTruncated: true))
        let site = SearchSite(search: search)
        let fragment = try await site.post("search_text=outer+space")
        let page = try await site.ask("/search?q=outer%20space")
        #expect(fragment.status == 200)
        #expect(fragment.header("Content-Type") == "text/html; charset=utf-8")
        #expect(fragment.text.hasPrefix("<section"))
        #expect(!fragment.text.contains("<html"))
        #expect(page.text.contains(fragment.text))
        #expect(fragment.text.contains("longer than the 77 tokens"))
        #expect(search.texts == ["outer space", "outer space"])
        #expect(search.limits == [24, 24])
        let short = try await SearchSite(search: FakeSearch()).post("search_text=x")
        #expect(!short.text.contains("77 tokens"))
    }

    /// Texts and keys that try to leave the place they are put in.
    static let hostile = [
        "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onfocus='alert(1)",
        "{{query}} {{{content}}} {{>icon}} {{/hits}}", "</title></textarea></style>", "&lt;&amp;",
        // A combining mark makes one Character of it and the character before.
        "\"\u{301} onerror=alert(1) x=\"\u{308}", "<\u{20DD}script>\u{301}", "'\u{200D}x",
        "&\u{301}",
        "\u{202E}gpj.exe\u{2066}", "a\nb\r\nc\td", "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
    ]

    @Test(arguments: hostile)
    func nothingLeavesItsPlace(text: String) async throws {
        // The escaping is checked against the HTML Standard's rule, written down independently.
        let escaped = String(
            String.UnicodeScalarView(
                text.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
                    let special = ["&": "amp", "<": "lt", ">": "gt", "\"": "quot", "'": "#39"]
                    guard let name = special[String(scalar)] else { return [scalar] }
                    return Array("&\(name);".unicodeScalars)
                }))
        let search = FakeSearch(result: FakeSearch.found([text]))
        let query = text.addingPercentEncoding(withAllowedCharacters: .alphanumerics)!
        let site = SearchSite(search: search)
        let page = try await site.ask("/search?q=\(query)")
        #expect(search.texts == [text])
        for place in [
            "value=\"\(escaped)\"", "<q dir=\"auto\">\(escaped)</q>",
            "<title>\(escaped) - Picture Search</title>",
            "<bdi class=\"key\" title=\"\(escaped)\">\(escaped)</bdi>",
            "alt=\"Picture 1: \(escaped)\"",
        ] {
            #expect(page.text.utf8.contains(place.utf8))
        }
        // Everything else is as for harmless texts.
        let plain = try await SearchSite(search: FakeSearch(result: FakeSearch.found(["x"])))
            .ask("/search?q=x")
        for character in "<\"'" {
            #expect(
                page.body.count { $0 == character.asciiValue }
                    == plain.body.count { $0 == character.asciiValue })
        }
    }

    @Test func errorsAreEscapedToo() async throws {
        struct Loud: PictureSearch {
            struct Failure: Error, CustomStringConvertible {
                var description = "relation \"<b>pictures</b>\" does not exist"
            }
            func search(_ query: SearchQuery) async throws -> SearchResult { throw Failure() }
            func location(of key: String) throws -> PictureLocation { throw Failure() }
            func checkHealth() async throws { throw Failure() }
        }
        var configuration = SearchSite.Configuration()
        configuration.showsReasons = true
        let answer = try await SearchSite(
            search: Loud(), configuration: configuration, logger: silent
        ).ask("/search?q=x")
        #expect(answer.text.contains("&quot;&lt;b&gt;pictures&lt;/b&gt;&quot;"))
        #expect(!answer.text.contains("<b>"))
    }

    @Test func theLogTellsOfFailuresButNotOfTexts() async throws {
        let log = RecordedLog()
        let logger = Logger(label: "test") { _ in log }
        for result in [FakeSearch.found([]), nil] {
            let site = SearchSite(search: FakeSearch(result: result), logger: logger)
            _ = try await site.ask("/search?q=privatething", logger: logger)
            _ = try await site.ask(
                "/search_form", method: .post, body: [Array("search_text=privatething".utf8)],
                logger: logger)
        }
        for (request, status) in [("GET", "200"), ("POST", "503")] {
            #expect(
                log.lines.contains {
                    $0.hasPrefix("debug request") && $0.contains(" method=\(request) ")
                        && $0.contains(" status=\(status)")
                })
        }
        let failure = "error A search failed: \(FakeSearch.Failure().description)"
        #expect(log.lines.count { $0 == failure } == 2)
        #expect(!log.lines.contains { $0.contains("privatething") })
    }

    @Test func anEmptyTableIsNoError() async throws {
        let site = SearchSite(search: FakeSearch(result: FakeSearch.found([])))
        let answer = try await site.ask("/search?q=cat")
        #expect(answer.status == 200)
        #expect(answer.text.contains("No pictures yet"))
        #expect(answer.text.contains("<code>process-images</code>"))
        #expect(!answer.text.contains("<ol"))
    }

    @Test(arguments: [true, false])
    func aFailedSearchIsNeverAnEmptyOne(showsReasons: Bool) async throws {
        let site = SearchSite(search: FakeSearch(result: nil), logger: silent) {
            $0.showsReasons = showsReasons
        }
        let page = try await site.ask("/search?q=cat")
        let fragment = try await site.post("search_text=cat")
        for answer in [page, fragment] {
            #expect(answer.status == 503)
            #expect(answer.header("Retry-After") == "2")
            #expect(answer.text.contains("The search is not available right now"))
            // Which servers there are is not every visitor's business.
            let reason = "the database does not answer; check PG_SERVICE_URI"
            #expect(answer.text.contains(reason) == showsReasons)
            #expect(!answer.text.contains("No pictures"))
        }
        #expect(page.text.contains("value=\"cat\""))
        #expect(!fragment.text.contains("<html"))
    }

    @Test func onePictureWithoutALocationDoesNotSpoilTheOthers() async throws {
        let search = FakeSearch { key in
            if key == "a.jpg" { throw FakeSearch.Failure() }
            return .presigned(url: "https://s3.example/\(key)")
        }
        let answer = try await SearchSite(search: search).ask("/search?q=cat")
        #expect(answer.status == 200)
        #expect(answer.text.contains("title=\"a.jpg\""))
        #expect(answer.text.contains("<img src=\"https://s3.example/b.jpg\""))
        #expect(answer.text.matches(of: /<img/).count == 1)
    }

    @Test(arguments: ["/search", "/search?q=", "/search?q=%20%09+%E3%80%80%0A", "/search?x=cat"])
    func withoutATextThereIsAHint(target: String) async throws {
        let search = FakeSearch()
        let page = try await SearchSite(search: search).ask(target)
        #expect(page.status == 200)
        #expect(page.text.contains("What are you looking for?"))
        #expect(search.texts.isEmpty)
    }

    @Test func whatIsNoTextIsRefused() async throws {
        let search = FakeSearch()
        let site = SearchSite(search: search)
        for encoded in ["%FF", "a%C3", "%C0%AF", "%ED%A0%80", "%F4%90%80%80", "cat%00dog"] {
            let page = try await site.ask("/search?q=\(encoded)")
            #expect(page.status == 400)
            #expect(page.text.contains("This text cannot be searched for"))
            let fragment = try await site.post("search_text=\(encoded)")
            #expect(fragment.status == 400)
            #expect(fragment.text.hasPrefix("<section"))
        }
        #expect(search.texts.isEmpty)
    }

    @Test func longTextsAreRefused() async throws {
        let search = FakeSearch()
        let site = SearchSite(search: search)
        let longest = String(repeating: "é", count: 1_000)
        let encoded = String(repeating: "%C3%A9", count: 1_000)
        #expect(try await site.ask("/search?q=\(encoded)").status == 200)
        #expect(search.texts == [longest])
        let longer = try await site.ask("/search?q=\(encoded)x")
        #expect(longer.status == 400)
        #expect(longer.text.contains("The text has 1001 characters"))
        #expect(
            try await site.ask("/search?q=" + String(repeating: "a", count: 100_000)).status == 400)
        // The white space around it does not count.
        #expect(try await site.ask("/search?q=+++\(encoded)+++").status == 200)
        // One Character of many code points.
        let marks = "a" + String(repeating: "%CC%81", count: 1_000)
        #expect(try await site.ask("/search?q=\(marks)").status == 400)
    }

    @Test func largeFormsAreRefusedUnread() async throws {
        let search = FakeSearch()
        let site = SearchSite(search: search)
        let chunk = [UInt8](repeating: UInt8(ascii: "a"), count: 16_384)
        let answer = try await site.ask(
            "/search_form", method: .post,
            headers: ["Content-Type": "application/x-www-form-urlencoded"],
            body: [Array("search_text=".utf8)] + [[UInt8]](repeating: chunk, count: 100))
        #expect(answer.status == 413)
        #expect(answer.text.hasPrefix("<section"))
        #expect(search.texts.isEmpty)
        // In parts, and just small enough.
        let parts = [
            Array("x=".utf8), chunk, Array("&search_te".utf8), Array("xt=c%6".utf8), [0x31],
        ]
        #expect(try await site.ask("/search_form", method: .post, body: parts).status == 200)
        #expect(search.texts == ["ca"])
    }

    @Test func otherKindsOfBodiesAreRefused() async throws {
        let search = FakeSearch()
        let site = SearchSite(search: search)
        #expect(try await site.post("{}", type: "application/json").status == 415)
        #expect(try await site.post("search_text=a", type: "text/plain").status == 415)
        #expect(try await site.post("q=cat").status == 400)
        #expect(try await site.post("").status == 400)
        #expect(search.texts.isEmpty)
        #expect(try await site.post("search_text=a", type: nil).status == 200)
        #expect(try await site.post("search_text=").text.contains("What are you looking for?"))
        let shouted = try await site.post(
            "search_text=b", type: "Application/X-WWW-Form-URLEncoded")
        #expect(shouted.status == 200)
        #expect(search.texts == ["a", "b"])
    }
}

extension String.UTF8View {
    func contains(_ other: String.UTF8View) -> Bool {
        Data(self).range(of: Data(other)) != nil
    }
}
