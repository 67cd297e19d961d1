import PGClient
import S3Client

extension Ingest {
    /// What ``watch(every:pass:onFailure:onWait:)`` waits for.
    public enum Waiting: Sendable {
        /// Seconds until the next pass.
        case nextPass(seconds: Int)
        /// Another attempt after a pass that failed.
        case nextAttempt(seconds: Int)
    }

    /// Makes passes over the bucket until ``stop()``. Blocks the calling thread.
    ///
    /// A pass that fails for a reason that may go away is made again, after a pause that doubles from one
    /// second to five minutes. One that would have removed too much follows like any other.
    ///
    /// - Parameters:
    ///   - interval: from the beginning of a pass to that of the next one, which begins a second after the
    ///     end of the former at the earliest.
    ///   - pass: makes one.
    ///   - onFailure: gets the error of each pass that failed and will be made again.
    ///   - onWait: called before a wait, and then every second of it.
    /// - Throws: the error of a pass that would fail again: the settings, the table or the model are at
    ///   fault. Once a pass has succeeded, the database and the store are never taken to be.
    public func watch(
        every interval: Duration, pass: () throws -> Void, onFailure: (any Error) -> Void,
        onWait: (Waiting) -> Void
    ) throws {
        var failures = 0
        var hasPassed = false
        while !isStopping.read({ $0 }) {
            let begin = ContinuousClock.now
            var end: ContinuousClock.Instant
            do {
                if failures > 0 { try openStoreAgain() }
                try pass()
                (failures, hasPassed) = (0, true)
                end = begin + interval
            } catch let interruption as IngestInterruption where interruption.isStop {
                return
            } catch {
                guard Self.mayGoAway(error, hasPassed: hasPassed) else { throw error }
                failures += 1
                end =
                    Self.isRefusedPrune(error)
                    ? begin + interval : .now + Self.pause(afterFailures: failures)
                onFailure(error)
            }
            end = max(end, .now + .seconds(1))
            while case let left = end - .now, left > .zero, !isStopping.read({ $0 }) {
                let seconds = Int((left / .seconds(1)).rounded(.up))
                onWait(failures == 0 ? .nextPass(seconds: seconds) : .nextAttempt(seconds: seconds))
                let milliseconds = Int((min(left, .seconds(1)) / .milliseconds(1)).rounded(.up))
                _ = isStopping.wait(milliseconds: milliseconds) { $0 ? true : nil }
            }
        }
    }

    /// Before the pass after this many failures in a row.
    package static func pause(afterFailures failures: Int) -> Duration {
        min(.seconds(1) * (1 << min(failures - 1, 10)), .seconds(300))
    }

    private static func cause(of error: any Error) -> any Error {
        (error as? IngestInterruption)?.cause ?? error
    }

    /// Whether another pass may succeed where this error ended one.
    private static func mayGoAway(_ error: any Error, hasPassed: Bool) -> Bool {
        switch cause(of: error) {
        case let error as PGError: hasPassed || error.isWorthRetrying
        case let error as S3Error: hasPassed || error.isWorthRetrying
        // A database whose disk is full, or whose primary has become a replica.
        case TableError.readOnlyDatabase, TableError.readOnlyServer, TableError.tableInUse:
            hasPassed
        default: isRefusedPrune(error)
        }
    }

    /// Whether everything is stored, and only the rows of pictures that are gone stay.
    private static func isRefusedPrune(_ error: any Error) -> Bool {
        switch cause(of: error) {
        case TableError.nothingListed, TableError.largePrune, TableError.pruneWhileAdopting: true
        default: false
        }
    }
}
