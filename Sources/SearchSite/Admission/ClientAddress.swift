import Glibc
import HTTPTypes
import Hummingbird
import NIOCore

/// An IP address.
struct IPAddress: Hashable {
    /// 16; IPv4 addresses in their IPv6 form, `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
    let bytes: [UInt8]

    private static let ipv4Prefix = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]

    var isIPv4: Bool { bytes.starts(with: Self.ipv4Prefix) }

    /// - Parameter text: as `inet_pton` reads it.
    init?(_ text: some StringProtocol) {
        let text = String(text)
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.bytes = Self.ipv4Prefix + bytes.prefix(4)
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.bytes = bytes
        } else {
            return nil
        }
    }

    /// An entry of `X-Forwarded-For`: an address, possibly with a port, IPv6 then in brackets.
    init?(forwarded entry: some StringProtocol) {
        if let address = IPAddress(entry) {
            self = address
        } else if entry.hasPrefix("["), let end = entry.firstIndex(of: "]"),
            let address = IPAddress(entry[..<end].dropFirst())
        {
            self = address
        } else if let colon = entry.lastIndex(of: ":"), let address = IPAddress(entry[..<colon]),
            address.isIPv4
        {
            self = address
        } else {
            return nil
        }
    }

    var text: String {
        if isIPv4 { return bytes.suffix(4).map(String.init).joined(separator: ".") }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count))
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// Whom limits count: one IPv4 address, or the /64 that one IPv6 customer has at least.
    var group: String {
        isIPv4
            ? text
            : IPAddress(bytes: bytes.prefix(8) + [UInt8](repeating: 0, count: 8)).text + "/64"
    }

    private init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
}

/// Addresses with a common beginning: one address, or a block such as `10.0.0.0/8` (RFC 4632).
public struct AddressBlock: Sendable {
    private let bytes: [UInt8]
    private let bits: Int

    /// - Throws: ``SiteOptionError`` for anything else.
    public init(_ text: String) throws(SiteOptionError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else {
            throw SiteOptionError(
                "--trusted-proxy \(text): give an IP address such as 10.0.0.1, or a block such as "
                    + "10.0.0.0/8")
        }
        bytes = address.bytes
        guard parts.count == 2 else {
            bits = 128
            return
        }
        let offset = address.isIPv4 ? 96 : 0
        guard parts[1].utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 }),
            let length = Int(parts[1]), (0...128 - offset).contains(length)
        else {
            throw SiteOptionError(
                "--trusted-proxy \(text): the number after the slash must be 0 to \(128 - offset)")
        }
        bits = offset + length
    }

    func contains(_ address: IPAddress) -> Bool {
        let whole = bits / 8
        guard address.bytes.prefix(whole) == bytes.prefix(whole) else { return false }
        let rest = bits % 8
        return rest == 0 || (address.bytes[whole] ^ bytes[whole]) >> UInt8(8 - rest) == 0
    }
}

/// Who sends a request: the connection's other end, or whom a trusted proxy names.
struct ClientAddress {
    /// Proxies whose `X-Forwarded-For` is believed.
    let trustedProxies: [AddressBlock]

    /// A trusted proxy appends the address that it was asked from, so the last entry that is not
    /// itself a trusted proxy is the visitor; entries before it may be made up.
    /// - Returns: nil when the connection has no IP address.
    func address(of request: Request, peer: SocketAddress?) -> IPAddress? {
        guard let peer = peer?.ipAddress.flatMap({ IPAddress($0) }) else { return nil }
        guard isTrusted(peer) else { return peer }
        let entries = request.headers[values: .xForwardedFor]
            .flatMap { $0.split(separator: ",") }
            .map { IPAddress(forwarded: $0.filter { $0 != " " && $0 != "\t" }) }
        // An entry that is not an address is ignored, and the proxy's own address is counted.
        guard let last = entries.last(where: { $0.map { !isTrusted($0) } ?? true }) else {
            return peer
        }
        return last ?? peer
    }

    /// For the log.
    func text(of request: Request, peer: SocketAddress?) -> String {
        address(of: request, peer: peer)?.text ?? "unknown"
    }

    /// For limits.
    func group(of request: Request, peer: SocketAddress?) -> String {
        address(of: request, peer: peer)?.group ?? "unknown"
    }

    private func isTrusted(_ address: IPAddress) -> Bool {
        trustedProxies.contains { $0.contains(address) }
    }
}

extension HTTPField.Name {
    static let xForwardedFor = Self("X-Forwarded-For")!
}
