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
        func refusal(_ fault: String) -> S3Error {
            // A user part or a query may hold a password.
            let shown = text.contains { "@?#".contains($0) } ? "" : "\(quoted(text)) "
            return S3Error(.setting, "The S3 endpoint \(shown)\(fault).")
        }
        guard let colon = text.firstRange(of: "://") else {
            throw refusal("has no scheme: write https://HOST (or http://HOST, file:///DIRECTORY)")
        }
        guard let scheme = Scheme(rawValue: lowercasedASCII(text[..<colon.lowerBound])) else {
            throw refusal("must begin with https://, http:// or file:///")
        }
        let rest = text[colon.upperBound...]
        guard !rest.contains("?"), !rest.contains("#") else {
            throw refusal("must not have a query or a fragment")
        }
        guard !rest.contains("@") else {
            throw refusal("must not hold a user name or password: keys have settings of their own")
        }
        let pattern =
            #/
            (\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]|[0-9A-Za-z._-]{1,253})  # An IPv6 address or a name,
            (?::([0-9]{1,5}))?  # a port,
            ((?:/[0-9A-Za-z._~%/-]*)?)  # a path.
            /#
        guard let match = rest.wholeMatch(of: pattern) else {
            throw refusal(
                "must be written https://HOST, https://HOST:PORT or https://HOST/PATH, other characters percent-encoded"
            )
        }
        port = match.2.flatMap { Int($0) }
        guard port.map((1...65_535).contains) ?? true else {
            throw refusal("has a port that is not a number from 1 to 65535")
        }
        self.scheme = scheme
        authority = String(rest.dropLast(match.3.count))
        host = lowercasedASCII(match.1.trimmed { "[]".contains($0) })
        var prefix = match.3
        while prefix.hasSuffix("/") { prefix = prefix.dropLast() }
        pathPrefix = String(prefix)
    }
}
