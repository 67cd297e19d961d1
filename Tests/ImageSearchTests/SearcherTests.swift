import ClipCore
import Foundation
import ImageSearch
import PGClient
import Testing

@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct SearcherTests {
    struct Text: Decodable {
        let text: String
        let ids: [Int]
        let embedding: [Float]
    }

    private static func texts() throws -> [Text] {
        let path = Fixtures.directory.deletingLastPathComponent()
            .appending(path: "Fixtures/tiny-clip.json")
        return try JSONDecoder().decode([Text].self, from: Data(contentsOf: path))
    }

    @Test func embedsAsUpstream() throws {
        let embedder = try QueryEmbedder(modelPath: Fixtures.tinyModel)
        for text in try Self.texts() {
            let query = try embedder.embed(text.text)
            let dot = zip(query.vector, text.embedding)
                .reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            #expect(dot > 0.99999, "\(text.text): \(dot)")
            // Upstream fills up with zeros, so a text that ends in one was not cut.
            #expect(!query.isTruncated || text.ids.last != 0, "\(text.text)")
        }
        #expect(try embedder.embed(String(repeating: "word ", count: 76)).isTruncated)
        #expect(try !embedder.embed(String(repeating: "word ", count: 75)).isTruncated)
    }

    /// Rows are the texts' own embeddings, so every text must find itself first.
    @Test func findsWhatIsThere() async throws {
        let texts = try Self.texts()
        var answers: [SearchResult] = []
        try await withDatabase { database, settings in
            try database.table().upsert(
                texts.map { PicturesTable.Row(key: "\($0.text).jpg", embedding: $0.embedding) })
            let searcher = try await Self.searcher(settings, threads: 3)
            answers = try await withThrowingTaskGroup(of: (Int, SearchResult).self) { group in
                for (index, text) in texts.enumerated() {
                    group.addTask {
                        (index, try await searcher.search(SearchQuery(text.text, limit: 3)))
                    }
                }
                var answers = [SearchResult?](repeating: nil, count: texts.count)
                for try await (index, answer) in group { answers[index] = answer }
                return answers.compactMap { $0 }
            }
        }
        #expect(answers.count == texts.count)
        for (text, answer) in zip(texts, answers) {
            #expect(answer.hits.first?.key == "\(text.text).jpg")
            #expect(abs((answer.hits.first?.score ?? 0) - 1) < 1e-5)
            #expect(answer.hits.map(\.rank) == [1, 2, 3])
        }
    }

    /// A search that timed out does not go on in the database.
    @Test func slowSearchesEndInTheDatabaseToo() async throws {
        try await withDatabase { database, settings in
            let searcher = try await Self.searcher(settings, threads: 1)
            _ = try await searcher.search(SearchQuery("cat", limit: 1))
            let locker = try database.connect()
            try locker.executeScript("BEGIN; LOCK TABLE pictures")
            await #expect(throws: SearchError.self) {
                try await searcher.search(SearchQuery("dog", limit: 1))
            }
            let left = try locker.execute(
                """
                SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'web-app' AND state = 'active'
                """)
            #expect(left.isEmpty)
            try locker.executeScript("COMMIT")
            _ = try await searcher.search(SearchQuery("dog", limit: 1))
        }
    }

    /// A visitor's picture is embedded as the stored ones are, so that it finds itself.
    @Test func picturesAreEmbeddedInTheTablesPrecision() async throws {
        let picture = try Array(
            Data(
                contentsOf: Fixtures.directory.deletingLastPathComponent()
                    .appending(path: "ClipCoreTests/Fixtures/image/grey.jpg")))
        func embedded(_ precision: Precision) throws -> [Float] {
            try QueryEmbedder(modelPath: Fixtures.tinyModel, precision: precision).embed(picture)
        }
        let (int8, fp32) = (try embedded(.int8), try embedded(.fp32))
        #expect(int8 != fp32)
        for (name, expected) in [("int8", int8), ("fp32", fp32)] {
            let search = try Searcher(
                settings([
                    "PG_SERVICE_URI": "postgres://127.0.0.1:1/none",
                    "S3_ENDPOINT": "http://127.0.0.1:1", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b",
                    "S3_BUCKET_NAME": "pictures", "CLIP_PRECISION": name,
                ]))
            try await search.load { Fixtures.tinyModel }
            #expect(try search.embed(picture) == expected)
        }
    }

    /// A connection that the server ended is replaced without a failed search.
    @Test func healsAfterLostConnections() async throws {
        try await withDatabase { database, settings in
            try database.table().upsert([PicturesTable.Row(key: "a", embedding: unitVector(0))])
            let searcher = try await Self.searcher(settings, threads: 2)
            for _ in 0..<5 {
                #expect(try await searcher.search(SearchQuery("cat", limit: 1)).hits.count == 1)
                try database.connect().execute(
                    """
                    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                    WHERE application_name = 'web-app' AND datname = current_database()
                    """)
            }
            try await searcher.checkHealth()
        }
    }

    @Test func unhealthyWithoutTableOrServer() async throws {
        try await withDatabase { database, settings in
            let searcher = try await Self.searcher(settings, threads: 1)
            try await searcher.checkHealth()
            try database.connect().executeScript("DROP TABLE pictures")
            await #expect(throws: TableError.noTable) { try await searcher.checkHealth() }
            await #expect(throws: TableError.noTable) {
                _ = try await searcher.search(SearchQuery("cat", limit: 1))
            }
        }
    }

    /// A search that waits for a locked table can be given up, so that a server can shut down.
    @Test func cancelledSearchesDoNotHang() async throws {
        try await withDatabase { database, settings in
            let searcher = try await Self.searcher(settings, threads: 1)
            let locker = try database.connect()
            try locker.executeScript("BEGIN; LOCK TABLE pictures")
            let searches = (0..<4).map { _ in
                Task { try await searcher.search(SearchQuery("cat", limit: 1)).hits.count }
            }
            for search in searches { search.cancel() }
            for search in searches {
                await #expect(throws: CancellationError.self) { try await search.value }
            }
            try locker.executeScript("COMMIT")
            #expect(try await searcher.search(SearchQuery("cat", limit: 1)).hits == [])
        }
    }

    /// While the model is being loaded, only queries that need none are answered.
    @Test func loadingSearcherAnswersWhatNeedsNoModel() async throws {
        try await withDatabase { database, settings in
            try database.table().upsert([PicturesTable.Row(key: "a", embedding: unitVector(0))])
            let searcher = try Searcher(settings, threads: 1)
            let byKey = SearchQuery(terms: [.init(.key("a"))])
            #expect(try await searcher.search(byKey).hits.map(\.key) == ["a"])
            #expect(searcher.textStatistics == nil)
            await #expect(throws: Searcher.NotReady.self) {
                try await searcher.search(SearchQuery("cat"))
            }
            await #expect(throws: Searcher.NotReady.self) { try await searcher.checkHealth() }
            #expect(throws: Searcher.NotReady.self) { try searcher.embed([]) }
            try await searcher.load { Fixtures.tinyModel }
            #expect(try await searcher.search(SearchQuery("cat")).hits.map(\.key) == ["a"])
            try await searcher.checkHealth()
        }
    }

    /// Texts are distinguished by their tokens, and each is embedded once.
    @Test func textsAreEmbeddedOnce() async throws {
        try await withDatabase { database, settings in
            try database.table().upsert([PicturesTable.Row(key: "a", embedding: unitVector(0))])
            let searcher = try await Self.searcher(settings, threads: 2)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for text in ["a cat", "A  Cat", " a cat ", "a dog"] {
                    group.addTask { _ = try await searcher.search(SearchQuery(text, limit: 1)) }
                }
                try await group.waitForAll()
            }
            let statistics = try #require(searcher.textStatistics)
            #expect(statistics.misses == 2 && statistics.hits == 2 && statistics.count == 2)
        }
    }

    @Test func locations() async throws {
        try await withDatabase { _, settings in
            let searcher = try await Self.searcher(settings, threads: 1)
            #expect(throws: (any Error).self) { try searcher.location(of: "../outside.jpg") }
        }
    }

    private static func searcher(_ settings: Settings, threads: Int) async throws -> Searcher {
        let searcher = try Searcher(settings, threads: threads)
        try await searcher.load { Fixtures.tinyModel }
        return searcher
    }

    /// Like `TestDatabase.with`, for tests that wait for searches.
    private func withDatabase(
        _ body: (TestDatabase, Settings) async throws -> Void
    ) async throws {
        let server = try #require(TestDatabase.serverURI)
        let name = "t_" + String(UInt64.random(in: 0 ... .max), radix: 36)
        try PGConnection(uri: server).executeScript("CREATE DATABASE \(name)")
        defer { try? PGConnection(uri: server).executeScript("DROP DATABASE \(name) WITH (FORCE)") }
        var parts = try #require(URLComponents(string: server))
        parts.path = "/\(name)"
        let database = TestDatabase(uri: try #require(parts.string))
        _ = try database.table().create()
        let directory = FileManager.default.temporaryDirectory
            .appending(path: "clip-search-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: directory.appending(path: "pictures"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try await body(
            database,
            settings([
                "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": "file://\(directory.path)",
                "S3_BUCKET_NAME": "pictures",
            ]))
    }
}
