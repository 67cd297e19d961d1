import Foundation
import ImageSearch
import PGClient
import Testing

/// The search path that production uses, with a database that is only a closure.
@Suite struct SearchPathTests {
    private static func settings(_ more: [String: String] = [:]) throws -> Settings {
        let values = [
            "PG_SERVICE_URI": "postgres://user:sesame-9@primary.invalid/d",
            "S3_ENDPOINT": "file://\(Fixtures.directory.path)", "S3_BUCKET_NAME": "Fixtures",
        ]
        return try ImageSearchTests.settings(values.merging(more) { $1 })
    }

    private static func searcher(
        _ more: [String: String] = [:], threads: Int? = 1,
        connect: @escaping @Sendable (String, Bool) throws -> PicturesTable = { _, _ in
            throw PGError(.connection, "no route to host")
        },
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) throws -> Searcher {
        try Searcher(settings(more), threads: threads, now: now, connect: connect)
    }

    private static func picture() throws -> [UInt8] {
        try [UInt8](
            Data(
                contentsOf: Fixtures.directory.deletingLastPathComponent()
                    .appending(path: "ClipCoreTests/Fixtures/image/size-640x427.jpg")))
    }

    @Test func loadsAndThenAnswers() async throws {
        let searcher = try Self.searcher()
        let picture = try Self.picture()
        #expect(throws: Searcher.NotReady.self) { try searcher.embed(picture) }
        #expect(throws: Searcher.NotReady.self) { try searcher.contextLength() }
        await #expect(throws: Searcher.NotReady.self) {
            try await searcher.search(SearchQuery("cat"))
        }
        await #expect(throws: Searcher.NotReady.self) { try await searcher.checkHealth() }
        try await searcher.load { Fixtures.tinyModel }
        #expect(try searcher.contextLength() == 77)
        let embedder = try QueryEmbedder(modelPath: Fixtures.tinyModel)
        #expect(try searcher.embed(picture) == embedder.embed(picture))
        // Texts are embedded before the database is asked, and once.
        for _ in 0..<2 {
            await #expect(throws: SearchError.self) {
                try await searcher.search(SearchQuery("cat"))
            }
        }
        #expect(searcher.textStatistics?.misses == 1 && searcher.textStatistics?.hits == 1)
    }

    /// A model that cannot be loaded leaves the searcher loading, so that a later attempt can succeed.
    @Test func aFailedLoadLeavesItLoading() async throws {
        struct NoModel: Error {}
        let searcher = try Self.searcher()
        await #expect(throws: NoModel.self) { try await searcher.load { throw NoModel() } }
        try await Fixtures.withDirectoryAsync { directory in
            let path = "\(directory)/model.pt"
            try Data("not a model".utf8).write(to: URL(filePath: path))
            do {
                try await searcher.load { path }
                Issue.record("loaded a text file")
            } catch {
                #expect("\(error)".hasPrefix("\(path): is not a model file"))
            }
        }
        await #expect(throws: Searcher.NotReady.self) {
            try await searcher.search(SearchQuery("cat"))
        }
        #expect(searcher.textStatistics == nil)
        try await searcher.load { Fixtures.tinyModel }
        #expect(searcher.textStatistics != nil)
    }

    @Test func cancelledQueriesReturnWhileTheDatabaseIsSilent() async throws {
        let (asked, release) = (Monitor(0), Monitor(false))
        let searcher = try Self.searcher { _, _ in
            asked.update { $0 += 1 }
            _ = release.wait { $0 ? true : nil }
            throw PGError(.connection, "the server is gone")
        }
        let byKey = SearchQuery(terms: [.init(.key("a"))])
        let searches = (0..<3).map { _ in Task { try await searcher.search(byKey) } }
        try await until("the database being asked") { asked.read { $0 } == 1 }
        for search in searches { search.cancel() }
        for search in searches {
            await #expect(throws: CancellationError.self) { try await search.value }
        }
        release.update { $0 = true }
        // The thread continues with the next query, not with the cancelled ones.
        await #expect(throws: SearchError.self) { try await searcher.search(byKey) }
        #expect(asked.read { $0 } == 2)
    }

    @Test func moreQueriesThanCanWaitAreRefused() async throws {
        let release = Monitor(false)
        let searcher = try Self.searcher { _, _ in
            _ = release.wait { $0 ? true : nil }
            throw PGError(.connection, "the server is gone")
        }
        let byKey = SearchQuery(terms: [.init(.key("a"))])
        let refused = Monitor(0)
        let searches = (0..<300).map { _ in
            Task {
                do {
                    _ = try await searcher.search(byKey)
                } catch SearchError.overloaded {
                    refused.update { $0 += 1 }
                } catch {}
            }
        }
        // One runs and 256 wait.
        try await until("43 refusals") { refused.read { $0 } == 300 - 257 }
        release.update { $0 = true }
        for search in searches { await search.value }
        #expect(refused.read { $0 } == 300 - 257)
    }

    @Test func anUnavailableDatabaseIsNamedWithoutItsPassword() async throws {
        let searcher = try Self.searcher()
        let byKey = SearchQuery(terms: [.init(.key("a"))])
        await #expect(
            throws: SearchError.databaseUnavailable(
                reason: "cannot connect to PostgreSQL: no route to host")
        ) { try await searcher.search(byKey) }
        await #expect(throws: SearchError.self) { try await searcher.connect() }
    }

    /// The primary is asked when no replica answers, and replicas are then left alone for a while.
    @Test func replicasAreAskedFirst() async throws {
        let asked = Monitor([String]())
        let time = Monitor(ContinuousClock.now)
        let searcher = try Self.searcher(
            ["PG_READ_URI": "postgres://u@replica.invalid/d"],
            connect: { uri, isReplica in
                asked.update { $0.append("\(uri.contains("replica.invalid")) \(isReplica)") }
                throw PGError(.connection, "down")
            }, now: { time.read { $0 } })
        let byKey = SearchQuery(terms: [.init(.key("a"))])
        for _ in 0..<2 {
            await #expect(throws: SearchError.self) { try await searcher.search(byKey) }
        }
        #expect(asked.read { $0 } == ["true true", "false false", "false false"])
        time.update { $0 += .seconds(31) }
        await #expect(throws: SearchError.self) { try await searcher.search(byKey) }
        #expect(asked.read { $0 }.suffix(2) == ["true true", "false false"])
    }

    /// Falling back to the primary would hide a mistake in the settings.
    @Test func aReplicaThatRefusesTheUserIsAnError() async throws {
        let asked = Monitor(0)
        let searcher = try Self.searcher(["PG_READ_URI": "postgres://u@replica.invalid/d"]) {
            _, _ in
            asked.update { $0 += 1 }
            throw PGError(.connection, "password authentication failed", sqlState: "28P01")
        }
        await #expect(throws: (any Error).self) {
            try await searcher.search(SearchQuery(terms: [.init(.key("a"))]))
        }
        #expect(asked.read { $0 } == 1)
    }
}
