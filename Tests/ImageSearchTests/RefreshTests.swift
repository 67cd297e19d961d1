import ClipCore
import Foundation
import ImageSearch
import PGClient
import TestSupport
import Testing

/// Orientation, sizes, dates, cameras and previews: what an ingest records beside embeddings, and how a
/// refresh fills it in.
@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct RefreshTests {
    private static let names = ["exif-rotated.jpg", "grey.jpg", "cmyk.jpg"]

    private static func with(
        _ body: (_ bucket: URL, TestDatabase, (_ orientation: String) throws -> Settings) throws ->
            Void
    ) throws {
        try IngestTests.with { bucket, database, _ in
            for name in names {
                try IngestTests.picture(name).write(to: bucket.appending(path: name))
            }
            try body(bucket, database) { orientation in
                try settings([
                    "PG_SERVICE_URI": database.uri, "CLIP_ORIENTATION": orientation,
                    "S3_ENDPOINT": "file://\(bucket.deletingLastPathComponent().path)",
                    "S3_BUCKET_NAME": "pictures",
                ])
            }
        }
    }

    private static func run(
        _ settings: Settings, refreshes: Bool = false, makesPreviews: Bool = true,
        decodesFast: Bool? = nil
    ) throws -> IngestProgress {
        var options = Ingest.Options()
        options.decodesFast = decodesFast
        (options.refreshes, options.makesPreviews) = (refreshes, makesPreviews)
        return try IngestTests.run(settings, options: options).progress
    }

    private static func cosine(
        _ database: TestDatabase, _ golden: String
    ) throws -> Double {
        let row = try #require(try database.rows()["exif-rotated.jpg"])
        return IngestTests.cosine(row, try #require(try IngestTests.golden()[golden]))
    }

    private static func decodings(_ database: TestDatabase) throws -> Set<String> {
        Set(
            try database.connect().execute("SELECT coalesce(decoding, '') FROM pictures").map {
                try $0.string(0)
            })
    }

    /// The collection's rule is the first run's; another one is refused until a refresh changes it, which
    /// embeds only pictures that it turns.
    @Test func aCollectionHasOneOrientation() throws {
        try Self.with { _, database, settings in
            let first = try Self.run(settings(""))
            #expect(first.stored == 3)
            #expect(try Self.cosine(database, "exif-rotated.jpg") > 0.99999)
            #expect(try Self.cosine(database, "stored/exif-rotated.jpg") < 0.99)
            #expect(try Self.decodings(database) == ["upright"])

            let refusal = sentence { _ = try Self.run(settings("stored")) }
            #expect(refusal.contains("CLIP_ORIENTATION=upright") && refusal.contains("--refresh"))
            let mistake = sentence { _ = try Self.run(settings("sideways")) }
            #expect(mistake == #"CLIP_ORIENTATION must be upright or stored, not "sideways""#)

            let before = try database.rows()
            let second = try Self.run(settings("stored"), refreshes: true)
            #expect(second.stored == 1 && second.refreshed == 2 && second.encoded == 1)
            #expect(try Self.cosine(database, "stored/exif-rotated.jpg") > 0.99999)
            #expect(try Self.decodings(database) == ["stored"])
            let after = try database.rows()
            #expect(
                after["grey.jpg"] == before["grey.jpg"] && after["cmyk.jpg"] == before["cmyk.jpg"])
            // The others follow; the size is that of the upright picture in either case.
            let third = try Self.run(settings(""), refreshes: true)
            #expect(third.unchanged == 3)
            let size = try #require(try database.table().facts(of: "exif-rotated.jpg"))
            let preview = try #require(try database.table().preview(of: "exif-rotated.jpg"))
            let small = try ImageDecoder().decode(preview.bytes)
            #expect(small.width == size.width && small.height == size.height)
            let upright = try ImageDecoder().decode(
                [UInt8](IngestTests.picture("exif-rotated.jpg")))
            #expect(upright.width == small.width && upright.height == small.height)
            #expect(Self.meanDifference(upright, small) < 6)
        }
    }

    /// Pictures to search with are decoded as the collection's are.
    @Test(arguments: ["upright", "stored"])
    func searchesFollowTheCollection(orientation: String) async throws {
        try await TestDatabase.withAsync { database in
            _ = try database.table().create()
            let directory = FileManager.default.temporaryDirectory
                .appending(path: "refresh-\(UUID().uuidString)")
            let bucket = directory.appending(path: "pictures")
            try FileManager.default.createDirectory(at: bucket, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: directory) }
            let picture = try IngestTests.picture("exif-rotated.jpg")
            try picture.write(to: bucket.appending(path: "a.jpg"))
            let values = [
                "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": "file://\(directory.path)",
                "S3_BUCKET_NAME": "pictures",
            ]
            _ = try Self.run(
                settings(values.merging(["CLIP_ORIENTATION": orientation]) { $1 }))
            let searcher = try Searcher(settings(values), threads: 1)
            try await searcher.connect()
            try await searcher.load(loadsTexts: false) { Fixtures.tinyModel }
            let found = try await searcher.search(
                SearchQuery(terms: [.init(.embedding(searcher.embed([UInt8](picture))))]))
            #expect(found.hits[0].score > 0.99999)
        }
    }

    /// Fast decoding is recorded and followed like the orientation.
    @Test func aCollectionIsDecodedFastOrExactly() async throws {
        try await TestDatabase.withAsync { database in
            _ = try database.table().create()
            let directory = FileManager.default.temporaryDirectory
                .appending(path: "fast-\(UUID().uuidString)")
            let bucket = directory.appending(path: "pictures")
            try FileManager.default.createDirectory(at: bucket, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: directory) }
            for name in Self.names + ["large-420.jpg"] {
                try IngestTests.picture(name).write(to: bucket.appending(path: name))
            }
            let values = [
                "PG_SERVICE_URI": database.uri, "S3_ENDPOINT": "file://\(directory.path)",
                "S3_BUCKET_NAME": "pictures",
            ]
            let settings = try settings(values)
            #expect(try Self.run(settings, decodesFast: true).stored == 4)
            #expect(try Self.decodings(database) == ["upright-fast"])
            #expect(try database.table().status().decoding == "upright-fast")
            // A run that says nothing follows the table.
            try IngestTests.picture("large-420.jpg").write(to: bucket.appending(path: "new.jpg"))
            #expect(try Self.run(settings).stored == 1)
            let fast = try database.rows()
            let cosine = try IngestTests.cosine(
                #require(fast["new.jpg"]), #require(fast["large-420.jpg"]))
            #expect(cosine > 0.999999)
            let refusal = sentence { _ = try Self.run(settings, decodesFast: false) }
            #expect(refusal.contains("--no-fast-decode") && refusal.contains("--refresh"))
            #expect(try Self.run(settings, refreshes: true).unchanged == 5)

            let searcher = try Searcher(settings, threads: 1)
            try await searcher.connect()
            try await searcher.load(loadsTexts: false) { Fixtures.tinyModel }
            let query = try searcher.embed([UInt8](IngestTests.picture("large-420.jpg")))
            #expect(IngestTests.cosine(query, try #require(fast["large-420.jpg"])) > 0.999999)

            // Only what the scale changes is embedded again.
            let exact = try Self.run(settings, refreshes: true, decodesFast: false)
            #expect(exact.stored == 2 && exact.refreshed == 3)
            #expect(try Self.decodings(database) == ["upright"])
            let rows = try database.rows()
            for name in Self.names { #expect(rows[name] == fast[name]) }
            let changed = try IngestTests.cosine(
                #require(rows["large-420.jpg"]), #require(fast["large-420.jpg"]))
            #expect(changed < 0.999999 && changed > 0.9)
            let contradiction = sentence { _ = try Self.run(settings, decodesFast: true) }
            #expect(
                contradiction.contains("exactly") && contradiction.contains("--refresh"))
        }
    }

    /// Rows of an earlier version were embedded as stored. They stay so, and nothing is fetched, until a
    /// refresh, which fills in the rest too.
    @Test func tablesOfEarlierVersions() throws {
        try Self.with { bucket, database, settings in
            _ = try Self.run(settings("stored"))
            let connection = try database.connect()
            try connection.executeScript(
                """
                UPDATE pictures SET width = NULL, height = NULL, decoding = NULL;
                UPDATE picture_collection SET decoding = NULL;
                DELETE FROM picture_previews;
                """)
            let before = try database.rows()
            var notes: [String] = []
            let ordinary = try Ingest(settings(""), modelPath: Fixtures.tinyModel)
                .run(report: { _ in }, onFailure: { _ in }, onNote: { notes.append($0) })
            #expect(ordinary.unchanged == 3 && ordinary.encoded == 0)
            #expect(notes.count == 1 && notes[0].contains("--refresh"))
            let refusal = sentence { _ = try Self.run(settings("upright")) }
            #expect(refusal.contains("CLIP_ORIENTATION=stored") && refusal.contains("--refresh"))
            // A new picture is embedded like the others.
            try IngestTests.picture("exif-rotated.jpg")
                .write(to: bucket.appending(path: "new.jpg"))
            #expect(try Self.run(settings("")).stored == 1)
            // Which pictures share a batch changes the last bits.
            let new = try #require(try database.rows()["new.jpg"])
            #expect(IngestTests.cosine(new, try #require(before["exif-rotated.jpg"])) > 0.99999)

            var options = Ingest.Options()
            options.refreshes = true
            try connection.executeScript("DELETE FROM picture_schema WHERE version = 8")
            let former = sentence {
                _ = try Ingest(settings(""), modelPath: Fixtures.tinyModel)
                    .survey(prunes: false, report: { _ in }, onFailure: { _ in })
            }
            #expect(former.contains("run create-table first"))
            try database.table().upgrade()
            let survey = try Ingest(settings(""), modelPath: Fixtures.tinyModel, options: options)
                .survey(prunes: false, report: { _ in }, onFailure: { _ in })
            #expect(survey.changed == 4)
            let refresh = try Self.run(settings(""), refreshes: true)
            #expect(refresh.stored == 2 && refresh.refreshed == 2)
            #expect(try Self.cosine(database, "exif-rotated.jpg") > 0.99999)
            let after = try database.rows()
            #expect(
                after["grey.jpg"] == before["grey.jpg"] && after["cmyk.jpg"] == before["cmyk.jpg"])
            let complete = try connection.execute(
                """
                SELECT count(*) FROM pictures JOIN picture_previews USING (filename, etag)
                WHERE width > 0 AND height > 0 AND decoding = 'upright'
                """)
            #expect(try complete[0].int(0) == 4)
            #expect(try Self.run(settings("upright"), refreshes: true).unchanged == 4)
            // Previews that were lost come back, and no embedding changes.
            try connection.executeScript("TRUNCATE picture_previews")
            #expect(
                try Self.run(settings(""), refreshes: true, makesPreviews: false).unchanged == 4)
            #expect(try Self.run(settings(""), refreshes: true).refreshed == 4)
            #expect(try database.rows() == after)
        }
    }

    private struct Camera: Decodable {
        let file: String
        let width: Int
        let height: Int
        let takenAt: String?
        let takenOffset: String?
        let camera: String?
    }

    /// The columns hold what Pillow reads from the files.
    @Test func columnsHoldWhatTheFilesSay() throws {
        let folder = Fixtures.directory.deletingLastPathComponent()
            .appending(path: "ClipCoreTests/Fixtures/image/metadata")
        let golden = try JSONDecoder().decode(
            [Camera].self, from: Data(contentsOf: folder.appending(path: "golden.json")))
        #expect(golden.count > 20)
        try IngestTests.with { bucket, database, settings in
            for picture in golden {
                try Data(contentsOf: folder.appending(path: picture.file))
                    .write(to: bucket.appending(path: picture.file))
            }
            _ = try IngestTests.run(settings)
            let rows = try database.connect().execute(
                """
                SELECT filename, width, height, coalesce(taken_at::text, ''), coalesce(camera, ''),
                    coalesce(extract(epoch FROM taken_offset)::integer, -1)
                FROM pictures
                """)
            #expect(rows.count == golden.count)
            for row in rows {
                let name = try row.string(0)
                let picture = try #require(golden.first { $0.file == name })
                #expect(try row.int(1) == picture.width && row.int(2) == picture.height, "\(name)")
                #expect(try row.string(3) == picture.takenAt ?? "", "\(name)")
                #expect(try row.string(4) == picture.camera ?? "", "\(name)")
                if let offset = picture.takenOffset {
                    let minutes = offset.dropFirst().split(separator: ":").compactMap { Int($0) }
                    let seconds = 60 * (60 * minutes[0] + minutes[1])
                    #expect(try row.int(5) == (offset.hasPrefix("-") ? -seconds : seconds))
                } else {
                    #expect(try row.int(5) == -1)
                }
            }
            let previews = try database.connect().execute(
                "SELECT bytes FROM picture_previews WHERE type IN ('image/jpeg', 'image/webp')")
            #expect(previews.count == golden.count)
            for preview in previews {
                let bytes = try preview.bytes(0)
                _ = try ImageDecoder().decode(bytes)
                #expect(bytes.firstRange(of: Array("Exif".utf8)) == nil)
            }
        }
    }

    /// A scope is all that a run sees: listing, pruning and counting.
    @Test func pruningStaysInItsScope() throws {
        try IngestTests.with { bucket, database, settings in
            let picture = try IngestTests.picture("grey.jpg")
            for name in ["a/1.jpg", "a/2.jpg", "a/thumbs/1.jpg", "b/1.jpg"] {
                let file = bucket.appending(path: name)
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try picture.write(to: file)
            }
            var options = Ingest.Options()
            options.scope = ObjectScope(prefix: "a/", excluded: ["*/thumbs/*"])
            let scoped = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
            let first = try scoped.run(report: { _ in }, onFailure: { _ in })
            #expect(first.stored == 2 && first.listed == 2 && first.excluded == 1)
            #expect(try database.rowKeys() == ["a/1.jpg", "a/2.jpg"])
            #expect(try IngestTests.run(settings).progress.stored == 2)
            for name in ["a/2.jpg", "a/thumbs/1.jpg", "b/1.jpg"] {
                try FileManager.default.removeItem(at: bucket.appending(path: name))
            }
            let survey = try scoped.survey(prunes: true, report: { _ in }, onFailure: { _ in })
            #expect(survey.pruned == 1 && survey.unchanged == 1 && survey.listed == 1)
            #expect(try scoped.prune(after: first, force: false) { _ in }.pruned == 1)
            #expect(try database.rowKeys() == ["a/1.jpg", "a/thumbs/1.jpg", "b/1.jpg"])
            let previews = try database.connect().execute(
                "SELECT filename FROM picture_previews ORDER BY filename COLLATE \"C\"")
            #expect(try previews.map { try $0.string(0) } == database.rowKeys())
            // Nothing is left in this scope, which looks like a mistake.
            options.scope = ObjectScope(prefix: "b/")
            let empty = try Ingest(settings, modelPath: Fixtures.tinyModel, options: options)
            #expect(
                sentence { _ = try empty.prune(after: first, force: false) { _ in } }
                    .contains("--force"))
        }
    }

    /// Mean difference of the samples of two pictures of one size, 0 to 255.
    private static func meanDifference(_ a: PixelImage, _ b: PixelImage) -> Double {
        let (a, b) = (a.convertedToRGB().pixels, b.convertedToRGB().pixels)
        return zip(a, b).reduce(0.0) { $0 + abs(Double($1.0) - Double($1.1)) } / Double(a.count)
    }
}
