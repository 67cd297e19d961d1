import Bytes

/// The address of an S3 service: scheme, host, port and path prefix.
package struct Endpoint: Sendable, Equatable {
    package enum Scheme: String, Sendable { case http, https }

    package let scheme: Scheme
    /// Host and port as they were written: what goes into URLs.
    package let authority: String
    /// In lower case, without the brackets of an IPv6 address.
    package let host: String
    package let port: Int?
    /// Percent-encoded; empty, or begins with a slash and does not end with one.
    package let pathPrefix: String

    package var isIPv6: Bool { host.utf8.contains(UInt8(ascii: ":")) }

    /// An IPv4 or IPv6 address instead of a name.
    package var isAddress: Bool {
        isIPv6
            || host.utf8.allSatisfy {
                $0 == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            }
    }

    package var isLoopback: Bool {
        host == "localhost" || host == "::1" || (isAddress && host.hasPrefix("127."))
    }

    /// The value of the `Host` header: lower case, the port unless it is the scheme's own.
    package var hostHeader: String { hostHeader(prefixedBy: "") }

    func hostHeader(prefixedBy prefix: String) -> String {
        let name = prefix + (isIPv6 ? "[\(host)]" : host)
        guard let port, port != (scheme == .https ? 443 : 80) else { return name }
        return "\(name):\(port)"
    }

    /// Scheme, host and port: what messages show.
    package var origin: String { "\(scheme.rawValue)://\(authority)" }

    /// Whether the bucket's name is the first label of the host (`BUCKET.s3.…`) or the last part of the path.
    func holds(bucket: String) -> Bool {
        host.hasPrefix(lowercasedASCII(bucket) + ".") || pathPrefix.hasSuffix("/" + bucket)
    }

    /// The same service at another host, on the scheme's own port.
    init(https host: String) {
        scheme = .https
        authority = host
        self.host = host
        port = nil
        pathPrefix = ""
    }

    /// Reads `https://host[:port][/prefix]`.
    package init(_ text: String) throws {
        func refusal(_ fault: String, showing: Bool = true) -> S3Error {
            // An address with a user part may hold a password.
            let shown = showing && text.contains("@") == false ? "\(quoted(text)) " : ""
            return S3Error(.setting, "The S3 endpoint \(shown)\(fault).")
        }
        guard
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") })
        else {
            throw refusal("has a space or another character that a URL cannot have")
        }
        guard let colon = text.firstRange(of: "://") else {
            throw refusal("has no scheme: write https://HOST (or http://HOST, file:///DIRECTORY)")
        }
        switch lowercasedASCII(text[..<colon.lowerBound]) {
        case "https": scheme = .https
        case "http": scheme = .http
        default: throw refusal("must begin with https://, http:// or file:///")
        }
        let rest = text[colon.upperBound...]
        guard rest.contains("?") == false, rest.contains("#") == false else {
            throw refusal("must not have a query or a fragment", showing: false)
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        guard authority.contains("@") == false else {
            throw refusal("must not hold a user name or password: keys have settings of their own")
        }

        let name: Substring
        let portText: Substring?
        if authority.hasPrefix("[") {
            guard let bracket = authority.firstIndex(of: "]") else {
                throw refusal("has an IPv6 address without its closing bracket")
            }
            name = authority[authority.index(after: authority.startIndex)..<bracket]
            let after = authority[authority.index(after: bracket)...]
            guard after.isEmpty || after.hasPrefix(":"), name.utf8.contains(UInt8(ascii: ":")),
                name.utf8.allSatisfy({
                    Hexadecimal.value($0) != nil || $0 == UInt8(ascii: ":")
                        || $0 == UInt8(ascii: ".")
                })
            else { throw refusal("has a malformed IPv6 address") }
            portText = after.isEmpty ? nil : after.dropFirst()
        } else {
            let parts = authority.split(
                separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            name = parts[0]
            portText = parts.count > 1 ? parts[1] : nil
            guard name.isEmpty == false, name.utf8.count <= 253,
                name.utf8.allSatisfy({
                    PercentEncoding.isUnreserved($0) && $0 != UInt8(ascii: "~")
                })
            else { throw refusal("has no host name, or one with characters that names lack") }
        }
        if let portText {
            guard portText.utf8.count <= 5, portText.utf8.first != UInt8(ascii: "+"),
                let number = Int(portText), (1...65_535).contains(number)
            else { throw refusal("has a port that is not a number from 1 to 65535") }
            port = number
        } else {
            port = nil
        }
        self.authority = String(authority)
        host = lowercasedASCII(name)

        var prefix = rest[slash...]
        while prefix.hasSuffix("/") { prefix = prefix.dropLast() }
        guard
            prefix.utf8.allSatisfy({
                PercentEncoding.isUnreserved($0) || $0 == UInt8(ascii: "/")
                    || $0 == UInt8(ascii: "%")
            })
        else { throw refusal("has a path with characters that must be percent-encoded") }
        pathPrefix = String(prefix)
    }
}
