import Bytes

/// The address under which the site itself serves a picture: `/pictures/` and the key as one
/// percent-encoded path segment.
enum PicturePath {
    static let prefix = "/pictures/"
    static let thumbnailPrefix = "/thumbnails/"

    static func path(of key: String) -> String {
        prefix + PercentEncoding.encode(key)
    }

    static func thumbnail(of key: String) -> String {
        thumbnailPrefix + PercentEncoding.encode(key)
    }

    /// The key that an address names.
    ///
    /// Reads the path as it came, before any router splits or normalises it. Slashes of a key must
    /// be encoded. What a key may be is for the search to say; this refuses only what cannot have
    /// come from ``path(of:)``.
    /// - Returns: `nil` for other paths, an empty key, and a key that is not UTF-8 or contains NUL.
    static func key(in path: String, after prefix: String = prefix) -> String? {
        guard path.utf8.starts(with: prefix.utf8) else { return nil }
        let segment = path.utf8.dropFirst(prefix.utf8.count)
        guard !segment.isEmpty, !segment.contains(UInt8(ascii: "/")) else { return nil }
        let bytes = PercentEncoding.decode(segment, plusIsSpace: false)
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
