import Foundation
import Synchronization

/// Work side by side: a thread for each lane, all taking from one row of batches, as the workers of
/// `process-images` do.
enum Lanes {
    /// - Parameters:
    ///   - count: elements in all.
    ///   - batch: elements that a lane takes at once; fewer when there are not enough for all lanes.
    ///   - work: gets the lane's number and a range of elements. The first error ends the run.
    static func run(
        _ lanes: Int, count: Int, batch: Int,
        _ work: @Sendable (_ lane: Int, _ elements: Range<Int>) throws -> Void
    ) throws {
        let size = max(1, min(batch, (count + lanes - 1) / lanes))
        let next = Atomic(0)
        let failure = Mutex<(any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: lanes) { lane in
            while true {
                let start = next.add(size, ordering: .relaxed).oldValue
                guard start < count else { return }
                do {
                    try work(lane, start..<min(start + size, count))
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    next.store(count, ordering: .relaxed)
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
