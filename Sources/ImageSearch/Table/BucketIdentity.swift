import ClipCore
import Glibc
import PGClient
import S3Client

/// The bucket that a table of pictures belongs to: what kind of store, where, and its name; no keys.
public struct BucketIdentity: Sendable, Equatable, CustomStringConvertible {
    public enum Kind: String, Sendable { case s3, directory }

    public let kind: Kind
    /// Host and port of an S3 service, without the scheme; or the directory that stands for one.
    public let endpoint: String
    public let bucket: String

    public var description: String {
        "\"\(printable(bucket, limit: 200))\" \(kind == .s3 ? "at" : "in") \(printable(endpoint, limit: 300))"
    }
}

extension BucketIdentity {
    /// - Parameter endpoint: as in `S3_ENDPOINT`.
    /// - Throws: `S3Error` for an endpoint that cannot be read.
    public init(endpoint: String, bucket: String) throws {
        if let directory = try directory(fromFileURL: endpoint) {
            self.init(kind: .directory, endpoint: Self.realPath(directory), bucket: bucket)
        } else {
            let endpoint = try Endpoint(endpoint)
            let host = Self.canonical(endpoint.hostHeader) + endpoint.pathPrefix
            self.init(kind: .s3, endpoint: host, bucket: bucket)
        }
    }

    /// AWS's global, regional, dual-stack, FIPS and accelerated hosts reach the same buckets: their names
    /// are unique within a partition (AWS General Reference, "Amazon S3 endpoints").
    private static func canonical(_ host: String) -> String {
        let china = ".amazonaws.com.cn"
        let suffix = host.hasSuffix(china) ? china : ".amazonaws.com"
        guard host.hasSuffix(suffix) else { return host }
        let name = host.dropLast(suffix.count)
        let isS3 = ["s3", "s3-fips", "s3-accelerate", "s3-external-1"].contains { part in
            name == part || name.hasPrefix(part + ".")
        }
        // Older regional hosts are written s3-REGION.
        guard isS3 || name.hasPrefix("s3-") && !name.contains(".") else { return host }
        return name.contains("us-gov-") ? "s3.us-gov\(suffix)" : "s3\(suffix)"
    }

    static func realPath(_ path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }
}

extension Settings {
    /// Which bucket `S3_ENDPOINT` and `S3_BUCKET_NAME` name; nil when they name none.
    public func bucketIdentity() throws -> BucketIdentity? {
        guard let endpoint = try optional("S3_ENDPOINT"),
            let bucket = try optional("S3_BUCKET_NAME")
        else { return nil }
        return try BucketIdentity(endpoint: endpoint, bucket: bucket)
    }
}

extension PicturesTable {
    /// The bucket that the table belongs to, once for each endpoint; empty before the first
    /// `process-images`, or when the table is of an earlier version.
    public func buckets() throws -> [BucketIdentity] {
        do {
            return try read(
                """
                SELECT kind, unnest(endpoints), bucket FROM \(names["picture_collection"])
                """
            ).map { row in
                guard let kind = BucketIdentity.Kind(rawValue: try row.string(0)) else {
                    throw TableError.unknownKindOfStore(try row.string(0))
                }
                return BucketIdentity(
                    kind: kind, endpoint: try row.string(1), bucket: try row.string(2))
            }
        } catch let error as PGError where error.isUndefinedTable {
            return []
        }
    }

    /// - Throws: ``TableError/otherBucket(table:given:)`` or ``TableError/otherEndpoint(table:given:)``
    ///   when the table belongs to another bucket.
    public func check(_ bucket: BucketIdentity) throws {
        let known = try buckets()
        guard let first = known.first, !known.contains(bucket) else { return }
        throw first.bucket == bucket.bucket && first.kind == bucket.kind
            ? TableError.otherEndpoint(table: first, given: bucket)
            : TableError.otherBucket(table: first, given: bucket)
    }

    /// Makes the bucket the table's, if it has none yet.
    /// - Parameter addsEndpoint: whether another endpoint of the same bucket is remembered as such.
    /// - Returns: whether the table had no bucket before.
    /// - Throws: as ``check(_:)``.
    func adopt(_ bucket: BucketIdentity, addsEndpoint: Bool) throws -> Bool {
        let values = [bucket.kind.rawValue, bucket.endpoint, bucket.bucket].map(PGValue.text)
        let adopted = try connection.execute(
            """
            INSERT INTO \(names["picture_collection"]) (kind, endpoints, bucket)
            VALUES ($1, ARRAY[$2], $3) ON CONFLICT (id) DO NOTHING
            """, values)
        if adopted.affectedRows > 0 { return true }
        if addsEndpoint {
            try connection.execute(
                """
                UPDATE \(names["picture_collection"]) SET endpoints = array_append(endpoints, $2)
                WHERE kind = $1 AND bucket = $3 AND NOT endpoints @> ARRAY[$2]
                """, values)
        }
        try check(bucket)
        return false
    }
}

