import Glibc

/// How often a request is tried, and how long to wait in between: exponential back-off with full
/// jitter ("Exponential Backoff And Jitter", AWS Architecture Blog), or what `Retry-After` asks.
public struct RetryPolicy: Sendable {
    /// How often in all, the first time included.
    public var attempts: Int
    /// The longest wait before the second attempt; it doubles with each further one.
    public var firstDelay: Duration
    /// No wait is longer, whatever a server asks for.
    public var maximumDelay: Duration

    public init(
        attempts: Int = 5, firstDelay: Duration = .milliseconds(250),
        maximumDelay: Duration = .seconds(20)
    ) {
        self.attempts = attempts
        self.firstDelay = firstDelay
        self.maximumDelay = maximumDelay
    }

    /// Before attempt number `attempt` + 1, where `attempt` of them failed. `fraction` is random in
    /// 0 to 1; at least half of the full wait is kept.
    package func delay(
        afterFailures failures: Int, retryAfter: Duration?, fraction: Double
    ) -> Duration {
        if let retryAfter { return min(retryAfter, maximumDelay) }
        let full = min(firstDelay * (1 << min(max(failures - 1, 0), 20)), maximumDelay)
        return full * (0.5 + 0.5 * min(max(fraction, 0), 1))
    }
}

/// Blocks this thread.
package func blockThread(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return }
    var left = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    var rest = timespec()
    while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
}
