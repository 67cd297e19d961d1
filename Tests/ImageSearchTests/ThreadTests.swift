import Foundation
import ImageSearch
import S3Client
import Testing

/// The mechanisms between threads, and the search path that is built from them, without sockets.
@Suite struct ThreadTests {
    struct Failure: Error, Equatable { let number: Int }

    @Test func concurrentRequestsShareOneComputation() async throws {
        let cache = ComputedCache<String, Int>(capacity: 10)
        let (gate, count) = (Gate(), Monitor(0))
        let requests = (0..<5).map { _ in
            Task {
                try await cache.value(for: "a") {
                    count.update { $0 += 1 }
                    await gate.wait()
                    return 7
                }
            }
        }
        try await until("4 hits") { cache.statistics.hits == 4 }
        gate.open()
        for request in requests { #expect(try await request.value == 7) }
        #expect(count.read { $0 } == 1)
        #expect(cache.statistics.misses == 1 && cache.statistics.count == 1)
    }

    /// A waiter that learns late of a failed computation must not remove the entry that has replaced
    /// it, nor store anything itself.
    @Test func lateWaitersOfAFailureLeaveNewerEntriesAlone() async throws {
        for _ in 0..<20 {
            let cache = ComputedCache<String, Int>(capacity: 10)
            let gate = Gate()
            let waiters = (0..<8).map { _ in
                Task {
                    try await cache.value(for: "a") {
                        await gate.wait()
                        throw Failure(number: 1)
                    }
                }
            }
            try await until("7 hits") { cache.statistics.hits == 7 }
            gate.open()
            // The first to see the failure computes again, while the others may still be waiting.
            await #expect(throws: Failure(number: 1)) { try await waiters[0].value }
            #expect(try await cache.value(for: "a") { 2 } == 2)
            for waiter in waiters {
                await #expect(throws: Failure(number: 1)) { try await waiter.value }
            }
            #expect(try await cache.value(for: "a") { 3 } == 2)
            #expect(cache.statistics.misses == 2 && cache.statistics.count == 1)
        }
    }

    @Test func cancelledCallersLeaveTheComputationToOthers() async throws {
        let cache = ComputedCache<String, Int>(capacity: 10)
        let gate = Gate()
        let first = Task {
            try await cache.value(for: "a") {
                await gate.wait()
                return 1
            }
        }
        try await until("a miss") { cache.statistics.misses == 1 }
        first.cancel()
        let second = Task { try await cache.value(for: "a") { 2 } }
        try await until("a hit") { cache.statistics.hits == 1 }
        gate.open()
        #expect(try await second.value == 1)
    }

    @Test func theLeastRecentlyUsedValueGoesFirst() async throws {
        let cache = ComputedCache<String, Int>(capacity: 10, overhead: 1) { $0 }
        for value in [3, 4] { _ = try await cache.value(for: "\(value)") { value } }
        _ = try await cache.value(for: "3") { -1 }
        // 4 + 5 are in use, and 3 more do not fit.
        _ = try await cache.value(for: "2") { 2 }
        #expect(cache.statistics.cost == 7 && cache.statistics.count == 2)
        #expect(try await cache.value(for: "3") { -1 } == 3)
        // Larger than the capacity: never kept.
        #expect(try await cache.value(for: "4") { 40 } == 40)
        #expect(cache.statistics.cost == 7)
    }

    @Test func poolsBoundWhatRunsAndWaits() async throws {
        let pool = ThreadPool(threads: 2, waiting: 1)
        let (running, release) = (Monitor(0), Monitor(false))
        let jobs = (0..<3).map { number in
            Task {
                try await pool.run {
                    running.update { $0 += 1 }
                    return release.wait { $0 ? number : nil }
                }
            }
        }
        try await until("2 jobs running and 1 waiting") {
            pool.load == 3 && running.read { $0 } == 2
        }
        await #expect(throws: Overload.self) { try await pool.run {} }
        release.update { $0 = true }
        for (number, job) in jobs.enumerated() { #expect(try await job.value == number) }
        #expect(pool.load == 0)
        await #expect(throws: Failure(number: 1)) {
            try await pool.run { throw Failure(number: 1) }
        }
        #expect(pool.load == 0)
    }

    @Test func eachThreadHasItsOwnResource() async throws {
        final class Resource { var uses = 0 }
        let made = Monitor(0)
        let pool = ThreadPool(threads: 2, waiting: 100) {
            made.update { $0 += 1 }
            return Resource()
        }
        let uses = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await pool.run { resource in
                        resource.uses += 1
                        return resource.uses
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        // Each thread counts its own jobs, so the counts are 1…n and 1…(50 − n).
        // A thread may have had no job.
        let threads = uses.filter { $0 == 1 }.count
        #expect((1...2).contains(threads) && threads <= made.read { $0 })
        #expect(uses.count == 50 && Set(uses).count >= 25)
    }

    @Test func cancelledCallersLeaveAndTheirJobsAreSkipped() async throws {
        let pool = ThreadPool(threads: 1, waiting: 2)
        let (release, ran) = (Monitor(false), Monitor(0))
        let first = Task { try await pool.run { release.wait { $0 ? 1 : nil } } }
        try await until("the first job") { pool.load == 1 }
        let second = Task { try await pool.run { ran.update { $0 += 1 } } }
        try await until("the second job") { pool.load == 2 }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        release.update { $0 = true }
        #expect(try await first.value == 1)
        try await pool.run {}
        #expect(ran.read { $0 } == 0 && pool.load == 0)
    }

    @Test func jobsThatWaitedTooLongAreRefused() async throws {
        let pool = ThreadPool(threads: 1, waiting: 1, longestWait: .zero)
        await #expect(throws: Overload.self) { try await pool.run {} }
        #expect(pool.load == 0)
    }

    @Test func queuesKeepTheOrder() async throws {
        let queue = BoundedQueue<Int>(capacity: 3)
        try SystemThread.start {
            for number in 0..<1_000 { queue.push(number) }
            queue.finish()
        }
        let taken = try await ThreadPool(threads: 1, waiting: 0).run {
            var taken: [Int] = []
            while let number = queue.pop() { taken.append(number) }
            return taken
        }
        #expect(taken == Array(0..<1_000))
        #expect(!queue.push(1))
        guard case .finished = queue.pop(milliseconds: 1) else {
            Issue.record("a finished queue is not empty")
            return
        }
    }

    @Test func fullQueuesHoldProducersBackUntilCancelled() async throws {
        let queue = BoundedQueue<Int>(capacity: 2)
        let pushed = Monitor(0)
        let results = Monitor([Bool]())
        try SystemThread.start {
            for number in 0..<5 {
                let isTaken = queue.push(number)
                pushed.update { $0 += 1 }
                results.update { $0.append(isTaken) }
            }
        }
        try await until("2 pushes") { pushed.read { $0 } == 2 }
        #expect(queue.pop() == 0)
        try await until("a third push") { pushed.read { $0 } == 3 }
        queue.cancel()
        try await until("all pushes") { results.read { $0.count } == 5 }
        #expect(results.read { $0 } == [true, true, true, false, false])
        #expect(queue.pop() == nil)
        guard case .finished = queue.pop(milliseconds: 1) else {
            Issue.record("a cancelled queue is not empty")
            return
        }
    }

    @Test func emptyQueuesSayNothingYet() {
        let queue = BoundedQueue<Int>(capacity: 1)
        guard case .nothingYet = queue.pop(milliseconds: 1) else {
            Issue.record("an empty queue gave something")
            return
        }
    }

    // MARK: The retry budget

    @Test func outagesBackOffUntilTheBudgetIsSpent() {
        var outage = Outage()
        let start = ContinuousClock.now
        func delay(_ seconds: Double) -> Duration? {
            outage.delayAfterFailure(at: start + .seconds(seconds), limit: .seconds(10))
        }
        #expect(delay(0) == .milliseconds(100))
        #expect(delay(1) == .milliseconds(200))
        #expect(delay(2) == .milliseconds(400))
        for _ in 0..<10 { _ = delay(3) }
        #expect(delay(4) == .seconds(5))
        // The last attempt comes when the budget ends, not after it.
        #expect(delay(9.5) == .milliseconds(500))
        #expect(delay(10) == nil)
        #expect(outage.failures == 16)
        #expect(RetryBudget.delay(afterFailures: 1_000) == .seconds(5))
    }

    @Test func withoutABudgetTheFirstFailureEndsTheRun() {
        var outage = Outage()
        #expect(outage.delayAfterFailure(at: .now, limit: .zero) == nil)
    }

    @Test func passesThatFailAreMadeAgainEverMoreRarely() {
        let pauses = (1...12).map { Ingest.pause(afterFailures: $0) }
        #expect(pauses.prefix(4) == [.seconds(1), .seconds(2), .seconds(4), .seconds(8)])
        #expect(pauses.last == .seconds(300))
    }

    @Test func ownLimitsAreWaitedOut() {
        #expect(S3Error(.file(EMFILE), "").isWorthRetrying)
        #expect(S3Error(.connection(.localLimit), "").isWorthRetrying)
        #expect(!S3Error(.file(EIO), "").isWorthRetrying)
    }

    @Test func waitsEndWithTheRun() async throws {
        let isOver = Monitor(false)
        let budget = RetryBudget(
            limit: .seconds(600), isOver: { isOver.read { $0 } }, note: { _ in })
        #expect(budget.wait(.milliseconds(1)))
        let waiting = Task {
            try await ThreadPool(threads: 1, waiting: 0).run { budget.wait(.seconds(600)) }
        }
        isOver.update { $0 = true }
        #expect(try await waiting.value == false)
    }
}

/// Holds asynchronous callers back until it is opened.
final class Gate: Sendable {
    private let stream = AsyncStream.makeStream(of: Void.self)
    func wait() async { for await _ in stream.stream { return } }
    func open() { stream.continuation.finish() }
}

/// Waits for a condition that other threads bring about; fails after a minute instead of hanging.
func until(_ what: String, _ isTrue: () -> Bool) async throws {
    for _ in 0..<30_000 {
        if isTrue() { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record("waited a minute for \(what)")
    throw CancellationError()
}
