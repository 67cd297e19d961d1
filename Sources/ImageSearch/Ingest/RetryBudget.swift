import PGClient
import S3Client

/// How long an ingest keeps retrying when the database or the store is unavailable.
package struct RetryBudget: Sendable {
    /// From the first failure to the last attempt.
    let limit: Duration
    /// Whether the run is ending, so that retrying makes no sense.
    let isOver: @Sendable () -> Bool
    /// Gets one sentence when an outage begins and one when it ends.
    let note: @Sendable (String) -> Void

    package init(
        limit: Duration, isOver: @escaping @Sendable () -> Bool,
        note: @escaping @Sendable (String) -> Void
    ) {
        self.limit = limit
        self.isOver = isOver
        self.note = note
    }

    /// The wait after this many failures in a row: doubled from 0.1 s up to 5 s.
    package static func delay(afterFailures failures: Int) -> Duration {
        min(.milliseconds(100) * (1 << min(max(failures - 1, 0), 10)), .seconds(5))
    }

    /// Waits, but not longer than the run lasts.
    /// - Returns: whether to go on.
    package func wait(_ duration: Duration) -> Bool {
        let clock = ContinuousClock()
        let end = clock.now + duration
        while clock.now < end {
            if isOver() { return false }
            blockThread(min(.milliseconds(50), end - clock.now))
        }
        return !isOver()
    }
}

/// One outage, from the first failure on.
package struct Outage {
    private var began: ContinuousClock.Instant?
    package private(set) var failures = 0

    package init() {}

    /// Counts a failure and waits before the next attempt.
    /// - Parameter sentence: noted when the outage begins; nil for nothing.
    /// - Returns: false when the budget is spent.
    mutating func backOff(_ budget: RetryBudget, _ sentence: String?) -> Bool {
        if let sentence, failures == 0, budget.limit > .zero { budget.note(sentence) }
        guard let delay = delayAfterFailure(at: .now, limit: budget.limit) else { return false }
        return budget.wait(delay)
    }

    /// Counts a failure.
    /// - Returns: how long to wait before the next attempt; nil when the limit, counted from the first
    ///   failure, has passed.
    package mutating func delayAfterFailure(
        at now: ContinuousClock.Instant, limit: Duration
    ) -> Duration? {
        let start = began ?? now
        began = start
        failures += 1
        let left = start + limit - now
        return left > .zero ? min(RetryBudget.delay(afterFailures: failures), left) : nil
    }
}

/// A connection to the pictures table that is replaced after an outage of the database. Several
/// threads may use it, one after the other.
final class RetryingTable: Sendable {
    private let table = Monitor(PicturesTable?.none)
    private let connect: @Sendable () throws -> PicturesTable
    private let budget: RetryBudget

    init(budget: RetryBudget, connect: @escaping @Sendable () throws -> PicturesTable) {
        self.budget = budget
        self.connect = connect
    }

    /// Runs `body`, again and again during an outage until the budget is spent. It may have been carried
    /// out although it failed, so repeating it must be harmless.
    func run<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        try table.update { table in
            var outage = Outage()
            while true {
                do {
                    let usable = try table.flatMap { $0.isUsable ? $0 : nil } ?? connect()
                    table = usable
                    let value = try body(usable)
                    if outage.failures > 0 { budget.note("the database is back") }
                    return value
                } catch let error as PGError {
                    guard error.isWorthRetrying else { throw error }
                    if error.isConnectionLost || error.kind == .connection { table = nil }
                    guard outage.backOff(budget, "\(error): trying again") else { throw error }
                }
            }
        }
    }

    /// Closes the connection.
    func close() {
        table.update { $0 = nil }
    }
}

extension PGError {
    /// Whether the same may work a little later: the server is away, starts, is overloaded (class 53),
    /// has just become a replica (25006), or two transactions were in each other's way.
    var isWorthRetrying: Bool {
        if isAuthenticationFailure || isUndefinedDatabase { return false }
        return isConnectionLost || kind == .node || kind == .connection || isTemporarilyUnavailable
            || isSerializationFailure || sqlState == "25006" || sqlState?.hasPrefix("53") == true
    }
}

extension S3Error {
    /// Whether the store may have stopped accepting the keys, rather than refusing one object.
    var mayBeExpiredKeys: Bool {
        switch reason {
        // An archived object (Glacier) is refused for its own sake.
        case .service(403, "InvalidObjectState", _): false
        case .service(let status, let code, _):
            status == 401 || status == 403 || code == "ExpiredToken"
        case .connection(.tls): true
        default: false
        }
    }
}
