import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization

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
        let isBracketed = entry.hasPrefix("[")
        let host = isBracketed ? entry.dropFirst().prefix { $0 != "]" } : entry.prefix { $0 != ":" }
        guard let address = IPAddress(entry) ?? IPAddress(host) else { return nil }
        self = address
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

    /// For limits.
    func group(of request: Request, peer: SocketAddress?) -> String {
        address(of: request, peer: peer)?.group ?? "unknown"
    }

    private func isTrusted(_ address: IPAddress) -> Bool {
        trustedProxies.contains { $0.contains(address) }
    }
}

/// How often one address may ask: a token bucket each (ten seconds' worth at once), for a bounded
/// number of addresses.
final class RateLimit: Sendable {
    /// Addresses that are remembered. Those that have not asked for long are forgotten first; their
    /// buckets are full again.
    private static let maximumAddresses = 20_000

    private struct Bucket {
        var tokens: Double
        var time: ContinuousClock.Instant
    }

    private let perSecond: Double
    private let burst: Double
    private let buckets = Mutex<[String: Bucket]>([:])
    private let now: @Sendable () -> ContinuousClock.Instant

    /// - Parameters:
    ///   - perMinute: requests, at least 1.
    ///   - now: the clock.
    init(perMinute: Int, now: @escaping @Sendable () -> ContinuousClock.Instant) {
        self.now = now
        perSecond = Double(perMinute) / 60
        burst = max(1, perSecond * 10)
    }

    /// Takes a token, or a part of one. An address that takes nothing, or is refused, leaves no trace.
    /// - Parameter rest: what there has to be besides.
    /// - Returns: `nil`, or the whole seconds to wait when there was too little.
    func take(_ address: String, _ amount: Double = 1, leaving rest: Double = 0) -> Int? {
        let now = now()
        return buckets.withLock { buckets in
            var bucket = buckets[address] ?? Bucket(tokens: burst, time: now)
            let elapsed = max(0, (now - bucket.time) / .seconds(1))
            bucket.tokens = min(burst, bucket.tokens + elapsed * perSecond)
            bucket.time = now
            let missing = amount + rest - bucket.tokens
            guard missing <= 0 else { return max(1, Int((missing / perSecond).rounded(.up))) }
            guard amount > 0 else { return nil }
            bucket.tokens -= amount
            buckets[address] = bucket
            if buckets.count > Self.maximumAddresses { forget(&buckets, now) }
            return nil
        }
    }

    /// Forgets the addresses whose buckets are full again, and, where that is not enough, half.
    private func forget(_ buckets: inout [String: Bucket], _ now: ContinuousClock.Instant) {
        buckets = buckets.filter { (now - $0.value.time) / .seconds(1) * perSecond < burst }
        guard buckets.count > Self.maximumAddresses / 2 else { return }
        let newest = buckets.sorted { $0.value.time > $1.value.time }
            .prefix(Self.maximumAddresses / 2)
        buckets = Dictionary(uniqueKeysWithValues: newest.map { ($0.key, $0.value) })
    }
}

/// Refuses requests of an address that asks too often. What costs little and is part of a page counts
/// for nothing, what the script asks by itself (while a visitor types, to fill the window) for a quarter;
/// small pictures, of which a page has many, have a limit of their own.
struct RequestRates: AdmissionCheck {
    let pages: RateLimit
    let thumbnails: RateLimit
    let clients: ClientAddress

    /// What a search that the script makes by itself counts.
    private static let unasked = 0.25
    private static let uncounted = ["/assets/", "/favicon", "/health", "/ready"]

    func check(_ request: Request, _ context: SiteContext) throws(SiteFailure) {
        let path = request.uri.path
        if Self.uncounted.contains(where: path.hasPrefix) { return }
        let limit = path.hasPrefix(PicturePath.thumbnail.rawValue) ? thumbnails : pages
        let client = clients.group(of: request, peer: context.peer)
        if let seconds = limit.take(client, request.isUnasked ? Self.unasked : 1) {
            throw .tooManyRequests(seconds: seconds)
        }
    }
}

extension SiteFailure {
    static func tooManyRequests(seconds: Int) -> SiteFailure {
        SiteFailure(
            status: .tooManyRequests, heading: "That was a lot of searches",
            message:
                "Please wait \(seconds == 1 ? "a second" : "\(seconds) seconds"), then try again.",
            headers: [.retryAfter: "\(seconds)"])
    }
}

/// An amount (of bytes, or of places) that clients share. No client gets more than a part of it.
package final class Budget: Sendable {
    private struct State {
        var used = 0
        var shares = 0
        var byClient: [String: Int] = [:]
    }

    private let limit: Int
    private let perClient: Int
    private let state = Mutex(State())

    init(_ limit: Int = .max, perClient: Int = .max) {
        (self.limit, self.perClient) = (limit, perClient)
    }

    /// Shares that are held.
    package var shares: Int { state.withLock { $0.shares } }

    /// Holds a place while the body runs.
    /// - Throws: ``SiteFailure/overloaded`` when there is none, or what the body throws.
    func withPermit<Value>(
        for client: String = "", _ body: () async throws -> Value
    ) async throws -> Value {
        let share = try take(for: client)
        defer { withExtendedLifetime(share) {} }
        return try await body()
    }

    /// - Returns: what gives the amount back when it goes.
    /// - Throws: ``SiteFailure/overloaded`` when too little is left, over all or for this client.
    func take(_ amount: Int = 1, for client: String = "") throws(SiteFailure) -> Share {
        let share = Share(self, client)
        try share.grow(by: amount)
        return share
    }

    final class Share: Sendable {
        private let budget: Budget
        private let client: String
        private let amount = Atomic(0)

        fileprivate init(_ budget: Budget, _ client: String) {
            self.budget = budget
            self.client = client
            budget.state.withLock { $0.shares += 1 }
        }

        /// - Throws: ``SiteFailure/overloaded`` when too little is left; the share stays as it was.
        func grow(by more: Int) throws(SiteFailure) {
            let isThere = budget.state.withLock { state in
                let own = state.byClient[client, default: 0]
                guard more <= budget.limit - state.used, more <= budget.perClient - own else {
                    return false
                }
                state.used += more
                state.byClient[client] = own + more
                return true
            }
            guard isThere else { throw .overloaded }
            amount.wrappingAdd(more, ordering: .relaxed)
        }

        deinit {
            let amount = amount.load(ordering: .relaxed)
            budget.state.withLock { state in
                state.used -= amount
                state.shares -= 1
                let rest = state.byClient[client, default: 0] - amount
                state.byClient[client] = rest > 0 ? rest : nil
            }
        }
    }
}
