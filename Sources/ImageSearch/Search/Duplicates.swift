import PGClient

/// At least two pictures that show the same, best copy first: most pixels, then the oldest, then by key.
public typealias DuplicateGroup = [StoredPicture]

extension Searcher {
    /// Rows whose neighbours are looked for by one statement, which must end in time also where the index comes from
    /// a slow disk.
    private static let rowsAtOnce = 100
    private static let groupsAtOnce = 200
    /// Without an index every row is compared with every other one.
    static let mostWithoutIndex = 5_000

    /// Groups of pictures, each with a cosine of `minimumScore` or more to another one of the group. Asks the index for
    /// the nearest of every picture, on all of the searcher's threads.
    ///
    /// - Parameter report: called with the number of pictures looked at so far.
    /// - Throws: `TableError.tooManyWithoutIndex`, and as ``search(_:)``.
    public func duplicates(
        minimumScore: Double, report: @Sendable (Int) -> Void = { _ in }
    ) async throws -> [DuplicateGroup] {
        try await ask { try $0.checkMayCompareAll(limit: Self.mostWithoutIndex) }
        var groups = DisjointSets()
        var last: String?
        var seen = 0
        try await withThrowingTaskGroup(of: (count: Int, pairs: [(String, String)]).self) { tasks in
            var running = 0
            var isOver = false
            while !isOver || running > 0 {
                while !isOver, running < threads {
                    let after = last
                    let keys = try await ask { try $0.keys(after: after, limit: Self.rowsAtOnce) }
                    isOver = keys.count < Self.rowsAtOnce
                    last = keys.last
                    guard !keys.isEmpty else { break }
                    running += 1
                    tasks.addTask {
                        let pairs = try await self.ask {
                            try $0.pairs(of: keys, minimumScore: minimumScore)
                        }
                        return (keys.count, pairs)
                    }
                }
                guard running > 0, let found = try await tasks.next() else { break }
                running -= 1
                for (a, b) in found.pairs { groups.join(a, b) }
                seen += found.count
                report(seen)
            }
        }
        var found: [DuplicateGroup] = []
        for some in groups.sets.batches(of: Self.groupsAtOnce) {
            var numbers: [[UInt8]: Int] = [:]
            for (number, keys) in some.enumerated() {
                for key in keys { numbers[Array(key.utf8)] = number }
            }
            let keys = some.flatMap(\.self)
            var copies = [[StoredPicture]](repeating: [], count: some.count)
            for picture in try await ask({ try $0.copies(keys) }) {
                if let number = numbers[Array(picture.key.utf8)] { copies[number].append(picture) }
            }
            // Rows may have been deleted since.
            found += copies.filter { $0.count > 1 }
        }
        return found
    }
}

/// Keys that belong together (union-find). Keys are compared by their bytes: to Swift, texts that look the same are equal.
private struct DisjointSets {
    private var numbers: [[UInt8]: Int] = [:]
    private var keys: [String] = []
    private var parents: [Int] = []

    mutating func join(_ a: String, _ b: String) {
        let (a, b) = (root(number(a)), root(number(b)))
        parents[max(a, b)] = min(a, b)
    }

    private mutating func number(_ key: String) -> Int {
        if let number = numbers[Array(key.utf8)] { return number }
        numbers[Array(key.utf8)] = keys.count
        parents.append(keys.count)
        keys.append(key)
        return keys.count - 1
    }

    private mutating func root(_ number: Int) -> Int {
        var number = number
        while parents[number] != number {
            parents[number] = parents[parents[number]]
            number = parents[number]
        }
        return number
    }

    /// In the order in which they were found.
    var sets: [[String]] {
        mutating get {
            var sets: [Int: [String]] = [:]
            for number in keys.indices { sets[root(number), default: []].append(keys[number]) }
            return sets.sorted { $0.key < $1.key }.map(\.value)
        }
    }
}

extension PicturesTable {
    /// How many of a picture's neighbours, itself among them, are looked at: the first number of each picture, which
    /// mostly has no copy, and the second of one whose first are all copies. Copies beyond these are found from one
    /// another.
    private static let neighbours = (4, 20)

