import Bytes

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
private func directory(fromFileURL url: String) throws -> String? {
    guard lowercasedASCII(url.prefix(5)) == "file:" else { return nil }
    func refusal(_ fault: String) -> S3Error {
        S3Error(.setting, "The S3 endpoint \(quoted(url)) \(fault).")
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
