import Bytes
import FoundationEssentials

/// One object of a bucket, as listed.
///
/// S3 compares keys byte by byte, Swift compares strings by canonical equivalence: keys that differ only in
/// normalisation (`é` as one scalar or two) are different objects but equal strings. Compare `key.utf8`.
public struct ObjectSummary: Sendable {
    public let key: String
    /// In bytes.
    public let size: Int64
    /// The entity tag without its quotes, if the store gives one.
    public let etag: String?

    public init(key: String, size: Int64, etag: String?) {
        self.key = key
        self.size = size
        self.etag = etag
    }
}

/// Something that a listing could not list.
public struct ListingProblem: Sendable, Equatable, CustomStringConvertible {
    /// The key, or the folder's path with a slash at its end; without control characters.
    public let name: String
    public let reason: String
    /// Whether objects that exist may be missing from the listing because of it.
    public let hidesKeys: Bool

    public var description: String { "\(name): \(reason)" }
}

/// What a listing that came to its end could not list.
public struct ListingReport: Sendable, Equatable {
    /// The first 1,000 problems.
    public private(set) var problems: [ListingProblem] = []
    /// How many problems there were in all.
    public private(set) var problemCount = 0
    /// Whether every object was listed: only then does a key that is not in the listing not exist.
    public private(set) var isComplete = true

    public init() {}

    public mutating func add(_ name: String, _ reason: String, hidesKeys: Bool) {
        problemCount += 1
        if hidesKeys { isComplete = false }
        guard problems.count < 1_000 else { return }
        problems.append(
            ListingProblem(
                name: printable(name, limit: 1_100), reason: reason, hidesKeys: hidesKeys))
    }
}

/// A bucket: keys, their bytes, and addresses under which others can fetch them.
///
/// Every call blocks its thread, so call from threads of your own, never from Swift's cooperative pool. Calls may run
/// at the same time. All throw `S3Error`.
public protocol ObjectStore: Sendable {
    /// The bucket and where it is, for messages; holds no secret.
    var displayName: String { get }

    /// Lists the objects whose keys begin with `prefix` and come after `start`, page by page in ascending order of the
    /// keys' UTF-8 bytes. An error thrown by `page` ends the listing and is rethrown.
    /// - Returns: what could not be listed. A key that was not listed is gone only if `isComplete`.
    @discardableResult
    func list(
        prefix: String, after start: String?, page: ([ObjectSummary]) throws -> Void
    ) throws -> ListingReport

    /// The bytes of the object at `key`; one larger than `maximumBytes` is an error, raised before the transfer if the
    /// store gives the size. `accept` sees the first 32 bytes or more, or the whole object, and may refuse it by
    /// returning false; the answer is then nil.
    func object(
        _ key: String, maximumBytes: Int, accept: ((UnsafeRawBufferPointer) -> Bool)?
    ) throws -> [UInt8]?

    /// The bytes of a listed object, and whether their number is still the listed one; a larger object is an error.
    /// - Parameter maximumDecodedBytes: for an object that the store keeps compressed (`Content-Encoding`), whose
    ///   listed size is the compressed one.
    func listedObject(
        _ object: ObjectSummary, maximumDecodedBytes: Int,
        accept: @escaping (UnsafeRawBufferPointer) -> Bool
    ) throws -> (bytes: [UInt8], isAsListed: Bool)?

    /// Passes the bytes of the object at `key` to `receive` piece by piece. An error thrown by `receive` ends the
    /// transfer and is rethrown. Nothing is retried after the first piece.
    func stream(
        _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
    ) throws

    /// An address from which anybody can fetch the object until `seconds` (at most a week) after `now`. Sends nothing:
    /// the object need not exist.
    func presignedURL(for key: String, expiresIn seconds: Int, at now: Date) throws -> String
}

/// What a store says about an object along with its bytes.
public struct ObjectHead: Sendable {
    /// In bytes, if the store gives it.
    public let size: Int64?
    /// The entity tag without its quotes, if the store gives one.
    public let etag: String?

    public init(size: Int64?, etag: String?) {
        self.size = size
        self.etag = etag
    }
}

extension ObjectStore {
    /// For stores that keep objects as they are.
    public func listedObject(
        _ object: ObjectSummary, maximumDecodedBytes: Int,
        accept: @escaping (UnsafeRawBufferPointer) -> Bool
    ) throws -> (bytes: [UInt8], isAsListed: Bool)? {
        let size = Int(clamping: object.size)
        return try self.object(object.key, maximumBytes: max(size, 1), accept: accept).map {
            ($0, $0.count == size)
        }
    }

    /// For stores whose objects are at hand: all in one piece.
    public func stream(
        _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let bytes = try object(key, maximumBytes: .max)
        try bytes.withUnsafeBytes { try receive(ObjectHead(size: Int64($0.count), etag: nil), $0) }
    }

    /// All objects of the bucket, page by page in key order.
    @discardableResult
    public func list(page: ([ObjectSummary]) throws -> Void) throws -> ListingReport {
        try list(prefix: "", after: nil, page: page)
    }

    /// The bytes of the object at `key`, at most `maximumBytes` of them.
    public func object(_ key: String, maximumBytes: Int) throws -> [UInt8] {
        // Without an `accept` nothing is ever refused.
        try object(key, maximumBytes: maximumBytes, accept: nil) ?? []
    }

    /// The same from now on.
    public func presignedURL(for key: String, expiresIn seconds: Int = 3600) throws -> String {
        try presignedURL(for: key, expiresIn: seconds, at: Date())
    }
}

/// The longest life of a presigned URL, in seconds: a week, SigV4's limit.
package let maximumPresignedSeconds = 604_800

func checkPresignedLife(_ seconds: Int, key: String) throws {
    guard (1...maximumPresignedSeconds).contains(seconds) else {
        throw S3Error(
            .setting, key: key,
            "A presigned URL lives 1 to \(maximumPresignedSeconds) seconds, not \(seconds).")
    }
}

/// Opens a bucket: a directory for a `file://` endpoint, which needs no credentials, else a bucket of an S3
/// service. Sends nothing yet. Throws `S3Error`, and what `credentials` throws.
///
/// - Parameters:
///   - endpoint: `https://HOST`, `http://HOST`, `file:///DIRECTORY`, or empty for AWS.
///   - region: empty or nil for the endpoint's.
public func openObjectStore(
    endpoint: String, bucket: String, region: String? = nil, requesterPays: Bool = false,
    transport: TransportOptions = TransportOptions(),
    credentials: () throws -> CredentialProvider
) throws -> any ObjectStore {
    if let directory = try directory(fromFileURL: endpoint) {
        return try DirectoryBucket(directory: directory, bucket: bucket)
    }
    var store = try S3Bucket(
        endpoint: endpoint, bucket: bucket, region: region, credentials: try credentials(),
        transport: transport)
    store.requesterPays = requesterPays
    return store
}

/// The path in `file:///some/dir` or `file://localhost/some/dir` (RFC 8089); nil for another URL.
package func directory(fromFileURL url: String) throws -> String? {
    guard lowercasedASCII(url.prefix(5)) == "file:" else { return nil }
    let match = url.wholeMatch(of: #/file://(?:localhost)?(/[^?#]*)/#.ignoresCase())
    guard let match, let path = PercentEncoding.decode(String(match.1)),
        path.utf8.contains(0) == false
    else {
        throw S3Error(
            .setting,
            "The S3 endpoint \(quoted(url)) must be written file:///DIRECTORY: an absolute path after three slashes, in UTF-8, without a query or a fragment."
        )
    }
    return path
}
