import Hummingbird
import Synchronization

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

    /// Takes a token.
    /// - Returns: `nil`, or the whole seconds to wait when there was none.
    func take(_ address: String) -> Int? {
        let now = now()
        return buckets.withLock { buckets in
            var bucket = buckets[address] ?? Bucket(tokens: burst, time: now)
            let elapsed = max(0, Self.seconds(now - bucket.time))
            bucket.tokens = min(burst, bucket.tokens + elapsed * perSecond)
            bucket.time = now
            defer {
                buckets[address] = bucket
                if buckets.count > Self.maximumAddresses { forget(&buckets, now) }
            }
            guard bucket.tokens >= 1 else {
                return max(1, Int(((1 - bucket.tokens) / perSecond).rounded(.up)))
            }
            bucket.tokens -= 1
            return nil
        }
    }

    /// The whole seconds until there is a token; `nil` when there is one.
    func wait(_ address: String) -> Int? {
        let now = now()
        return buckets.withLock { buckets in
            guard let bucket = buckets[address] else { return nil }
            let tokens = bucket.tokens + max(0, Self.seconds(now - bucket.time)) * perSecond
            return tokens >= 1 ? nil : max(1, Int(((1 - tokens) / perSecond).rounded(.up)))
        }
    }

    /// Forgets the addresses whose buckets are full again, and, where that is not enough, half.
    private func forget(_ buckets: inout [String: Bucket], _ now: ContinuousClock.Instant) {
        buckets = buckets.filter { Self.seconds(now - $0.value.time) * perSecond < burst }
        guard buckets.count > Self.maximumAddresses / 2 else { return }
        let newest = buckets.sorted { $0.value.time > $1.value.time }
            .prefix(Self.maximumAddresses / 2)
        buckets = Dictionary(uniqueKeysWithValues: newest.map { ($0.key, $0.value) })
    }

    private static func seconds(_ duration: Duration) -> Double { duration / .seconds(1) }
}

/// Refuses requests of an address that asks too often. What costs little and is part of a page counts
/// for nothing; small pictures, of which a page has many, have a limit of their own.
struct RequestRates: RouterMiddleware {
    let pages: RateLimit
    let thumbnails: RateLimit
    let clients: ClientAddress
    let refusals: Refusals

    /// Small pictures for each request that counts: a page's.
    private static let thumbnailsPerRequest = SearchState.defaultLimit
    private static let uncounted = ["/assets/", "/favicon", "/health", "/ready"]

    init(
        perMinute: Int, now: @escaping @Sendable () -> ContinuousClock.Instant,
        clients: ClientAddress, refusals: Refusals
    ) {
        pages = RateLimit(perMinute: perMinute, now: now)
        thumbnails = RateLimit(perMinute: Self.thumbnailsPerRequest * perMinute, now: now)
        (self.clients, self.refusals) = (clients, refusals)
    }

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        let path = request.uri.path
        if !Self.uncounted.contains(where: path.hasPrefix) {
            let limit = path.hasPrefix(PicturePath.thumbnailPrefix) ? thumbnails : pages
            if let seconds = limit.take(clients.group(of: request, peer: context.peer)) {
                throw refusals.counted(.tooManyRequests(seconds: seconds))
            }
        }
        return try await next(request, context)
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
