import Foundation
import ImageSearch
import PGClient
import Testing

/// Queries of several terms, against pgvector's own arithmetic.
@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct QueryTests {
    private static let pictures = Fixtures.directory.deletingLastPathComponent()
        .appending(path: "ClipCoreTests/Fixtures/image")

    private func withSearcher(
        _ body: (TestDatabase, Searcher, PicturesTable) async throws -> Void
    ) async throws {
        try await TestDatabase.withAsync { database in
            let table = try database.table()
            _ = try table.create()
            try table.upsert(Array(IndexTests.rows.prefix(200)))
            let searcher = try Searcher(
                settings([
                    "PG_SERVICE_URI": database.uri,
                    "S3_ENDPOINT": "file://\(Fixtures.directory.path)",
                    "S3_BUCKET_NAME": "Fixtures",
                ]), threads: 2)
            try await searcher.load { Fixtures.tinyModel }
            try await body(database, searcher, table)
        }
    }

    @Test func weightedSumsAreWhatPgvectorSays() async throws {
        try await withSearcher { database, searcher, _ in
            let weights: [(String, Double)] = [
                ("few/0.jpg", 1), ("many/31.jpg", 0.5), ("many/92.jpg", -0.75),
            ]
            let query = SearchQuery(
                terms: weights.map { .init(.key($0.0), weight: $0.1) }, limit: 20)
            let result = try await searcher.search(query)
            // Of other weights in the same proportions, the same.
            let scaled = try await searcher.search(
                SearchQuery(
                    terms: weights.map { .init(.key($0.0), weight: $0.1 * 1e-9) }, limit: 20))
            #expect(scaled.hits.map(\.key) == result.hits.map(\.key))
            let truth = try database.connect().execute(
                """
                WITH sum AS (
                    SELECT sum(embedding * array_fill(w::real, ARRAY[512])::vector) AS q
                    FROM pictures JOIN unnest($1, ARRAY[1, 0.5, -0.75]) AS t(k, w) ON k = filename)
                SELECT filename, 1 - (embedding <=> q) FROM pictures, sum
                ORDER BY 2 DESC LIMIT 20
                """, [.textArray(weights.map(\.0))])
            #expect(try truth.map { try $0.string(0) } == result.hits.map(\.key))
            for (row, hit) in zip(truth, result.hits) {
                #expect(abs(try row.double(1) - hit.score) < 1e-6)
            }
            #expect(result.hasMore && !result.isTruncated)
        }
    }

    @Test func picturesFindThemselves() async throws {
        try await withSearcher { _, searcher, table in
            let file = try Data(contentsOf: Self.pictures.appending(path: "size-640x427.jpg"))
            let picture = SearchQuery.Term.Content.embedding(try searcher.embed([UInt8](file)))
            let embedder = try QueryEmbedder(modelPath: Fixtures.tinyModel)
            try table.upsert([.init(key: "it", embedding: try embedder.embed([UInt8](file)))])
            let one = try await searcher.search(SearchQuery(terms: [.init(picture)], limit: 1))
            #expect(one.hits.first?.key == "it" && abs((one.hits.first?.score ?? 0) - 1) < 1e-6)
            let both = try await searcher.search(
                SearchQuery(terms: [.init(picture), .init(.key("it"), weight: 2)]))
            #expect(both.hits.first?.key == "it")
            // The nearest to what it is not comes last of all.
            let away = try await searcher.search(
                SearchQuery(terms: [.init(.key("it"), weight: -1)], limit: 201))
            #expect(away.hits.last?.key == "it" && away.hits.count == 201)
        }
    }

    @Test func whatCannotBeSearchedForIsTold() async throws {
        try await withSearcher { database, searcher, table in
            func failure(_ query: SearchQuery) async -> SearchError? {
                do {
                    _ = try await searcher.search(query)
                    return nil
                } catch {
                    return error as? SearchError
                }
            }
            func failure(_ content: SearchQuery.Term.Content) async -> SearchError? {
                await failure(SearchQuery(terms: [.init(content)]))
            }
            #expect(await failure(.key("none.jpg")) == .unknownKey("none.jpg"))
            #expect(await failure(.key("nul\0")) == .unknownKey("nul\0"))
            func failure(_ picture: [UInt8]) -> SearchError? {
                #expect(throws: SearchError.self) { try searcher.embed(picture) }
            }
            for bytes in [[], Array("a text".utf8)] {
                guard case .unsupportedPicture = failure(bytes) else {
                    Issue.record("\(bytes)")
                    continue
                }
            }
            let whole = try [UInt8](
                Data(contentsOf: Self.pictures.appending(path: "size-640x427.jpg")))
            guard case .damagedPicture = failure(Array(whole.prefix(2_000))) else {
                Issue.record("a broken picture")
                return
            }
            let opposites = SearchQuery(
                terms: [.init(.text("cat")), .init(.text("cat"), weight: -1)])
            #expect(await failure(opposites) == .termsCancelOut)
            var queries = [SearchQuery](repeating: SearchQuery("cat"), count: 6)
            queries[0].terms = []
            queries[1].limit = 0
            queries[2].offset = -1
            queries[3].minimumScore = .nan
            queries[4].filter.prefix = "a\0"
            queries[5].terms = [.init(.text("cat"), weight: .infinity)]
            for query in queries {
                guard case .invalid = await failure(query) else {
                    Issue.record("\(query)")
                    continue
                }
            }
            // A row of another program's making.
            try database.connect().execute(
                """
                INSERT INTO pictures (filename, embedding)
                VALUES ('zero', array_fill(0, array[512])::vector), ('null', NULL)
                """)
            guard case .invalid = await failure(.key("zero")) else {
                Issue.record("a zero vector")
                return
            }
            #expect(await failure(.key("null")) == .unknownKey("null"))
        }
    }

    @Test func databaseAwayIsTold() async throws {
        let searcher = try Searcher(
            settings([
                "PG_SERVICE_URI": "postgres://u:sesame-9@127.0.0.1:1/d",
                "S3_ENDPOINT": "file://\(Fixtures.directory.path)", "S3_BUCKET_NAME": "Fixtures",
            ]), threads: 1)
        try await searcher.load { Fixtures.tinyModel }
        do {
            _ = try await searcher.search(SearchQuery("cat", limit: 1))
            Issue.record("found something")
        } catch SearchError.databaseUnavailable(let reason) {
            #expect(!reason.contains("sesame"))
        }
    }
}
