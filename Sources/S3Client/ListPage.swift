import Bytes

/// One answer to ListObjectsV2, or to the older ListObjects (Amazon S3 API Reference).
package struct ListPage {
    package private(set) var objects: [ObjectSummary] = []
    /// Whether there are more pages.
    package let isTruncated: Bool
    /// What to ask the next page with; nil where the store leaves that to the last key.
    package let continuationToken: String?

    /// What a listing has at most, in bytes: 1,000 keys of 1,024 bytes, each byte three times over,
    /// with room for everything around them.
    package static let maximumBytes = 16 << 20

    private typealias Fault = XMLReader.Fault

    /// Reads the answer. Throws `XMLReader.Fault`.
    package init(parsing bytes: [UInt8]) throws {
        var page: [String: String] = [:]
        var object: [String: String] = [:]
        for (path, text) in try XMLReader.read(bytes) {
            guard path[0] == "ListBucketResult" else {
                throw Fault(description: "its root is not ListBucketResult")
            }
            if path.dropFirst() == ["Contents"] {
                guard let key = object["Key"], key.isEmpty == false,
                    let size = object["Size"].flatMap({ Int64($0) }), size >= 0
                else { throw Fault(description: "an object in it has no key or no size in bytes") }
                objects.append(
                    ObjectSummary(key: key, size: size, etag: object["ETag"].flatMap(entityTag)))
                object = [:]
            } else if path.count == 3, path[1] == "Contents" {
                object[path[2]] = text
            } else if path.count == 2 {
                page[path[1]] = text
            }
        }
        guard let truncated = page["IsTruncated"] else {
            throw Fault(description: "it does not say whether it is whole")
        }
        isTruncated = try Self.boolean(truncated)
        let token = page["NextContinuationToken"].flatMap { $0.isEmpty ? nil : $0 }
        continuationToken = isTruncated ? token : nil
        guard !isTruncated || token != nil || !objects.isEmpty else {
            throw Fault(
                description: "it is truncated but has neither a continuation token nor keys")
        }
        guard let encoding = page["EncodingType"] else { return }
        guard encoding == "url" else {
            throw Fault(description: "its keys have the encoding \(quoted(encoding))")
        }
        objects = try objects.map { object in
            // `+` is a space, as AWS encodes it and as boto3 (`unquote_plus`) reads it.
            guard let key = PercentEncoding.decode(object.key, plusIsSpace: true) else {
                throw Fault(description: "a key in it is not UTF-8")
            }
            return ObjectSummary(key: key, size: object.size, etag: object.etag)
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
