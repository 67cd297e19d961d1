import Foundation
import ImageSearch
import PGClient
import TestSupport
import Testing

/// Whole ingests with a small model whose answers upstream's code gave; see
/// Tests/EndToEnd/make_golden.py.
@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct IngestTests {
    private static let tests = Fixtures.directory.deletingLastPathComponent()

    private static func golden() throws -> [String: [Float]] {
        let data = try Data(contentsOf: tests.appending(path: "EndToEnd/golden.json"))
        return try JSONDecoder().decode([String: [Float]].self, from: data)
    }

    private static func picture(_ name: String) throws -> Data {
        try Data(contentsOf: tests.appending(path: "ClipCoreTests/Fixtures/image/\(name)"))
    }

    /// A bucket in a directory, a database with the table, and the settings for both.
    private static func with<T>(
        _ body: (_ bucket: URL, TestDatabase, Settings) throws -> T
    ) throws -> T {
        try Fixtures.withDirectory { directory in
            try TestDatabase.with { database in
                let bucket = URL(filePath: directory).appending(path: "pictures")
                try FileManager.default.createDirectory(
                    at: bucket, withIntermediateDirectories: true)
                _ = try database.table().create()
                return try body(
                    bucket, database,
                    settings([
                        "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": "file://\(directory)",
                        "S3_BUCKET_NAME": "pictures",
                    ]))
            }
        }
    }

    private static func run(
        _ settings: Settings, options: Ingest.Options = Ingest.Options()
    ) throws -> (progress: IngestProgress, failures: [IngestFailure]) {
        var failures: [IngestFailure] = []
        let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
        let progress = try ingest.run(report: { _ in }, onFailure: { failures.append($0) })
        return (progress, failures.sorted { $0.key < $1.key })
    }

    private static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        let dot = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let lengths = [a, b].map { $0.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot() }
        return dot / (lengths[0] * lengths[1])
    }

    @Test(arguments: [(nil, 16), (1, 1), (3, 5)])
    func storesUpstreamsEmbeddings(workers: Int?, batchSize: Int) throws {
        try Self.with { bucket, database, settings in
            let golden = try Self.golden()
            for name in golden.keys {
                try Self.picture(name).write(to: bucket.appending(path: name))
            }
            var options = Ingest.Options()
            (options.workers, options.batchSize) = (workers, batchSize)
            let result = try Self.run(settings, options: options)
            #expect(result.failures == [])
            #expect(result.progress.stored == golden.count)
            #expect(result.progress.listed == golden.count && result.progress.isListingComplete)
            let rows = try database.rows()
            #expect(rows.count == golden.count)
            var worst = 1.0
            for (name, embedding) in rows {
                worst = min(worst, Self.cosine(embedding, try #require(golden[name])))
                let length = embedding.reduce(0.0) { $0 + Double($1) * Double($1) }
                #expect(abs(length - 1) < 1e-6)
            }
            #expect(worst > 0.99999, "worst cosine \(worst)")

            // Again: the same rows, nothing twice.
            #expect(try Self.run(settings).progress.stored == golden.count)
            let again = try database.rows()
            #expect(again.keys.sorted() == rows.keys.sorted())
            for (name, embedding) in again {
                #expect(Self.cosine(embedding, try #require(rows[name])) > 0.999999)
            }
        }
    }

    @Test func failureOfOneIsFailureOfOne() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            func put(_ name: String, _ data: Data) throws {
                let file = bucket.appending(path: name)
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try data.write(to: file)
            }
            try put("a.jpg", good)
            try put("sub/dir/b c+%.JPG", good)
            try put("no-ending", good)
            try put("cut.jpg", good.prefix(good.count / 2))
            try put("empty.jpg", Data())
            try put("text.jpg", Data("not a picture".utf8))
            try put("notes.txt", Data("no picture either".utf8))
            try put("empty", Data())
            try put("archive.zip", Data([0x50, 0x4B, 3, 4]) + Data(count: 100))

            let result = try Self.run(settings)
            #expect(result.progress.stored == 3)
            #expect(result.progress.skipped == 3)
            #expect(result.progress.failed == 3)
            #expect(result.failures.map(\.key) == ["cut.jpg", "empty.jpg", "text.jpg"])
            for failure in result.failures {
                #expect(!failure.reason.isEmpty && !failure.reason.contains("\n"))
            }
            #expect(
                try database.rows().keys.sorted() == ["a.jpg", "no-ending", "sub/dir/b c+%.JPG"])
        }
    }

    @Test func emptyBucket() throws {
        try Self.with { _, database, settings in
            let done = try Self.run(settings).progress.done
            let rows = try database.rows()
            #expect(done == 0 && rows.isEmpty)
        }
    }

    @Test func saysWhatIsMissingBeforeAnythingElse() throws {
        try Self.with { bucket, database, settings in
            try Self.picture("grey.jpg").write(to: bucket.appending(path: "a.jpg"))
            try database.connect().executeScript("DROP TABLE pictures")
            #expect(sentence { _ = try Self.run(settings) }.contains("run create-table first"))
            _ = try database.table().create(dimension: 768)
            #expect(sentence { _ = try Self.run(settings) }.contains("dimension 768"))
            let noModel = sentence {
                _ = try Ingest(settings, modelPath: "/nonexistent/model.pt")
                    .run(report: { _ in }, onFailure: { _ in })
            }
            #expect(noModel.contains("/nonexistent/model.pt"))
        }
    }

    /// A store on which nothing listens ends the run instead of failing every picture.
    @Test func unreachableStoreEndsTheRun() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(500) }
        server.stop()
        let message = try TestDatabase.with { database in
            _ = try database.table().create()
            let lost = try settings([
                "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": server.endpoint,
                "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "sesame-9", "S3_BUCKET_NAME": "pictures",
            ])
            return sentence { _ = try Self.run(lost) }
        }
        #expect(message.contains("127.0.0.1") && !message.contains("sesame"))
    }

    /// A key that the database cannot take costs only itself, not the rows stored with it.
    @Test func keyThatDoesNotFitCostsOnlyItself() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<40 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            // More than the 2,704 bytes that an index row has room for, and hard to compress.
            var random = SystemRandomNumberGenerator()
            let folders = (0..<16).map { _ in
                (0..<220).map { _ in String(Int.random(in: 0..<36, using: &random), radix: 36) }
                    .joined()
            }
            let long = folders.joined(separator: "/") + "/x.jpg"
            let file = bucket.appending(path: long)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try good.write(to: file)
            let result = try Self.run(settings)
            #expect(result.progress.stored == 40 && result.progress.failed == 1)
            #expect(result.failures.map(\.key) == [long])
            #expect(result.failures.first?.reason.contains("index row") == true)
            let rows = try database.rows()
            #expect(rows.count == 40)
        }
    }

    /// A store that takes the keys no longer ends the run before every picture has failed.
    @Test func storeThatRefusesEverythingEndsTheRun() throws {
        let keys = (0..<900).map { "<Contents><Key>\($0).jpg</Key><Size>100</Size></Contents>" }
        let listing =
            "<ListBucketResult><IsTruncated>false</IsTruncated>\(keys.joined())</ListBucketResult>"
        let server = try LoopbackServer { _, request in
            request.target.contains("list-type=2")
                ? .xml(200, listing)
                : .xml(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        }
        defer { server.stop() }
        let progress = try TestDatabase.with { database in
            _ = try database.table().create()
            let settings = try settings([
                "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": server.endpoint,
                "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_BUCKET_NAME": "pictures",
            ])
            return Self.interruptedProgress(settings)
        }
        let failed = try #require(progress).failed
        #expect(failed >= 50 && failed < 900)
    }

    private static func interruptedProgress(_ settings: Settings) -> IngestProgress? {
        do {
            _ = try run(settings)
            return nil
        } catch {
            return (error as? IngestInterruption)?.progress
        }
    }

    /// The server ends the connections: the run ends with the server's reason, and says truly what
    /// was stored.
    @Test func lostDatabaseEndsTheRun() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<400 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel)
            let killer = try database.connect()
            // No row can be stored while this lock is held, so the ingest cannot be done too early.
            let locker = try database.connect()
            try locker.executeScript("BEGIN; LOCK TABLE pictures")
            let interruption = #expect(throws: IngestInterruption.self) {
                _ = try ingest.run(
                    report: { _ in Self.endIngests(killer) }, onFailure: { _ in })
            }
            try locker.executeScript("COMMIT")
            let error = try #require(interruption)
            #expect((error.cause as? PGError)?.isConnectionLost == true)
            let stored = try database.rows().count
            #expect(stored == error.progress.stored)
        }
    }

    private static func endIngests(_ connection: PGConnection) {
        _ = try? connection.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'process-images' AND datname = current_database()
            """)
    }
}
