import Foundation
import Hummingbird
import ImageSearch
import SearchSite
import Testing

/// What addresses say, and what the search is asked because of it.
@Suite struct StateTests {
    private func terms(_ search: FakeSearch) -> [SearchQuery.Term] {
        search.queries.flatMap(\.terms)
    }

    @Test func everyFieldReachesTheSearch() async throws {
        let search = FakeSearch()
        let page = try await SearchSite(search: search).ask(
            "/search?q=beach&more=sunset&more=boat&less=people&image_key=a%2Fb.jpg"
                + "&limit=48&offset=24&min_score=0.25")
        #expect(page.status == 200)
        let query = try #require(search.queries.first)
        #expect(
            query.terms == [
                .init(.key("a/b.jpg")), .init(.text("beach"), weight: 2),
                .init(.text("sunset"), weight: 2), .init(.text("boat"), weight: 2),
                .init(.text("people"), weight: -1),
            ])
        #expect(query.limit == 48 && query.offset == 24 && query.minimumScore == 0.25)
    }

    @Test func withoutAPictureWordsCountOnce() async throws {
        let search = FakeSearch()
        _ = try await SearchSite(search: search).ask("/search?q=beach&more=sunset&less=people")
        #expect(
            terms(search) == [
                .init(.text("beach")), .init(.text("sunset")),
                .init(.text("people"), weight: -0.5),
            ])
    }

    @Test(arguments: [
        "limit=0", "limit=241", "limit=-1", "limit=%2B5", "limit=1e2", "limit=99999999999999999999",
        "offset=-1", "offset=100001", "offset=x", "min_score=nan", "min_score=inf", "min_score=1.1",
        "min_score=0x1p-2", "min_score=", "at=-1", "image_key=%FF", "image_key=a%00b",
        "view=%C0%AF",
        "more=%FF", "less=a%00", "image_key=\(String(repeating: "a", count: 1_025))",
        (0..<9).map { "more=\($0)" }.joined(separator: "&"),
        (0..<9).map { "image_key=\($0)" }.joined(separator: "&"),
    ])
    func whatNoPageMakesIsRefused(field: String) async throws {
        let search = FakeSearch()
        let answer = try await SearchSite(search: search).ask("/search?q=cat&\(field)")
        #expect(answer.status == (field == "min_score=" ? 200 : 400))
        #expect(search.queries.count == (field == "min_score=" ? 1 : 0))
        // The same for programs, as a problem document.
        let program = try await SearchSite(search: search).ask("/api/search?q=cat&\(field)")
        #expect(program.status == answer.status)
        if program.status == 400 {
            #expect(program.header("Content-Type") == "application/problem+json")
        }
    }

    @Test func everyFilterReachesTheSearch() async throws {
        let fields =
            "prefix=2024%2F&after=2024-05-01&before=2024-06&camera=Nikon&shape=portrait"
            + "&min_width=640&min_height=480"
        let filter = PictureFilter(
            prefix: "2024/", after: WallTime("2024-05-01"), before: WallTime("2024-06"),
            camera: "Nikon", shape: .portrait, minimumWidth: 640, minimumHeight: 480)
        for target in ["/search", "/api/search"] {
            let search = FakeSearch()
            let answer = try await SearchSite(search: search).ask("\(target)?q=cat&\(fields)")
            #expect(answer.status == 200)
            #expect(search.queries.map(\.filter) == [filter])
        }
        // Each is a chip that leads to the search without it.
        let page = try await SearchSite(search: FakeSearch()).ask(
            "/search?q=cat&camera=Nikon&shape=portrait")
        #expect(page.text.contains("<a href=\"/search?q=cat&amp;shape=portrait\""))
        #expect(page.text.contains("<a href=\"/search?q=cat&amp;camera=Nikon\""))
        let none = try await SearchSite(search: FakeSearch(result: FakeSearch.found([])))
            .ask("/search?q=cat&shape=square")
        #expect(none.text.contains("No picture matches the filters"))
        #expect(none.text.contains("href=\"/search?q=cat\""))
    }

    @Test(arguments: [
        "after=yesterday", "before=2024-13", "after=2024-06&before=2024-05", "shape=round",
        "min_width=0", "min_height=-1", "min_width=1000001", "prefix=a%00b", "camera=%FF",
    ])
    func filtersThatMatchNothingAreRefused(field: String) async throws {
        let search = FakeSearch()
        for target in ["/search", "/api/search"] {
            let answer = try await SearchSite(search: search).ask("\(target)?q=cat&\(field)")
            #expect(answer.status == 400)
        }
        #expect(search.queries.isEmpty)
    }

    @Test(arguments: ["folder=a", "Q=cat", "view=a", "q[]=cat", "=x"])
    func unknownParametersAreRefused(field: String) async throws {
        let search = FakeSearch()
        let answer = try await SearchSite(search: search).ask("/api/search?q=cat&\(field)")
        #expect(answer.status == 400)
        let name = field.prefix { $0 != "=" }
        #expect(answer.text.contains("no parameter \(name)"))
        #expect(search.queries.isEmpty)
    }

    @Test func rowsKnowTheShapesOfTheirPictures() async throws {
        let facts = PictureFacts(
            width: 1_502, height: 1_000, takenAt: "2024-05-01T12:30:00", camera: "Nikon Z 6")
        let hits = [
            SearchHit(rank: 1, key: "a.jpg", score: 0.5, facts: facts),
            SearchHit(rank: 2, key: "b.jpg", score: 0.4),
        ]
        let search = FakeSearch(result: SearchResult(hits: hits, isTruncated: false)) {
            .presigned(url: "https://store.example/\($0)?signature")
        }
        let site = SearchSite(search: search)
        let page = try await site.ask("/search?q=cat")
        #expect(page.text.contains("<li id=\"n1\" class=\"a15 c2\">"))
        #expect(page.text.contains("<li id=\"n2\" class=\"a10 fit\">"))
        #expect(page.text.contains("width=\"1502\" height=\"1000\""))
        // A row that knows its picture has a preview; others show the original.
        #expect(page.text.contains("<img src=\"/thumbnails/a.jpg\""))
        #expect(page.text.contains("<img src=\"https://store.example/b.jpg?signature\""))
        let large = try await site.ask("/search?q=cat&view=a.jpg&at=1")
        for text in ["2024-05-01 12:30", "Nikon Z 6", "<dt>Pixels</dt><dd>1502 × 1000</dd>"] {
            #expect(large.text.contains(text))
        }
        let program = try await site.ask("/api/search?q=cat")
        #expect(
            program.text.contains(
                #""width":1502,"height":1000,"taken_at":"2024-05-01T12:30:00","camera":"Nikon Z 6""#
            ))
    }

    @Test func furtherWordsLeadToTheAddressThatHasThem() async throws {
        let site = SearchSite(search: FakeSearch())
        let more = try await site.ask("/search?q=cat&limit=48&offset=24&add=+night+&sign=more")
        #expect(more.status == 303)
        #expect(more.header("Location") == "/search?q=cat&more=night")
        let less = try await site.ask("/search?q=cat&more=night&add=dog%26x&sign=less")
        #expect(less.header("Location") == "/search?q=cat&more=night&less=dog%26x")
        let none = try await site.ask("/search?image_key=a.jpg&add=++&sign=less")
        #expect(none.header("Location") == "/search?image_key=a.jpg")
        let full = (0..<8).map { "less=\($0)" }.joined(separator: "&")
        #expect(try await site.ask("/search?q=a&\(full)&add=b&sign=less").status == 400)
        // And the page can leave each of them out again.
        let page = try await site.ask("/search?q=cat&more=night&less=dog")
        #expect(page.text.contains("<a href=\"/search?q=cat&amp;less=dog\""))
        #expect(page.text.contains("<a href=\"/search?q=cat&amp;more=night\""))
        #expect(page.text.contains("<input type=\"hidden\" name=\"less\" value=\"dog\">"))
    }

    @Test func morePicturesHaveAnAddress() async throws {
        let keys = (0..<24).map { "\($0).jpg" }
        let search = FakeSearch(result: FakeSearch.found(keys, hasMore: true))
        let site = SearchSite(search: search)
        let page = try await site.ask("/search?q=cat")
        #expect(page.text.contains("href=\"?q=cat&amp;limit=48#n25\""))
        #expect(page.text.contains("data-part=\"?q=cat&amp;offset=24\""))
        #expect(!page.text.contains("rel=\"prev\""))
        let second = try await site.ask("/search?q=cat&offset=24")
        #expect(second.text.contains("rel=\"prev\" href=\"?q=cat\""))
        #expect(second.text.contains("Pictures 25 to 48"))
        // A page does not grow without end.
        let long = FakeSearch(
            result: FakeSearch.found((0..<240).map { "\($0).jpg" }, hasMore: true))
        let last = try await SearchSite(search: long).ask("/search?q=cat&limit=240")
        #expect(last.text.contains("rel=\"next\" href=\"?q=cat&amp;offset=240\""))
        let end = try await SearchSite(search: FakeSearch()).ask("/search?q=cat")
        #expect(!end.text.contains("class=\"pages\""))
    }

    /// The pictures in places 1 to 6: the first with copies in 3 and 4, the second with one in 6.
    private static let stacked = SearchResult(
        hits: [
            SearchHit(
                rank: 1, key: "a.jpg", score: 0.5,
                copies: [
                    SearchHit(rank: 3, key: "a2.jpg", score: 0.4),
                    SearchHit(rank: 4, key: "a3.jpg", score: 0.4),
                ]),
            SearchHit(
                rank: 2, key: "b.jpg", score: 0.5,
                copies: [SearchHit(rank: 6, key: "b2.jpg", score: 0.3)]),
            SearchHit(rank: 5, key: "c.jpg", score: 0.3),
        ], isTruncated: false, hasMore: true, stackScore: 0.9981)

    @Test func copiesAreOnePictureWithTheirNumber() async throws {
        let search = FakeSearch(result: Self.stacked)
        let page = try await SearchSite(search: search).ask("/search?q=cat&prefix=x")
        #expect(search.queries.map(\.isStacked) == [true])
        #expect(page.text.contains("<li id=\"n5\"") && !page.text.contains("<li id=\"n3\""))
        // A place among the copies leads to their picture.
        #expect(page.text.contains("<i id=\"n3\"></i>"))
        let link = "/search?image_key=a.jpg&amp;min_score=0.9981&amp;stacked=false&amp;prefix=x"
        #expect(page.text.contains("href=\"\(link)\" title=\"3 copies\""))
        // What comes next begins after all six; the page grows by pictures without copies.
        #expect(page.text.contains("data-part=\"?q=cat&amp;prefix=x&amp;offset=6\""))
        #expect(page.text.contains("href=\"?q=cat&amp;prefix=x&amp;limit=27#n7\""))
        let copies = try await SearchSite(search: search).ask(
            link.replacing("&amp;", with: "&"))
        #expect(search.queries.last?.isStacked == false)
        #expect(search.queries.last?.minimumScore == 0.9981)
        #expect(copies.text.contains("Copies of a.jpg"))
        #expect(copies.text.contains("<a href=\"/search?image_key=a.jpg&amp;prefix=x\""))
        let similar = try await SearchSite(search: search).ask(
            "/search?image_key=a.jpg&min_score=0.5&stacked=false")
        #expect(!similar.text.contains("Copies of a.jpg"))
    }

    @Test(arguments: ["", "&stacked=true", "&stacked=false"])
    func programsSayWhetherCopiesAreStacked(field: String) async throws {
        let search = FakeSearch(result: Self.stacked)
        let answer = try await SearchSite(search: search).ask("/api/search?q=cat\(field)")
        let isStacked = field == "&stacked=true"
        #expect(search.queries.map(\.isStacked) == [isStacked])
        #expect(
            answer.text.contains(
                #""copies":[{"rank":6,"key":"b2.jpg","score":0.3,"url":"/pictures/b2.jpg"}]"#)
                == isStacked)
        #expect(answer.text.contains(#""copies":[]"#) == isStacked)
        #expect(
            try await SearchSite(search: search).ask("/api/search?q=cat&stacked=yes").status == 400)
    }

    @Test func theSearchBoxHoldsPicturesAndFilters() async throws {
        let site = SearchSite(search: FakeSearch())
        let page = try await site.ask(
            "/search?q=snow&more=tree&image_key=2024%2Fa%26.jpg&shape=square")
        let form = try #require(page.text.firstMatch(of: /<form id="search"[\s\S]*?<\/form>/))
            .output
        #expect(form.contains("action=\"/search\""))
        #expect(form.contains("<bdi>a&amp;.jpg</bdi>"))
        #expect(form.contains("<img src=\"/thumbnails/2024%2Fa%26.jpg\""))
        #expect(form.contains("<a href=\"/search?q=snow&amp;more=tree&amp;shape=square\""))
        #expect(form.contains("name=\"image_key\" value=\"2024/a&amp;.jpg\""))
        #expect(form.contains("name=\"shape\" value=\"square\""))
        #expect(!form.contains("name=\"more\"") && form.contains("placeholder=\"Add words\""))
        let alone = try await site.ask("/search?image_key=a.jpg&shape=square")
        #expect(alone.text.contains("<a href=\"/\" title=\"Remove this picture\""))
        // Both the page and the part that the script gets have it.
        #expect(page.text.matches(of: /class="given"/).count == 2)
    }

    @Test func noPicturesSayWhy() async throws {
        let site = SearchSite(search: FakeSearch(result: FakeSearch.found([])))
        let far = try await site.ask("/search?q=cat&offset=24")
        #expect(far.text.contains("No more pictures"))
        #expect(far.text.contains("href=\"/search?q=cat\""))
        let strict = try await site.ask("/search?q=cat&min_score=0.9")
        #expect(strict.text.contains("No picture is that similar"))
        #expect(strict.text.contains("href=\"/search?q=cat\""))
    }

    @Test func aPictureIsShownLargeWithItsNeighbours() async throws {
        let search = FakeSearch(
            result: SearchResult(
                hits: [
                    SearchHit(rank: 2, key: "b&.jpg", score: 0.5),
                    SearchHit(rank: 3, key: "c.jpg", score: 0.4),
                    SearchHit(rank: 4, key: "d.jpg", score: 0.3),
                ], isTruncated: false))
        let site = SearchSite(search: search)
        let page = try await site.ask("/search?q=cat&limit=48&view=c.jpg&at=3")
        #expect(page.status == 200)
        #expect(search.queries.map(\.offset) == [0] && search.limits == [7])
        #expect(page.text.contains("<dt>Similarity</dt><dd>0.400</dd>"))
        #expect(page.text.contains("<dt>Place</dt><dd>3</dd>"))
        #expect(
            page.text.contains(
                "rel=\"prev\" href=\"?q=cat&amp;limit=48&amp;view=b%26.jpg&amp;at=2\""))
        #expect(
            page.text.contains("rel=\"next\" href=\"?q=cat&amp;limit=48&amp;view=d.jpg&amp;at=4\""))
        #expect(page.text.contains("<a class=\"close back\" href=\"?q=cat&amp;limit=48#n3\""))
        #expect(page.text.contains("href=\"/search?image_key=c.jpg\">More like this"))
        #expect(page.text.contains("href=\"/pictures/c.jpg?download\" download"))
        // A place that is another picture's by now gives no score.
        let moved = try await site.ask("/search?q=cat&view=x.jpg&at=3")
        #expect(moved.status == 200 && !moved.text.contains("<dt>Similarity</dt>"))
        // A picture by itself is asked for by its key; a place tells it from what the store holds besides.
        let alone = FakeSearch()
        let bare = try await SearchSite(search: alone).ask("/search?view=c.jpg")
        #expect(
            bare.status == 200 && alone.queries.flatMap(\.terms).map(\.content) == [.key("c.jpg")])
        let unknown = FakeSearch(
            result: nil, error: SearchError.unknownKey("secret.sql"),
            locate: { .presigned(url: "https://store.example/\($0)?signature") })
        let secret = try await SearchSite(search: unknown, logger: silent)
            .ask("/search?view=secret.sql")
        #expect(secret.status == 404 && !secret.text.contains("signature"))
        let lost = FakeSearch { _ in throw FakeSearch.Failure() }
        #expect(try await SearchSite(search: lost).ask("/search?view=c.jpg").status == 404)
    }

    @Test func theScriptGetsPartsOfPages() async throws {
        let site = SearchSite(search: FakeSearch())
        for target in ["/search?q=cat", "/search", "/search?q=%FF", "/search?view=a.jpg"] {
            let part = try await site.ask(target, headers: ["X-Fragment": "1"])
            let page = try await site.ask(target)
            #expect(part.status == page.status)
            #expect(part.text.hasPrefix("<section") && page.text.contains(part.text))
            #expect(page.header("Vary") == "X-Fragment, Accept-Encoding")
        }
    }

    @Test(arguments: [
        (SearchError.overloaded, 503), (.databaseUnavailable(reason: "away"), 503),
        (.unknownKey("a"), 404), (.termsCancelOut, 400), (.invalid("x"), 400),
        (.modelMismatch(reason: "x"), 503),
    ])
    func whatASearchThrowsHasAStatus(error: SearchError, status: Int) async throws {
        let site = SearchSite(search: FakeSearch(result: nil, error: error), logger: silent)
        for target in ["/search?q=cat", "/api/search?q=cat"] {
            let answer = try await site.ask(target)
            #expect(answer.status == status)
            #expect((answer.header("Retry-After") != nil) == (status == 503))
            #expect(!answer.text.contains("No pictures"))
        }
    }
}
