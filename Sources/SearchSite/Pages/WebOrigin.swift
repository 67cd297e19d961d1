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