// MARK: - Decoding

/// What a run's settings say about decoding; nil leaves it to the collection.
struct WantedDecoding {
    /// `CLIP_ORIENTATION`.
    let orientation: ImageDecoder.Orientation?
    /// `--fast-decode`.
    let isFast: Bool?
}

/// What a collection's pictures are decoded by.
struct CollectionDecoding {
    let rule: ImageDecoder.Rule
    /// Whether an earlier version, which knew no rule, embedded the pictures as they are stored.
    let isFormer: Bool
}

extension PicturesTable {
    /// The rule that the collection's embeddings follow; `stored` for the demo's and earlier versions'
    /// tables, which knew none.
    /// - Throws: ``TableError/unknownDecoding(_:)``.
    func decoding() throws -> ImageDecoder.Rule {
        try recordedDecoding().map(Self.rule) ?? ImageDecoder.Rule(orientation: .stored)
    }

    /// What the collection records; nil for nothing, and in the demo's and earlier versions' tables.
    /// - Parameter isLocked: whether it stays so until the end of the transaction.
    func recordedDecoding(isLocked: Bool = false) throws -> String? {
        do {
            let rows = try read(
                """
                SELECT decoding FROM \(names["picture_collection"]) \(isLocked ? "FOR UPDATE" : "")
                """)
            return try rows.first.flatMap { try $0.isNull(0) ? nil : $0.string(0) }
        } catch let error as PGError where error.isUndefinedTable {
            return nil
        }
    }

    private static func rule(_ name: String) throws -> ImageDecoder.Rule {
        guard let rule = ImageDecoder.Rule(name) else { throw TableError.unknownDecoding(name) }
        return rule
    }

    /// Makes sure that new pictures may be decoded by the given rule, and records it: the first run decides
    /// for all, and only a refresh changes it.
    ///
    /// A new collection's pictures are turned upright and decoded exactly, unless `wanted` says otherwise.
    /// - Throws: ``TableError/otherOrientation(table:given:)``, ``TableError/otherSpeed(isFast:)``.
    func adopt(_ wanted: WantedDecoding, isRefreshing: Bool) throws -> CollectionDecoding {
        try connection.transaction {
            let decoding = try decoding(wanted, isRefreshing: isRefreshing, isLocked: true)
            if !decoding.isFormer {
                try connection.execute(
                    """
                    UPDATE \(names["picture_collection"]) SET decoding = $1
                    WHERE decoding IS DISTINCT FROM $1
                    """, [.text(decoding.rule.description)])
            }
            return decoding
        }
    }

    /// What ``adopt(_:isRefreshing:)`` would record.
    func decoding(
        _ wanted: WantedDecoding, isRefreshing: Bool, isLocked: Bool = false
    ) throws -> CollectionDecoding {
        let known = try recordedDecoding(isLocked: isLocked).map(Self.rule)
        let isFormer =
            try known == nil
            && !connection.execute(
                """
                SELECT 1 FROM \(names.pictures)
                WHERE model IS NOT NULL AND decoding IS NULL AND embedding IS NOT NULL LIMIT 1
                """
            ).isEmpty
        let current =
            known ?? (isFormer && !isRefreshing ? ImageDecoder.Rule(orientation: .stored) : nil)
        if !isRefreshing, let current {
            if let wanted = wanted.orientation, wanted != current.orientation {
                throw TableError.otherOrientation(
                    table: current.orientation.rawValue, given: wanted.rawValue)
            }
            if let isFast = wanted.isFast, isFast != current.isFast {
                throw TableError.otherSpeed(isFast: current.isFast)
            }
        }
        let rule = ImageDecoder.Rule(
            orientation: wanted.orientation ?? current?.orientation ?? .upright,
            isFast: wanted.isFast ?? current?.isFast ?? false)
        // A setting that agrees with what an earlier version did is a decision.
        return CollectionDecoding(
            rule: rule, isFormer: isFormer && !isRefreshing && wanted.orientation == nil)
    }
}
