import ClipCore
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

    /// By file; `stored/` and a file's name is the picture as it is stored.
    static func golden() throws -> [String: [Float]] {
        let data = try Data(contentsOf: tests.appending(path: "EndToEnd/golden.json"))
        return try JSONDecoder().decode([String: [Float]].self, from: data)
    }

    static func picture(_ name: String) throws -> Data {
        try Data(contentsOf: tests.appending(path: "ClipCoreTests/Fixtures/image/\(name)"))
    }

    /// A bucket in a directory, a database with the table, and the settings for both.
    static func with<T>(
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

    static func run(
        _ settings: Settings, options: Ingest.Options = Ingest.Options()
    ) throws -> (progress: IngestProgress, failures: [IngestFailure]) {
        var failures: [IngestFailure] = []
        let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
        let progress = try ingest.run(report: { _ in }, onFailure: { failures.append($0) })
        return (progress, failures.sorted { $0.key < $1.key })
    }

    static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        let dot = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let lengths = [a, b].map { $0.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot() }
        return dot / (lengths[0] * lengths[1])
    }

    @Test(arguments: [(nil, 16), (1, 1), (3, 5)])
    func storesUpstreamsEmbeddings(workers: Int?, batchSize: Int) throws {
        try Self.with { bucket, database, settings in
            let golden = try Self.golden().filter { !$0.key.hasPrefix("stored/") }
            for name in golden.keys {
                try Self.picture(name).write(to: bucket.appending(path: name))
            }
            var options = Ingest.Options()
            (options.encoders, options.batchSize) = (workers, batchSize)
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

            // Again: nothing to do.
            let second = try Self.run(settings).progress
            #expect(second.stored == 0 && second.encoded == 0)
            #expect(second.unchanged == golden.count)
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
            let keys = ["a.jpg", "no-ending", "sub/dir/b c+%.JPG"]
            #expect(try database.rows().keys.sorted() == keys)

            // The second run knows all of that without embedding anything.
            let again = try Self.run(settings)
            #expect(again.progress.unchanged == 3 && again.progress.skipped == 3)
            #expect(again.progress.encoded == 0 && again.progress.knownFailures == 3)
            #expect(again.failures.map(\.reason) == result.failures.map(\.reason))
            #expect(result.failures.map(\.isKnown) == [false, false, false])
            #expect(again.failures.map(\.isKnown) == [true, true, true])
            #expect(result.progress.failedFormats == ["JPEG": 1])
            #expect(again.progress.failedFormats == ["JPEG": 1])
            // One that was put right is embedded now.
            try FileManager.default.removeItem(at: bucket.appending(path: "cut.jpg"))
            try put("cut.jpg", good)
            let third = try Self.run(settings)
            #expect(third.progress.stored == 1 && third.progress.failed == 2)
        }
    }

    @Test func changedPicturesAreEmbeddedAgain() throws {
        try Self.with { bucket, database, settings in
            let file = bucket.appending(path: "a.jpg")
            try Self.picture("grey.jpg").write(to: file)
            #expect(try Self.run(settings).progress.stored == 1)
            let first = try #require(try database.rows()["a.jpg"])
            try Self.picture("progressive.jpg").write(to: file)
            #expect(try Self.run(settings).progress.stored == 1)
            let second = try #require(try database.rows()["a.jpg"])
            #expect(first != second)
            // What cannot be embedded any more keeps its row: only --prune removes any.
            try Data("no picture".utf8).write(to: file)
            #expect(try Self.run(settings).failures.map(\.key) == ["a.jpg"])
            #expect(try database.rows()["a.jpg"] == second)
        }
    }

    @Test func limitsAreSettable() throws {
        try Self.with { bucket, _, settings in
            let picture = try Self.picture("grey.jpg")
            try picture.write(to: bucket.appending(path: "a.jpg"))
            var options = Ingest.Options()
            options.limits.maximumPixels = 10
            let small = try Self.run(settings, options: options)
            #expect(small.progress.failed == 1)
            options = Ingest.Options()
            options.maximumObjectBytes = picture.count - 1
            let short = try Self.run(settings, options: options)
            #expect(short.failures.first?.reason.contains("\(picture.count) bytes") == true)
            // What was refused under other limits gets another chance.
            #expect(try Self.run(settings).progress.stored == 1)
        }
    }

    /// A refusal for want of a reader holds until there is one: for a format that a build leaves out, until
    /// another build comes; for a library that is too old, until a newer one does.
    @Test(.enabled(if: PictureFormat.heic.isBuiltIn, "this build has no HEIC"))
    func whatAnotherBuildReadsIsTriedAgain() throws {
        try Self.with { bucket, database, settings in
            try Self.picture("libraries/photo.heic").write(to: bucket.appending(path: "a.heic"))
            try Data("8BPS and more".utf8).write(to: bucket.appending(path: "b.psd"))
            let first = try Self.run(settings).progress
            #expect(first.stored == 1 && first.failed == 1)
            #expect(try Self.run(settings).progress.knownFailures == first.failed)
            let connection = try database.connect()
            let rules = "(SELECT rules FROM picture_refusals WHERE filename = 'b.psd')"
            // As another machine has left it.
            for (reader, isTriedAgain) in [
                ("", false), ("HEIC", true), ("libheif 1.0.0", true), ("libheif 999.1", false),
                ("libother 1.0", false),
            ] {
                try connection.executeScript(
                    """
                    INSERT INTO picture_refusals (filename, etag, size, reason, format, rules)
                    SELECT filename, etag, size, 'not read', 'HEIC', \(rules) || '\(reader)'
                    FROM pictures WHERE filename = 'a.heic';
                    DELETE FROM pictures WHERE filename = 'a.heic'
                    """)
                let again = try Self.run(settings)
                #expect(again.progress.stored == (isTriedAgain ? 1 : 0), "\(reader)")
                #expect(
                    again.failures.contains { $0.key == "a.heic" && $0.isKnown } == !isTriedAgain)
                // For the next round: its row, and no refusal.
                try connection.executeScript(
                    "DELETE FROM picture_refusals WHERE filename = 'a.heic'")
                _ = try Self.run(settings)
            }
        }
    }

    /// A table whose model is unknown becomes the model's; another model is refused then, and
    /// an empty table may become another's.
    @Test func theTableRemembersItsModel() throws {
        try Self.with { bucket, database, settings in
            try Self.picture("grey.jpg").write(to: bucket.appending(path: "a.jpg"))
            #expect(try database.table().activeModel() == nil)
            _ = try Self.run(settings)
            let model = try #require(try database.table().activeModel())
            #expect(model.name == "tiny-clip.pt" && model.dimension == 512)
            let connection = try database.connect()
            // The number of an earlier version's sequence.
            try connection.executeScript(
                """
                ALTER TABLE picture_models ALTER id DROP IDENTITY;
                UPDATE picture_models SET id = 1, digest = 'abcdefabcdefabcdef', name = 'other.pt'
                """)
            let refusal = sentence { _ = try Self.run(settings) }
            #expect(refusal.contains("other.pt") && refusal.contains("--replace-model"))
            let search = sentence {
                var table = try database.table()
                table.searchModel = model
                _ = try table.nearest(to: unitVector(0), limit: 1)
            }
            #expect(search.contains("other.pt") && search.contains("cannot be compared"))
            // Without the other model's rows nothing is in the way.
            try connection.executeScript("DELETE FROM pictures")
            #expect(try Self.run(settings).progress.stored == 1)
            #expect(try database.table().activeModel() == model)
        }
    }

    @Test func pruningRemovesWhatIsGone() throws {
        try Self.with { bucket, database, settings in
            for name in ["a.jpg", "b.jpg", "c.jpg"] {
                try Self.picture("grey.jpg").write(to: bucket.appending(path: name))
            }
            let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel)
            let progress = try ingest.run(report: { _ in }, onFailure: { _ in })
            try FileManager.default.removeItem(at: bucket.appending(path: "b.jpg"))
            let survey = try ingest.survey(prunes: true, report: { _ in }, onFailure: { _ in })
            #expect(survey.pruned == 1 && survey.unchanged == 2)
            #expect(try database.rows().count == 3)
            #expect(try ingest.prune(after: progress, force: false) { _ in }.pruned == 1)
            #expect(try database.rowKeys() == ["a.jpg", "c.jpg"])
            // An empty listing removes nothing unless that is meant.
            for name in ["a.jpg", "c.jpg"] {
                try FileManager.default.removeItem(at: bucket.appending(path: name))
            }
            let refusal = sentence {
                _ = try ingest.prune(after: progress, force: false) { _ in }
            }
            #expect(refusal.contains("--force"))
            #expect(try database.rows().count == 2)
            #expect(try ingest.prune(after: progress, force: true) { _ in }.pruned == 2)
            #expect(try database.rows().isEmpty)
        }
    }

    /// A row that is younger than the listing stays: its object may have come after its place in the
    /// listing had passed. So does one that a worker has in hand.
    @Test func pruningSparesWhatIsYounger() throws {
        try Self.with { bucket, database, settings in
            try Self.picture("grey.jpg").write(to: bucket.appending(path: "a.jpg"))
            let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel)
            let progress = try ingest.run(report: { _ in }, onFailure: { _ in })
            try database.connect().executeScript(
                """
                INSERT INTO pictures (filename, stored_at) VALUES
                    ('old.jpg', now() - interval '1 hour'), ('new.jpg', now() + interval '1 hour'),
                    ('claimed.jpg', now() - interval '1 hour'), ('unknown.jpg', NULL);
                INSERT INTO pictures (filename, stored_at)
                    VALUES ('abandoned.jpg', now() - interval '1 hour');
                INSERT INTO picture_claims (model, filename, owner, lease, size) VALUES
                    (1, 'claimed.jpg', 'other', now() + interval '1 hour', 1),
                    (1, 'abandoned.jpg', 'other', now() - interval '1 second', 1);
                """)
            #expect(try ingest.prune(after: progress, force: false) { _ in }.pruned == 3)
            #expect(try database.rowKeys() == ["a.jpg", "claimed.jpg", "new.jpg"])
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

    private static func refusingStore(listings: Int) throws -> LoopbackServer {
        let listing = listing(of: 900, bytes: 100)
        let asked = Counter()
        return try LoopbackServer { _, request in
            if request.target.contains("list-type=2") {
                asked.add(1)
                if asked.value <= listings { return .xml(200, listing) }
            }
            return .xml(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        }
    }

    /// A store that no longer accepts the keys ends the run before every picture has failed.
    @Test func storeThatRefusesEverythingEndsTheRun() throws {
        let server = try Self.refusingStore(listings: 2)
        defer { server.stop() }
        let progress = try TestDatabase.with { database in
            _ = try database.table().create()
            return Self.interruptedProgress(try Self.storeSettings(database, server))
        }
        let failed = try #require(progress).failed
        #expect(failed >= 50 && failed < 900)
    }

    /// Objects that the keys may not read, however many, are named; they do not end the run.
    @Test func forbiddenObjectsDoNotEndTheRun() throws {
        let server = try Self.refusingStore(listings: .max)
        defer { server.stop() }
        let result = try TestDatabase.with { database in
            _ = try database.table().create()
            return try Self.run(Self.storeSettings(database, server))
        }
        #expect(result.progress.failed == 900 && result.failures.count == 900)
    }

    private static func storeSettings(
        _ database: TestDatabase, _ server: LoopbackServer
    ) throws -> Settings {
        try settings([
            "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": server.endpoint,
            "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_BUCKET_NAME": "pictures",
        ])
    }

    /// Rows that were restored into another database without `picture_models` are of an unknown model,
    /// even if their number was given to the model there by an earlier version's sequence.
    @Test func restoredRowsAreOfAnUnknownModel() throws {
        try Self.with { bucket, database, settings in
            try Self.picture("grey.jpg").write(to: bucket.appending(path: "a.jpg"))
            let first = try Self.run(settings).progress
            #expect(first.stored == 1)
            let connection = try database.connect()
            let known = try connection.execute("SELECT id, digest FROM picture_models")
            #expect(try known[0].int(0) > 1_000)
            // The same rows under another model's number, and none of the tables beside them.
            try connection.executeScript(
                """
                UPDATE pictures SET model = 1, embedding = array_fill(0.5, array[512])::vector;
                DELETE FROM picture_models;
                """)
            let second = try Self.run(settings).progress
            #expect(second.stored == 1 && second.unchanged == 0)
            // Another database gives the model the same number.
            let again = try connection.execute("SELECT id, digest FROM picture_models")
            #expect(try again[0].int(0) == known[0].int(0))
        }
    }

    /// A worker that is asked to end leaves its pictures to the others, who wait for rows, not for claims.
    @Test func whatAStoppedWorkerLeavesIsTakenOver() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<300 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            var options = Ingest.Options()
            (options.encoders, options.batchSize) = (1, 1)
            let survivor = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
            let stopped = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
            let brake = try Brake(database)
            let failures = Failures()
            // A row is stored only after both hold claims: the survivor starts when the other has
            // embedded a picture, and the other is stopped when the survivor has listed the bucket.
            let hasClaims = DispatchSemaphore(value: 0)
            let hasEnded = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                defer {
                    hasClaims.signal()
                    hasEnded.signal()
                }
                do {
                    _ = try stopped.run(
                        report: { if $0.encoded > 0 { hasClaims.signal() } }, onFailure: { _ in })
                } catch is IngestInterruption {
                    // It was stopped.
                } catch {
                    failures.add("\(error)")
                }
            }
            hasClaims.wait()
            let result = try survivor.run(
                report: { progress in
                    guard progress.listed == 300 else { return }
                    stopped.stop()
                    brake.release()
                }, onFailure: { _ in })
            hasEnded.wait()
            #expect(failures.all == [])
            #expect(result.stored + result.elsewhere + result.unchanged == 300)
            let rows = try database.rows().count
            #expect(rows == 300)
        }
    }

    @Test func endpointsOfOneBucket() throws {
        func identity(_ endpoint: String) throws -> BucketIdentity {
            try BucketIdentity(endpoint: endpoint, bucket: "b")
        }
        let aws = try identity("https://s3.amazonaws.com")
        for host in [
            "s3.eu-west-3.amazonaws.com", "s3.dualstack.us-east-2.amazonaws.com",
            "s3-eu-west-1.amazonaws.com", "s3-fips.us-east-1.amazonaws.com", "S3.amazonaws.com:443",
        ] {
            #expect(try identity("https://\(host)") == aws)
        }
        for host in [
            "s3.cn-north-1.amazonaws.com.cn", "s3.us-gov-west-1.amazonaws.com",
            "s3.gra.io.cloud.ovh.net", "s3.amazonaws.com.example.org",
        ] {
            #expect(try identity("https://\(host)") != aws)
        }
        #expect(try identity("http://store:9000/") == identity("http://STORE:9000"))
        #expect(try identity("http://store:9000") != identity("http://store:9001"))
    }

    /// A store's answer to a listing of pictures of one size.
    private static func listing(of count: Int, bytes: Int) -> String {
        let objects = (0..<count).map {
            "<Contents><Key>\($0).jpg</Key><Size>\(bytes)</Size></Contents>"
        }
        return
            "<ListBucketResult><IsTruncated>false</IsTruncated>\(objects.joined())</ListBucketResult>"
    }

    private static func interruptedProgress(_ settings: Settings) -> IngestProgress? {
        do {
            _ = try run(settings)
            return nil
        } catch {
            return (error as? IngestInterruption)?.progress
        }
    }

    /// The server ends the connections again and again, while the run goes on.
    @Test func lostConnectionsComeBack() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<400 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            let killer = try database.connect()
            let brake = try Brake(database)
            var ended = 0
            let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel)
            let progress = try ingest.run(
                report: { _ in
                    guard ended < 5 else { return brake.release() }
                    ended += 1
                    Self.endIngests(killer)
                }, onFailure: { _ in })
            #expect(progress.stored + progress.elsewhere == 400 && progress.failed == 0)
            let rows = try database.rows().count
            #expect(rows == 400)
        }
    }

    /// A database that is unavailable when the first rows are to be stored is retried as at any other time.
    @Test func databaseAwayBeforeTheFirstRow() throws {
        let picture = Array(try Self.picture("grey.jpg"))
        let listing = Self.listing(of: 20, bytes: picture.count)
        let gate = DispatchSemaphore(value: 0)
        let store = try LoopbackServer { _, request in
            if request.target.contains("list-type=2") { return .xml(200, listing) }
            gate.wait()
            gate.signal()
            return LoopbackServer.Reply(200, body: picture)
        }
        defer { store.stop() }
        try TestDatabase.with { database in
            _ = try database.table().create()
            let server = try PGConnection(uri: try #require(TestDatabase.serverURI))
            let name = try #require(URL(string: database.uri)).lastPathComponent
            func allowConnections(_ isAllowed: Bool) {
                _ = try? server.executeScript(
                    "ALTER DATABASE \(name) ALLOW_CONNECTIONS \(isAllowed)")
            }
            let ingest = try Ingest(
                settings([
                    "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": store.endpoint,
                    "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_BUCKET_NAME": "pictures",
                ]), modelPath: Fixtures.tinyModel)
            defer { allowConnections(true) }
            var isClosed = false
            var notes: [String] = []
            var failures: [IngestFailure] = []
            let progress = try ingest.run(
                report: { _ in
                    guard !isClosed else { return }
                    isClosed = true
                    allowConnections(false)
                    gate.signal()
                }, onFailure: { failures.append($0) },
                onNote: { note in
                    notes.append(note)
                    allowConnections(true)
                })
            #expect(failures == [])
            #expect(progress.stored == 20, "\(progress)")
            #expect(notes.count == 2 && notes.last == "the database is back", "\(notes)")
        }
    }

    /// Without a retry budget a lost database ends the run with the server's reason, and what is said to be
    /// stored is.
    @Test func lostDatabaseEndsTheRun() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<400 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            var options = Ingest.Options()
            options.retryFor = .zero
            let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
            let killer = try database.connect()
            let brake = try Brake(database)
            let interruption = #expect(throws: IngestInterruption.self) {
                _ = try ingest.run(
                    report: { _ in Self.endIngests(killer) }, onFailure: { _ in })
            }
            brake.release()
            let error = try #require(interruption)
            #expect((error.cause as? PGError)?.isConnectionLost == true)
            let stored = try database.rows().count
            #expect(stored == error.progress.stored)
            // The next run does the rest.
            let next = try Self.run(settings).progress
            #expect(next.stored == 400 - stored)
        }
    }

    /// Stopping stores what is in hand and gives the rest back.
    @Test func stoppingIsInOrder() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<2_000 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            var options = Ingest.Options()
            (options.encoders, options.batchSize) = (1, 1)
            let ingest = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
            let brake = try Brake(database)
            let interruption = #expect(throws: IngestInterruption.self) {
                _ = try ingest.run(
                    report: { progress in
                        guard progress.encoded > 0 else { return }
                        ingest.stop()
                        brake.release()
                    }, onFailure: { _ in })
            }
            let error = try #require(interruption)
            #expect(error.isStop && error.description.contains("again"))
            #expect(error.progress.stored > 0 && error.progress.stored < 2_000)
            #expect(error.progress.stored == error.progress.encoded)
            let rows = try database.rows().count
            #expect(rows == error.progress.stored)
            let claims = try database.connect().execute("SELECT 1 FROM picture_claims")
            #expect(claims.isEmpty)
        }
    }

    /// Building an index says nothing for as long as it takes: that is no lost connection, and no second
    /// build begins. An open transaction with an older snapshot keeps the build waiting.
    @Test func buildingAnIndexIsNotSilence() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<3 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            _ = try Self.run(settings)
            let watcher = try database.connect()
            try watcher.execute(
                "CREATE INDEX by_angle ON pictures USING hnsw (embedding vector_cosine_ops)")
            let builders = Monitor(Set<Int>())
            let isReleased = Monitor(false)
            let waiting = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                defer { isReleased.update { $0 = true } }
                do {
                    let reader = try database.connect()
                    try reader.executeScript("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
                    waiting.signal()
                    let watcher = try database.connect()
                    for _ in 0..<1_200 {
                        let rows = try watcher.execute(
                            """
                            SELECT pid, now() - query_start > '5 s' FROM pg_stat_activity
                            WHERE datname = current_database()
                                AND query LIKE 'CREATE INDEX CONCURRENTLY%'
                            """)
                        for row in rows {
                            let process = try row.int(0)
                            builders.update { _ = $0.insert(process) }
                        }
                        if try rows.contains(where: { try $0.bool(1) }) { break }
                        usleep(100_000)
                    }
                    try reader.executeScript("COMMIT")
                } catch {
                    waiting.signal()
                }
            }
            waiting.wait()
            var options = Ingest.Options()
            options.replacesModel = true
            options.responseTimeout = .seconds(2)
            let ingest = try Ingest(
                ImageSearchTests.settings([
                    "PG_SERVICE_URI": database.uri,
                    "S3_ENDPOINT": "file://\(bucket.deletingLastPathComponent().path)",
                    "S3_BUCKET_NAME": "pictures", "CLIP_PRECISION": "int8",
                ]), modelPath: Fixtures.tinyModel, options: options)
            var notes: [String] = []
            let progress = try ingest.run(
                report: { _ in }, onFailure: { _ in }, onNote: { notes.append($0) })
            #expect(progress.hasReplacedModel && progress.stored == 3)
            #expect(isReleased.read { $0 }, "the build did not wait")
            #expect(!notes.contains { $0.contains("CREATE INDEX") }, "\(notes)")
            #expect(builders.read { $0.count } == 1)
            let indexes = try database.table().status().indexes
            #expect(indexes.map(\.name) == ["by_angle"] && indexes[0].isValid)
        }
    }

    /// Several runs at once share the pictures.
    @Test func pictureIsEmbeddedOnce() throws {
        try Self.with { bucket, database, settings in
            let good = try Self.picture("grey.jpg")
            for index in 0..<300 { try good.write(to: bucket.appending(path: "\(index).jpg")) }
            var options = Ingest.Options()
            (options.encoders, options.batchSize) = (1, 4)
            let encoded = Counter()
            let failures = Failures()
            DispatchQueue.concurrentPerform(iterations: 3) { [options] _ in
                do {
                    encoded.add(try Self.run(settings, options: options).progress.encoded)
                } catch {
                    failures.add("\(error)")
                }
            }
            #expect(failures.all == [])
            #expect(encoded.value == 300)
            let rows = try database.rows().count
            #expect(rows == 300)
        }
    }

    /// Lets no ingest store anything before it is released, so that none is over before a test has
    /// looked at it, however quick the machine is.
    private final class Brake: @unchecked Sendable {
        private let connection: PGConnection

        init(_ database: TestDatabase) throws {
            connection = try database.connect()
            // Readers are let through.
            try connection.executeScript("BEGIN; LOCK TABLE pictures IN SHARE MODE")
        }

        func release() {
            _ = try? connection.executeScript("COMMIT")
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

/// Adds numbers up from several threads.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var sum = 0

    func add(_ number: Int) { lock.withLock { sum += number } }
    var value: Int { lock.withLock { sum } }
}
