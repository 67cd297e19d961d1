import Bytes

/// What a person configures to reach a bucket.
public struct ObjectStoreSettings: Sendable {
    /// `https://HOST`, `http://HOST`, `file:///DIRECTORY`, or empty for AWS.
    public var endpoint: String
    public var bucket: String
    public var accessKey: String
    public var secretKey: String
    public var sessionToken: String?
    /// Empty or nil for the one that the endpoint tells.
    public var region: String?

    public init(
        endpoint: String, bucket: String, accessKey: String, secretKey: String,
        sessionToken: String? = nil, region: String? = nil
    ) {
        self.endpoint = endpoint
        self.bucket = bucket
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken
        self.region = region
    }
}

extension ObjectStoreSettings: CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    public var description: String { "ObjectStoreSettings(bucket: \(bucket), keys redacted)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror {
        Mirror(self, children: ["bucket": bucket], displayStyle: .struct)
    }
}

/// Opens the bucket that `settings` describe: a directory for a `file://` endpoint, which needs no
/// keys, else a bucket of an S3 service. Speaks to nobody yet. Throws `S3Error`.
public func openObjectStore(
    _ settings: ObjectStoreSettings, transport: TransportOptions = TransportOptions(),
    retries: RetryPolicy = RetryPolicy()
) throws -> any ObjectStore {
    if let directory = try directory(fromFileURL: settings.endpoint) {
        return try DirectoryBucket(directory: directory, bucket: settings.bucket)
    }
    return try S3Bucket(
        endpoint: settings.endpoint, bucket: settings.bucket, region: settings.region,
        credentials: Credentials(
            accessKey: settings.accessKey, secretKey: settings.secretKey,
            sessionToken: settings.sessionToken),
        transport: transport, retries: retries)
}

/// The path in `file:///some/dir` or `file://localhost/some/dir` (RFC 8089); nil for another URL.
private func directory(fromFileURL url: String) throws -> String? {
    guard lowercasedASCII(url.prefix(5)) == "file:" else { return nil }
    func refusal(_ fault: String) -> S3Error {
        S3Error(.setting, bucket: nil, "The S3 endpoint \(quoted(url)) \(fault).")
    }
    var rest = url.dropFirst(5)
    guard rest.hasPrefix("//") else { throw refusal("must be written file:///DIRECTORY") }
    rest = rest.dropFirst(2)
    if lowercasedASCII(rest.prefix(10)) == "localhost/" { rest = rest.dropFirst(9) }
    guard rest.hasPrefix("/") else {
        throw refusal("must have an absolute path: file:///DIRECTORY, with three slashes")
    }
    guard rest.contains("?") == false, rest.contains("#") == false else {
        throw refusal("must not have a query or a fragment")
    }
    guard let path = PercentEncoding.decode(String(rest)), path.utf8.contains(0) == false else {
        throw refusal("has a path that is not UTF-8")
    }
    return path
}