    /// - Throws: ``TableError/tooManyWithoutIndex(limit:)``.
    fileprivate func checkMayCompareAll(limit: Int) throws {
        _ = try dimension()
        guard try searchState().index == nil else { return }
        let rows = try read("SELECT 1 FROM \(names.pictures) OFFSET \(limit) LIMIT 1")
        guard rows.isEmpty else { throw TableError.tooManyWithoutIndex(limit: limit) }
    }

    /// Pairs of each of these pictures and one near to it.
    fileprivate func pairs(
        of keys: [String], minimumScore: Double
    ) throws -> [(String, String)] {
        let (few, many) = Self.neighbours
        guard try searchState().index?.method == .hnsw else {
            return try pairs(of: keys, among: many, minimumScore: minimumScore)
        }
        let found = try pairs(of: keys, among: few, minimumScore: minimumScore)
        var counts: [[UInt8]: Int] = [:]
        for (key, _) in found { counts[Array(key.utf8), default: 0] += 1 }
        let full = keys.filter { counts[Array($0.utf8), default: 0] >= few - 1 }
        return full.isEmpty
            ? found : try found + pairs(of: full, among: many, minimumScore: minimumScore)
    }

    private func pairs(
        of keys: [String], among neighbours: Int, minimumScore: Double
    ) throws -> [(String, String)] {
        let index = try searchState().index
        let type = index.map { $0.holdsVectors ? "" : "::\(names.vectorSchema).\($0.type)" } ?? ""
        let nearer = names.vectorOperator(index?.sqlOperator ?? "<=>")
        let cosine = names.vectorOperator("<=>")
        // As small as finds them: a picture is in the index itself, and copies are its neighbours there.
        let width = "hnsw.ef_search = \(max(32, 2 * neighbours))"
        let settings = names.settings(
            (index == nil ? [] : ["enable_seqscan = off"]) + (index?.method == .hnsw ? [width] : [])
        )
        if names.isDistributed {
            // Citus joins rows of the same server only: each picture's neighbours are asked for by itself.
            let pictures = try read(
                """
                SELECT filename, embedding FROM \(names.pictures)
                WHERE filename = ANY ($1::text[]) AND embedding IS NOT NULL
                """, [.textArray(keys)]
            ).map { (key: try $0.string(0), embedding: try $0.vector(1)) }
            let vector = "$1::\(names.vector)"
            let searches = pictures.map { picture in
                PGQuery(
                    """
                    SELECT filename, 1 - (embedding \(cosine) \(vector)) FROM \(names.pictures)
                    WHERE embedding IS NOT NULL
                    ORDER BY (embedding\(type)) \(nearer) (\(vector)\(type))
                    LIMIT \(neighbours)
                    """, [.vector(picture.embedding)])
            }
            let answers = try readAll(searches, settings: settings)
            return try zip(pictures, answers).flatMap { picture, rows in
                try rows.filter { try $0.double(1) >= minimumScore }.map { try $0.string(0) }
                    .filter { !$0.utf8.elementsEqual(picture.key.utf8) }.map { (picture.key, $0) }
            }
        }
        // Each row's neighbours come from the index; the cosine is that of the whole vectors.
        let search = PGQuery(
            """
            SELECT picture.filename, near.filename
            FROM \(names.pictures) AS picture CROSS JOIN LATERAL (
                SELECT filename, embedding FROM \(names.pictures)
                WHERE embedding IS NOT NULL
                ORDER BY (embedding\(type)) \(nearer) (picture.embedding\(type))
                LIMIT \(neighbours)
            ) AS near
            WHERE picture.filename = ANY ($1::text[]) AND picture.embedding IS NOT NULL
                AND near.filename <> picture.filename
                AND 1 - (near.embedding \(cosine) picture.embedding) >= $2
            """, [.textArray(keys), .double(minimumScore)])
        return try readAll([search], settings: settings)[0].map {
            (try $0.string(0), try $0.string(1))
        }
    }

    /// The copies with what their rows know of them, best first.
    fileprivate func copies(_ keys: [String]) throws -> [StoredPicture] {
        let state = try searchState()
        let order = "width::bigint * height DESC NULLS LAST, taken_at NULLS LAST, "
        return try read(
            """
            SELECT filename, \(state.facts) FROM \(names.pictures)
            WHERE filename = ANY ($1::text[])
            ORDER BY \(state.hasFacts ? order : "")filename
            """, [.textArray(keys)]
        ).map { try StoredPicture($0) }
    }
}
