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

    /// - Parameter perMinute: requests, at least 1.
    init(perMinute: Int) {
        perSecond = Double(perMinute) / 60
        burst = max(1, perSecond * 10)
    }

    /// Takes a token.
    /// - Returns: `nil`, or the whole seconds to wait when there was none.
    func take(_ address: String, at now: ContinuousClock.Instant = .now) -> Int? {
        buckets.withLock { buckets in
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
    func wait(_ address: String, at now: ContinuousClock.Instant = .now) -> Int? {
        buckets.withLock { buckets in
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

    private static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
