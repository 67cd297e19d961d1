import Bytes
import ImageSearch

/// Where pages get pictures from: from the site itself when the store is a directory or the site
/// stands before the store, else from the store by links that work for an hour.
struct PictureAddresses: Sendable {
    let search: any PictureSearch
    /// Whether the site fetches pictures from the store for its visitors.
    let isProxy: Bool

    /// The whole picture. `nil` when it cannot be said where it is, or that is no web address.
    func original(of key: String) -> String? {
        address(of: key, here: PicturePath.path)
    }

    /// The picture small, for the grid. For a bucket that is the picture itself, unless `process-images`
    /// has stored a preview, which it does for each picture whose size it stores.
    func thumbnail(of key: String, _ facts: PictureFacts) -> String? {
        let original = address(of: key, here: PicturePath.thumbnail)
        return original == nil || facts.width == nil ? original : PicturePath.thumbnail(of: key)
    }

    private func address(of key: String, here: (String) -> String) -> String? {
        switch try? search.location(of: key) {
        case .file?: here(key)
        case .presigned? where isProxy: here(key)
        case .presigned(let url)?: WebOrigin(of: url) == nil ? nil : url
        case nil: nil
        }
    }

    /// The origin of the store's links, for the content security policy: that of the link of a made-up
    /// key. Signing a link asks no server.
    var origin: String? {
        original(of: "picture.jpg").flatMap { WebOrigin(of: $0)?.text }
    }
}

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

/// Scheme, host and port of an `http` or `https` address (RFC 6454), as a content security policy
/// names it.
struct WebOrigin {
    let text: String

    /// - Returns: `nil` for other schemes, and for a host or port with characters that no host
    ///   has: a `;` or a space would end the policy's source and begin something else.
    init?(of address: String) {
        guard let colon = address.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let scheme = address[..<colon].lowercased()
        let rest = address[colon...].utf8
        guard scheme == "http" || scheme == "https", rest.starts(with: "://".utf8) else {
            return nil
        }
        let delimiters = Array("/?#".utf8)
        let host = rest.dropFirst(3).prefix { !delimiters.contains($0) }
        let allowed = host.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"):
                true
            default:
                false
            }
        }
        guard !host.isEmpty, allowed else { return nil }
        // A content security policy cannot name an IPv6 address: its grammar has no brackets
        // (CSP 3, section 2.3.1). The scheme alone is the narrowest that it can say.
        let isIPv6 = host.contains(UInt8(ascii: "["))
        text = isIPv6 ? "\(scheme):" : "\(scheme)://\(String(Substring(host)))"
    }
}
