import Bytes

/// One answer to ListObjectsV2, or to the older ListObjects (Amazon S3 API Reference).
package struct ListPage {
    package var objects: [ObjectSummary] = []
    /// Whether there are more pages.
    package var isTruncated: Bool
    /// What to ask the next page with; nil where the store leaves that to the last key.
    package var continuationToken: String?

    /// What a listing has at most, in bytes: 1,000 keys of 1,024 bytes, each byte three times over,
    /// with room for everything around them.
    package static let maximumBytes = 16 << 20

    private typealias Fault = XMLReader.Fault

    /// Reads the answer. Throws `XMLReader.Fault`.
    package init(parsing bytes: [UInt8]) throws {
        var encodedKeys = false
        var truncated: Bool?
        var entries: [(key: String, size: Int64, etag: String?)] = []
        var key: String?
        var size: Int64?
        var etag: String?
        var token: String?
        for (path, text) in try XMLReader.read(bytes) {
            guard path.first == "ListBucketResult" else {
                throw Fault(description: "its root is not ListBucketResult")
            }
            switch path.dropFirst() {
            case ["IsTruncated"]: truncated = try Self.boolean(text)
            case ["EncodingType"]:
                guard text == "url" else {
                    throw Fault(description: "its keys have the encoding \(quoted(text))")
                }
                encodedKeys = true
            case ["NextContinuationToken"]: token = text.isEmpty ? nil : text
            case ["Contents", "Key"]: key = text
            case ["Contents", "ETag"]: etag = entityTag(text)
            case ["Contents", "Size"]:
                guard let bytes = Int64(text), bytes >= 0 else {
                    throw Fault(description: "a size in it is not a number of bytes")
                }
                size = bytes
            case ["Contents"]:
                guard let found = key, found.isEmpty == false, let bytes = size else {
                    throw Fault(description: "an object in it has no key or no size")
                }
                entries.append((found, bytes, etag))
                (key, size, etag) = (nil, nil, nil)
            default: break
            }
        }
        guard let truncated else { throw Fault(description: "it does not say whether it is whole") }
        guard truncated == false || token != nil || entries.isEmpty == false else {
            throw Fault(
                description: "it is truncated but has neither a continuation token nor keys")
        }
        isTruncated = truncated
        continuationToken = truncated ? token : nil
        // Only now, since EncodingType may come after the keys. `+` is a space, as AWS encodes
        // it and as boto3 (`unquote_plus`) reads it.
        objects = try entries.map { entry in
            let key =
                encodedKeys ? PercentEncoding.decode(entry.key, plusIsSpace: true) : entry.key
            guard let key else { throw Fault(description: "a key in it is not UTF-8") }
            return ObjectSummary(key: key, size: entry.size, etag: entry.etag)
        }
    }

    /// XML Schema's boolean; some stores capitalise it. Anything else could end a listing too early.
    private static func boolean(_ text: String) throws -> Bool {
        switch lowercasedASCII(text) {
        case "true", "1": return true
        case "false", "0": return false
        default:
            throw Fault(description: "its IsTruncated is \(quoted(text)), not true or false")
        }
    }
}

/// Without its quotes; nil for an empty one.
func entityTag(_ text: String) -> String? {
    let tag = text.filter { $0 != "\"" }
    return tag.isEmpty ? nil : tag
}

/// S3's XML error document.
package struct ServiceError {
    package let code: String?
    /// Without its full stop.
    package let message: String?
    package let requestID: String?
    package let region: String?

    /// What can be read before the bytes stop being XML: AWS echoes keys with control characters, which
    /// XML does not allow.
    package init(parsing bytes: [UInt8]) {
        var found = [String: String]()
        for (path, text) in XMLReader.beginning(of: bytes).0 where !text.isEmpty {
            // Some stores wrap it: <ErrorResponse><Error>…
            if path.dropLast().last == "Error", let name = path.last { found[name] = text }
        }
        code = found["Code"].map { printable($0, limit: 100) }
        message = found["Message"].map { printable($0.hasSuffix(".") ? String($0.dropLast()) : $0) }
        requestID = found["RequestId"].map { printable($0, limit: 100) }
        region = found["Region"]
    }
}
