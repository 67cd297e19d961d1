import HTTPTypes
import Hummingbird
import NIOCore

/// Who asks: the connection's other end, or whom a trusted proxy names.
struct ClientAddress {
    /// Addresses of proxies whose `X-Forwarded-For` is believed, as the system writes them.
    let trustedProxies: Set<String>

    /// A trusted proxy appends the address that it was asked from, so the last entry that is not
    /// itself a trusted proxy is the visitor; entries before it are anybody's claim.
    func of(_ request: Request, peer: SocketAddress?) -> String {
        guard let peer = peer?.ipAddress.map(Self.plain) else { return "unknown" }
        guard trustedProxies.contains(peer) else { return peer }
        let claimed = request.headers[values: .xForwardedFor]
            .flatMap { $0.split(separator: ",") }
            .map { Self.plain(String($0.filter { $0 != " " })) }
        guard let address = claimed.last(where: { !trustedProxies.contains($0) }),
            (try? SocketAddress(ipAddress: address, port: 0)) != nil
        else { return peer }
        return address
    }

    /// Without the prefix of an IPv4 address on an IPv6 socket (RFC 4291, 2.5.5.2).
    static func plain(_ address: String) -> String {
        address.hasPrefix("::ffff:") && address.contains(".")
            ? String(address.dropFirst("::ffff:".count)) : address
    }
}

extension HTTPField.Name {
    static let xForwardedFor = Self("X-Forwarded-For")!
}
