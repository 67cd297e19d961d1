/// How to build an index over the embeddings.
public struct IndexOptions: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        /// No index: every search compares every row. Good enough up to some ten thousand pictures.
        case none
        /// A graph of neighbours (Malkov and Yashunin, 2016).
        case hnsw
        /// Lists around centres, which earlier versions built. No longer built; an existing one is used.
        case ivfflat
        /// `hnsw` if there are enough pictures for it to matter, else `none`.
        case auto
    }

    public var kind: Kind
    /// Bytes that the server may use to build, its `maintenance_work_mem`; nil leaves its setting. A
    /// graph that does not fit is built many times more slowly.
    public var memory: Int?
    /// Server processes that help to build; nil leaves the server's setting.
    public var workers: Int?

    public init(_ kind: Kind, memory: Int? = nil, workers: Int? = nil) {
        self.kind = kind
        self.memory = memory
        self.workers = workers
    }

    /// Rows from which `auto` builds an index: comparing this many takes some tens of milliseconds.
    public static let worthAnIndex = 20_000
    /// The most dimensions that pgvector indexes as `halfvec`.
    public static let maximumDimension = 4_000

    /// Bytes from a text such as `512MB` or `4 GB`; units as PostgreSQL's, powers of 1,024.
    /// - Returns: nil for anything else, or less than 1 MB, or more than PostgreSQL takes.
    public static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).filter { $0 != " " }.lowercased()
        let scales = ["kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40]
        guard let number = Int(digits), let scale = scales[unit] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: scale)
        // maintenance_work_mem is a number of kilobytes in 31 bits.
        guard !overflow, bytes >= 1 << 20, bytes >> 10 <= Int(Int32.max) else { return nil }
        return bytes
    }
}

/// What building or dropping an index did.
public struct IndexChange: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        case built, wasThere, dropped, noneWasThere
        /// `auto` found too few pictures for an index.
        case tooFewPictures(rows: Int)
    }

    public var outcome: Outcome
    /// The index's name; nil without one.
    public var name: String?
    /// Whether one of an interrupted build was removed first.
    public var removedInvalid = false
    /// Names of the indexes over dates and sizes that were built beside it.
    public var builtForFilters: [String] = []
}

/// The progress of building an index: `pg_stat_progress_create_index`.
public struct IndexProgress: Sendable, Equatable {
    /// As the server names it, such as `building index: loading tuples`.
    public let phase: String
    /// 0 to 1 within the phase, where the server counts.
    public let fraction: Double?
    /// The partition being indexed, and how many there are; 1 and 1 without partitions.
    public let part: Int
    public let parts: Int
}
