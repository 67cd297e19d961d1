import S3Client

/// How long an ingest bears the loss of the database or the store, and what it does meanwhile.
struct Patience: Sendable {
    /// From the first failure to the last attempt.
    let limit: Duration
    /// Whether the run is to end, so that waiting makes no sense any more.
    let isOver: @Sendable () -> Bool
    /// Told once of each loss and each return, in a sentence.
    let note: @Sendable (String) -> Void

    /// The wait after so many failures in a row: doubled from 0.1 s up to 5 s.
    static func delay(afterFailures failures: Int) -> Duration {
        min(.milliseconds(100) * (1 << min(max(failures - 1, 0), 10)), .seconds(5))
    }

    /// Waits, but not longer than the run lasts.
    /// - Returns: whether to go on.
    func wait(_ duration: Duration) -> Bool {
        let clock = ContinuousClock()
        let end = clock.now + duration
        while clock.now < end {
            if isOver() { return false }
            blockThread(min(.milliseconds(50), end - clock.now))
        }
        return !isOver()
    }
}

/// One loss, from the first failure on.
struct Loss {
    private let clock = ContinuousClock()
    private var began: ContinuousClock.Instant?
    private(set) var failures = 0

    /// Counts a failure and waits before the next attempt.
    /// - Returns: false when patience is at its end.
    mutating func bear(_ patience: Patience, _ sentence: @autoclosure () -> String) -> Bool {
        let now = clock.now
        let start = began ?? now
        if began == nil {
            began = now
            if patience.limit > .zero { patience.note(sentence()) }
        }
        failures += 1
        let left = start + patience.limit - now
        guard left > .zero else { return false }
        return patience.wait(min(Patience.delay(afterFailures: failures), left))
    }
}
