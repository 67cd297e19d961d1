import Foundation
import ImageSearch
import PGClient
import TestSupport
import Testing

/// Indexes on a real pgvector: that they are built, used, repaired and right.
@Suite(.enabled(if: TestDatabase.serverURI != nil, "needs TEST_PG_URI"))
struct IndexTests {
    /// 1,500 vectors around 30 centres, with keys in two folders.
    static let rows: [PicturesTable.Row] = {
        var random = SplitMix(state: 6)
        func gaussian() -> Float {
            (0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0..<1, using: &random) }
        }
        let centres = (0..<30).map { _ in (0..<512).map { _ in gaussian() } }
        return (0..<1_500).map { number in
            let centre = centres[number % centres.count]
            let folder = number % 5 == 0 ? "few" : "many"
            return PicturesTable.Row(
                key: "\(folder)/\(number).jpg", embedding: unit(centre.map { $0 + gaussian() }))
        }
    }()

    static let queries: [[Float]] = stride(from: 0, to: 1_500, by: 50).map { number in
        let other = rows[(number + 30) % 1_500].embedding
        return unit(zip(rows[number].embedding, other).map { $0 + 0.5 * $1 })
    }

    private static func unit(_ vector: [Float]) -> [Float] {
        let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return vector.map { $0 / norm }
    }

    private func withFilledTable(
        partitions: Int? = nil, _ body: (TestDatabase, PicturesTable) throws -> Void
    ) throws {
        try TestDatabase.with { database in
            let table = try database.table()
            _ = try table.create(partitions: partitions)
            try table.upsert(Self.rows)
            try database.connect().execute("ANALYZE pictures")
            try body(database, table)
        }
    }

    private func build(
        _ database: TestDatabase, _ kind: IndexOptions.Kind, memory: Int? = nil
    ) throws -> IndexChange {
        try PicturesTable(uri: database.uri, applicationName: "tests", responseTimeout: nil)
            .changeIndex(IndexOptions(kind, memory: memory, workers: 0), uri: database.uri) { _ in }
    }

    /// What pgvector itself says, row by row.
    private func truth(
        _ database: TestDatabase, _ query: [Float], limit: Int, prefix: String = ""
    ) throws -> [String] {
        try database.connect().execute(
            """
            SELECT filename FROM pictures WHERE starts_with(filename, $3)
            ORDER BY (embedding <=> $1::vector) + 0, filename LIMIT $2
            """, [.vector(query), .int64(Int64(limit)), .text(prefix)]
        ).map { try $0.string(0) }
    }

    private func found(
        _ database: TestDatabase, _ table: PicturesTable, _ selection: SearchQuery
    ) throws -> Double {
        var (right, all) = (0, 0)
        for query in Self.queries {
            let truth = try truth(
                database, query, limit: selection.limit, prefix: selection.filter.prefix ?? "")
            let hits = try table.nearest(to: query, selection).hits
            right += Set(truth).intersection(hits.map(\.key)).count
            all += truth.count
            #expect(hits.map(\.score) == hits.map(\.score).sorted(by: >))
        }
        return Double(right) / Double(all)
    }

    @Test func hnswIsBuiltUsedAndDropped() throws {
        try withFilledTable { database, table in
            let query = Self.queries[0]
            let ten = SearchQuery(limit: 10)
            #expect(try !table.explain(query, ten).contains { $0.contains("Index Scan using") })
            #expect(throws: TableError.noIndex) { try table.recall(of: [query]) }
            #expect(try build(database, .none).outcome == .noneWasThere)
            #expect(try build(database, .auto).outcome == .tooFewPictures(rows: 1_500))

            let built = try build(database, .hnsw, memory: 64 << 20)
            #expect(built.outcome == .built && !built.removedInvalid)
            let name = try #require(built.name)
            #expect(try build(database, .hnsw).outcome == .wasThere)
            #expect(try build(database, .auto).name == name)

            let plan = try table.explain(query, ten).joined(separator: "\n")
            #expect(plan.contains("Index Scan using \(name)"), "\(plan)")
            var exactly = ten
            exactly.isExact = true
            #expect(try !table.explain(query, exactly).contains { $0.contains(name) })

            #expect(try found(database, table, ten) >= 0.98)
            #expect(try found(database, table, exactly) == 1)
            // More than pgvector's own limit of 40, and than hnsw.ef_search can be.
            #expect(try found(database, table, .init(limit: 300)) >= 0.98)
            #expect(try table.nearest(to: query, .init(limit: 1_200)).hits.count == 1_200)
            // Scores are of the whole vectors, not of their halves.
            let exact = try table.nearest(to: query, exactly).hits
            let indexed = try table.nearest(to: query, ten).hits
            for hit in indexed {
                if let same = exact.first(where: { $0.key == hit.key }) {
                    #expect(same.score == hit.score)
                }
            }
            let recall = try table.recall(of: Self.queries)
            #expect(recall.recall >= 0.98 && recall.queries == Self.queries.count)

            let status = try table.status()
            #expect(status.indexes.map(\.name) == [name] && status.indexes[0].isValid)
            #expect(status.indexes[0].bytes > 1_500 * 1_024)
            #expect(try build(database, .none).outcome == .dropped)
            #expect(try table.status().indexes == [])
        }
    }

    /// Dates and sizes get indexes, unless the user has made them.
    @Test(arguments: [nil, 2])
    func indexesForFilters(partitions: Int?) throws {
        try withFilledTable(partitions: partitions) { database, _ in
            let connection = try database.connect()
            func columns() throws -> [String] {
                try connection.execute(
                    """
                    SELECT attname::text FROM pg_index JOIN pg_attribute
                        ON attrelid = indrelid AND attnum = indkey[0]
                    WHERE indrelid = 'pictures'::regclass AND indisvalid AND NOT indisprimary
                    ORDER BY 1
                    """
                ).map { try $0.string(0) }
            }
            let both = ["pictures_taken_at", "pictures_width"]
            #expect(try build(database, .hnsw).builtForFilters == both)
            #expect(try columns() == ["taken_at", "width"])
            #expect(try build(database, .hnsw).builtForFilters == [])
            #expect(try build(database, .none).outcome == .dropped)
            #expect(try columns() == [])
            try connection.executeScript("CREATE INDEX mine ON pictures (taken_at, filename)")
            #expect(try build(database, .hnsw).builtForFilters == ["pictures_width"])
            #expect(try build(database, .none).outcome == .dropped)
            #expect(try columns() == ["taken_at"])
        }
    }

    @Test func filtersAndPages() throws {
        try withFilledTable { database, table in
            _ = try build(database, .hnsw)
            // 300 of 1,500 rows: the nearest ones of the whole table hold too few of them.
            #expect(
                try found(database, table, .init(limit: 60, filter: .init(prefix: "few/"))) >= 0.95)
            let query = Self.queries[3]
            let whole = try table.nearest(to: query, .init(limit: 40)).hits
            let pages = try stride(from: 0, to: 40, by: 10).flatMap {
                try table.nearest(to: query, .init(limit: 10, offset: $0)).hits
            }
            #expect(whole == pages && pages.map(\.rank) == Array(1...40))
            let tail = try table.nearest(
                to: query, .init(limit: 10, offset: 1_495, isExact: true))
            #expect(tail.hits.count == 5 && !tail.hasMore)
            #expect(try table.nearest(to: query, .init(limit: 10)).hasMore)
            let least = whole[4].score
            let near = try table.nearest(to: query, .init(limit: 10, minimumScore: least))
            #expect(near.hits == Array(whole.prefix(5)) && !near.hasMore)
            let none = try table.nearest(
                to: query, .init(limit: 10, filter: .init(prefix: "few/%")))
            #expect(none.hits == [])
        }
    }

    /// The query uses the operator of the index that is there.
    @Test(arguments: [
        ("hnsw (embedding vector_l2_ops)", "<->"),
        ("hnsw (embedding vector_ip_ops)", "<#>"),
        ("hnsw (embedding vector_cosine_ops)", "<=>"),
        ("hnsw ((embedding::halfvec(512)) halfvec_l2_ops)", "<->"),
        ("ivfflat (embedding vector_cosine_ops) WITH (lists = 50)", "<=>"),
    ])
    func usesIndexesOfOthers(definition: String, sqlOperator: String) throws {
        try withFilledTable { database, table in
            try database.connect().executeScript(
                "CREATE INDEX theirs ON pictures USING \(definition)")
            let plan = try table.explain(Self.queries[0], .init(limit: 10)).joined(separator: "\n")
            #expect(plan.contains("Index Scan using theirs"), "\(plan)")
            #expect(plan.contains(sqlOperator))
            #expect(try found(database, table, .init(limit: 10)) >= 0.95)
            // None of ours, so none that we drop.
            #expect(try build(database, .none).outcome == .noneWasThere)
        }
    }

    @Test func ivfflatAndChangingKinds() throws {
        try withFilledTable { database, table in
            // As an earlier version built it.
            try database.connect().execute(
                """
                CREATE INDEX pictures_embedding_ivfflat ON pictures
                USING ivfflat ((embedding::halfvec(512)) halfvec_cosine_ops) WITH (lists = 1)
                """)
            #expect(try found(database, table, .init(limit: 10)) >= 0.95)
            #expect(try build(database, .hnsw).outcome == .built)
            #expect(try table.status().indexes.map(\.method) == ["hnsw"])
        }
    }

    /// What a build that broke off leaves behind: an index that is there and not valid.
    @Test func invalidIndexesAreRebuilt() throws {
        try withFilledTable { database, table in
            let name = try #require(try build(database, .hnsw).name)
            try database.connect().execute(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass($1)",
                [.text(name)])
            let status = try table.status()
            #expect(!status.indexes[0].isValid)
            #expect(status.warnings.contains { $0.contains(name) && $0.contains("invalid") })
            let query = Self.queries[0]
            #expect(try !table.explain(query, .init(limit: 4)).contains { $0.contains(name) })
            #expect(try table.nearest(to: query, limit: 4).count == 4)
            let again = try build(database, .hnsw)
            #expect(again.outcome == .built && again.removedInvalid)
            #expect(try table.status().indexes[0].isValid)
        }
    }

    /// Two builders at once, while rows are stored: one index, and nothing lost.
    @Test func buildingAtOnceWithStoring() throws {
        try withFilledTable { database, table in
            let failures = Failures()
            DispatchQueue.concurrentPerform(iterations: 3) { number in
                do {
                    if number < 2 {
                        _ = try build(database, .hnsw)
                    } else {
                        let writer = try database.table()
                        for (axis, row) in Self.rows.prefix(60).enumerated() {
                            try writer.upsert([
                                .init(key: "new/\(axis)", embedding: row.embedding.reversed())
                            ])
                        }
                    }
                } catch {
                    failures.add("\(error)")
                }
            }
            #expect(failures.all == [])
            #expect(try table.status().indexes.map(\.isValid) == [true])
            #expect(try table.status().pictures == 1_560)
            for row in Self.rows.prefix(60) {
                let hit = try table.nearest(to: row.embedding.reversed(), limit: 1).first
                #expect(hit?.key.hasPrefix("new/") == true)
            }
        }
    }

    /// The same rows in four partitions give the same answers, exact and indexed, and are replaced
    /// by key as ever.
    @Test func partitionsGiveEqualAnswers() throws {
        try withFilledTable { plainDatabase, plain in
            try withFilledTable(partitions: 4) { database, table in
                #expect(try table.status().sizes.partitions == 4)
                #expect(throws: TableError.otherPartitions(table: 4, asked: 2)) {
                    _ = try table.create(partitions: 2)
                }
                #expect(try table.create(partitions: 4).createdTable == false)
                for query in Self.queries {
                    let selection = SearchQuery(limit: 20, isExact: true)
                    #expect(
                        try table.nearest(to: query, selection)
                            == plain.nearest(to: query, selection))
                }
                let name = try #require(try build(database, .hnsw).name)
                let plan = try table.explain(Self.queries[0], .init(limit: 10))
                #expect(plan.count { $0.contains("Index Scan using") } == 4, "\(plan)")
                #expect(try found(database, table, .init(limit: 10)) >= 0.98)
                let index = try #require(try table.status().indexes.first)
                #expect(index.name == name && index.isValid && index.bytes > 1_500 * 1_024)

                try table.upsert(
                    Self.rows.prefix(500).map { .init(key: $0.key, embedding: unitVector(1)) })
                #expect(try table.status().pictures == 1_500)
                #expect(try build(database, .none).outcome == .dropped)
                #expect(try table.status().indexes == [])
            }
        }
    }

    @Test func embeddingsStayInTheirRows() throws {
        try withFilledTable { database, table in
            let long = (0..<50).map {
                PicturesTable.Row(
                    key: String(repeating: "folder/", count: 100) + "\($0)",
                    embedding: unitVector($0))
            }
            try table.upsert(long)
            let status = try table.status()
            #expect(status.sizes.outOfLine == 0 && status.sizes.table > 1_550 * 2_056)
            #expect(status.warnings == [] && status.pictures == 1_550)
            #expect(abs((status.meanNorm ?? 0) - 1) < 1e-6)
            #expect(status.migrations.contains(20))
            // The demo's table as it was, with its embeddings out of line, until it is rewritten.
            try database.connect().executeScript(
                """
                ALTER TABLE pictures RENAME TO former;
                CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(512));
                INSERT INTO pictures SELECT filename, embedding FROM former;
                DROP TABLE former;
                """)
            _ = try database.table().create()
            let old = try database.table().status()
            #expect(old.sizes.outOfLine > 1_500 * 2_056)
            #expect(old.warnings.contains { $0.contains("VACUUM FULL pictures") })
            try database.connect().execute("VACUUM FULL pictures")
            #expect(try database.table().status().sizes.outOfLine == 0)
        }
    }

    @Test func sizesOfMemory() {
        #expect(IndexOptions.bytes("512MB") == 512 << 20)
        #expect(IndexOptions.bytes("4 gb") == 4 << 30)
        #expect(IndexOptions.bytes("2048kB") == 2 << 20)
        let wrong = [
            "", "MB", "1", "-1GB", "1kB", "9999999999TB", "99999999999999999999GB", "1.5GB",
        ]
        for text in wrong {
            #expect(IndexOptions.bytes(text) == nil, "\(text)")
        }
    }
}
