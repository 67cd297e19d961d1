import ImageSearch
import PGClient
import TestSupport
import Testing

@Suite struct WallTimeTests {
    @Test(arguments: [
        ("2024", "2024-01-01T00:00:00"), ("2024-05", "2024-05-01T00:00:00"),
        ("2024-02-29", "2024-02-29T00:00:00"), ("2024-05-01T12:30", "2024-05-01T12:30:00"),
        ("2024-05-01 12:30:59", "2024-05-01T12:30:59"),
    ])
    func times(text: String, full: String) {
        #expect(WallTime(text)?.text == full)
    }

    @Test(arguments: [
        "", "24", "2024-13", "2024-2", "2023-02-29", "2024-04-31", "2024-05-01T", "2024T12:00",
        "2024-05-01T12", "2024-05-01T24:00", "2024-05-01T12:30:60", "2024-05-01T12:30:00Z",
        "0000-01-01", "1500-02-29", "2024 05-01", "2024-05-01-01", "+024", "２０２４",
        "2024-05-01T12:30:00:00", "1900-02-29",
    ])
    func noTimes(text: String) {
        #expect(WallTime(text) == nil)
    }
}

/// Filters against the rule written out here, with and without an index.
@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct FilterTests {
    private struct Picture {
        let key: String
        let embedding: [Float]
        let width: Int?
        let height: Int?
        let day: Int?
        let camera: String?
    }

    private static let pictures: [Picture] = {
        var random = SplitMix(state: 7)
        func draw(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
        return (0..<1_200).map { index in
            var vector = (0..<32).map { _ in Float.random(in: -1...1, using: &random) }
            vector[0] += 0.001
            let isKnown = draw(10) > 0
            return Picture(
                key: "\(["holidays", "work", "holidays/Crete"][draw(3)])/\(index).jpg",
                embedding: vector + [Float](repeating: 0, count: 480),
                width: isKnown ? 950 + draw(200) : nil, height: isKnown ? 950 + draw(200) : nil,
                day: draw(3) > 0 ? draw(28) + 1 : nil,
                camera: [nil, "Canon EOS R5", "Apple iPhone 12", "NIKON D90"][draw(4)])
        }
    }()

    private func withPictures(_ body: (TestDatabase, PicturesTable) throws -> Void) throws {
        try TestDatabase.with { database in
            let table = try database.table()
            _ = try table.create()
            try table.upsert(Self.pictures.map { .init(key: $0.key, embedding: $0.embedding) })
            let connection = try database.connect()
            for picture in Self.pictures {
                func sql(_ value: (some Any)?) -> String { value.map { "'\($0)'" } ?? "NULL" }
                let taken = picture.day.map { "2024-05-\($0 < 10 ? "0" : "")\($0) 12:00" }
                try connection.executeScript(
                    """
                    UPDATE pictures SET width = \(sql(picture.width)), height = \(sql(picture.height)),
                        taken_at = \(sql(taken)), camera = \(sql(picture.camera))
                    WHERE filename = '\(picture.key)'
                    """)
            }
            try connection.executeScript("ANALYZE pictures")
            try body(database, table)
        }
    }

    private static let cases: [(PictureFilter, @Sendable (Picture) -> Bool)] = [
        (.init(prefix: "holidays/Crete/"), { $0.key.hasPrefix("holidays/Crete/") }),
        (.init(after: WallTime("2024-05-20")), { $0.day.map { $0 >= 20 } ?? false }),
        (.init(before: WallTime("2024-05-03")), { $0.day.map { $0 < 3 } ?? false }),
        (.init(camera: "iphone"), { $0.camera == "Apple iPhone 12" }),
        (.init(camera: "%"), { _ in false }),
        (
            .init(shape: .landscape),
            { picture in
                guard let width = picture.width, let height = picture.height else { return false }
                return Double(width) / Double(height) > 1.05 + 1e-9
            }
        ),
        (
            .init(shape: .portrait),
            { picture in
                guard let width = picture.width, let height = picture.height else { return false }
                return Double(height) / Double(width) > 1.05 + 1e-9
            }
        ),
        (
            .init(shape: .square),
            { picture in
                guard let width = picture.width, let height = picture.height else { return false }
                let ratio = Double(max(width, height)) / Double(min(width, height))
                return ratio <= 1.05 + 1e-9
            }
        ),
        (.init(minimumWidth: 1_148), { $0.width.map { $0 >= 1_148 } ?? false }),
        (
            .init(
                prefix: "work/", after: WallTime("2024-05-27T12:00"), camera: "NIKON",
                shape: .square, minimumHeight: 1_000),
            { picture in
                guard let width = picture.width, let height = picture.height,
                    let day = picture.day
                else { return false }
                let ratio = Double(max(width, height)) / Double(min(width, height))
                return picture.key.hasPrefix("work/") && day >= 27 && picture.camera == "NIKON D90"
                    && ratio <= 1.05 + 1e-9 && height >= 1_000
            }
        ),
    ]

    private func check(_ table: PicturesTable, isExact: Bool, _ names: String) throws {
        for (filter, rule) in Self.cases {
            let wanted = Self.pictures.filter(rule)
            for limit in [5, 400] {
                let found = try table.nearest(
                    to: unitVector(0), .init(limit: limit, filter: filter, isExact: isExact))
                #expect(found.hits.allSatisfy { hit in wanted.contains { $0.key == hit.key } })
                // None is hidden, whatever the index would have given.
                #expect(found.hits.count == min(limit, wanted.count), "\(names): \(filter)")
                #expect(found.hasMore == (wanted.count > limit))
                for hit in found.hits {
                    let picture = try #require(wanted.first { $0.key == hit.key })
                    #expect(hit.facts.width == picture.width && hit.facts.height == picture.height)
                    #expect(hit.facts.camera == picture.camera)
                    let day = picture.day.map { "2024-05-\($0 < 10 ? "0" : "")\($0)T12:00:00" }
                    #expect(hit.facts.takenAt == day)
                    #expect(try table.facts(of: hit.key) == hit.facts)
                }
            }
        }
    }

    @Test func filtersTakeWhatTheySay() throws {
        try withPictures { database, table in
            try check(table, isExact: true, "no index")
            _ = try PicturesTable(uri: database.uri, applicationName: "tests", responseTimeout: nil)
                .changeIndex(IndexOptions(.hnsw, workers: 0), uri: database.uri) { _ in }
            try check(database.table(), isExact: false, "hnsw")
        }
    }

    /// The demo's table has neither sizes nor dates: searches and the key's beginning work, other filters
    /// say what to do.
    @Test func tableWithoutFacts() throws {
        try TestDatabase.with { database in
            let demo = try database.connect()
            try demo.executeScript(
                """
                CREATE EXTENSION vector;
                CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(512));
                INSERT INTO pictures VALUES ('a/1.jpg', array_fill(1, array[512])::vector);
                """)
            let table = try database.table()
            let hits = try table.nearest(
                to: unitVector(0), .init(filter: .init(prefix: "a/"))
            ).hits
            #expect(hits.map(\.key) == ["a/1.jpg"] && hits[0].facts == PictureFacts())
            #expect(try table.facts(of: "a/1.jpg") == PictureFacts())
            #expect(try table.facts(of: "a/2.jpg") == nil)
            #expect(try table.preview(of: "a/1.jpg") == nil)
            #expect(throws: TableError.noFacts) {
                try table.nearest(to: unitVector(0), .init(filter: .init(camera: "Canon")))
            }
        }
    }

    @Test func filtersThatMakeNoSense() {
        for filter in [
            PictureFilter(prefix: "a\0"), .init(camera: "\0"), .init(minimumWidth: 0),
            .init(minimumHeight: -1),
            .init(after: WallTime("2024"), before: WallTime("2023")),
        ] {
            #expect(throws: SearchError.self) { try filter.check() }
        }
        #expect(PictureFilter(prefix: "", camera: "").isEmpty)
    }
}
