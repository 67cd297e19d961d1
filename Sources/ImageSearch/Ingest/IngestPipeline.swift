import ClipCore
import PGClient
import S3Client

/// The threads and queues of one ingest.
final class IngestPipeline: Sendable {
    struct State {
        var progress = IngestProgress()
        /// Failures and sentences not yet told to the caller.
        var failures: [IngestFailure] = []
        var notes: [String] = []
        /// What ended the ingest early.
        var error: (any Error)?
        /// Objects that the store has given so far, which tells one object's trouble from an outage.
        var storeSuccesses = 0
        /// Refusals since the last object that came through.
        var refusalsInARow = 0
        /// Bytes that previews of the objects to be done will take, about.
        var previewBytes = 0
        /// Pictures that are claimed and not yet through the encoder.
        var inHand = 0
        /// Pictures that failed although they may be good: the store did not deliver them.
        var doubtful = 0
        /// Set once only cleanup remains; outages are no longer waited out.
        var isOver = false
        var isFinished = false
    }

    /// A claimed object and what is to be done with it.
    typealias Claimed = (object: ObjectSummary, task: PictureTask)

    /// A picture file on its way to an encoding thread.
    struct Fetched: Sendable {
        let object: ObjectSummary
        let task: PictureTask
        let bytes: [UInt8]
        /// What it takes of the pipeline's room.
        let reserved: Int
    }

    /// After this many refusals in a row the listing shows whether the keys have expired.
    static let maximumRefusals = 50

    let store: any ObjectStore
    let options: Ingest.Options
    let rules: String
    /// What is made of new pictures, under the collection's rule.
    let decoder: ImageDecoder
    /// For previews of pictures that are not embedded again.
    let uprightDecoder: ImageDecoder
    /// nil without previews.
    let previews: ThumbnailEncoder?
    let model: Int
    let encoder: LazyEncoder
    let state = Monitor(State())
    let worker: Worker
    let budget: RetryBudget
    let storing: RetryingTable
    /// Set when the run is to end in order.
    let isStopping: Monitor<Bool>
    /// New and changed objects, by pages.
    let candidates = BoundedQueue<ObjectSummary>(capacity: 2_000)
    /// Bounded by `maximumInHand`.
    let claimed = BoundedQueue<Claimed>(capacity: .max)
    /// Bounded by `room`, which counts bytes before they are fetched.
    let fetched = BoundedQueue<Fetched>(capacity: .max)
    /// What became of them.
    let found = BoundedQueue<IngestResults>(capacity: 4 * rowsAtOnce)
    /// Whether the weights are converted, or are being.
    let isEncoderWanted = Monitor(false)
    /// Objects that had come through when the last outage was noted.
    let isStoreLost = Monitor(-1)
    /// Bytes that may still be fetched before an encoding thread takes some. A picture larger than all of it
    /// waits until there are no others.
    let room: Monitor<Int>

    init(
        _ ingest: Ingest, model: Int, encoder: LazyEncoder, rule: ImageDecoder.Rule,
        isPooled: Bool
    ) throws {
        store = ingest.store
        options = ingest.options
        rules = ingest.rules
        isStopping = ingest.isStopping
        self.model = model
        self.encoder = encoder
        decoder = ImageDecoder(limits: options.limits, rule: rule)
        uprightDecoder = ImageDecoder(limits: options.limits)
        previews = options.makesPreviews ? .preview : nil
        budget = RetryBudget(
            limit: options.retryFor,
            isOver: { [isStopping, state] in
                isStopping.read { $0 } || state.read { $0.isOver || $0.error != nil }
            }, note: { [state] sentence in state.update { $0.notes.append(sentence) } })
        worker = try Worker(connect: ingest.connect, budget: budget)
        // A pool in session mode may have no second connection to give.
        storing =
            isPooled ? worker.table : RetryingTable(budget: budget, connect: ingest.connect)
        room = Monitor(options.maximumWaitingBytes)
    }

    func start() throws {
        // The storing thread ends the run, whatever happens to the others.
        try SystemThread.start(storeAll)
        do {
            let encoders = options.encoders ?? SystemThread.processorCount
            try start(threads: 1, list, then: candidates.finish)
            try start(threads: 1, claimCandidates, then: claimed.finish)
            try start(threads: options.fetchers, fetchPictures, then: fetched.finish)
            try start(threads: encoders, encodePictures, then: found.finish)
        } catch {
            stop(error, canStore: false)
        }
    }

    /// Thrown by a stage that another one has stopped.
    struct Stopped: Error {}

    /// Starts a stage.
    /// - Parameter last: called by the last of the threads, to close the next stage's queue. Others may not have started
    ///   yet, but nothing is left for them.
    private func start(
        threads: Int, _ stage: @escaping @Sendable () throws -> Void,
        then last: @escaping @Sendable () -> Void
    ) throws {
        let running = Monitor(0)
        for _ in 0..<threads {
            running.update { $0 += 1 }
            try SystemThread.start { [self] in
                do {
                    try stage()
                } catch is Stopped {
                } catch {
                    stop(error, canStore: true)
                }
                let left = running.update { running in
                    running -= 1
                    return running
                }
                if left == 0 { last() }
            }
        }
    }

    // MARK: The caller's thread

    /// Reports progress, failures and notes until the end.
    /// - Parameter earlier: what earlier passes over the bucket did, which counts too.
    func wait(
        adding earlier: IngestProgress, report: (IngestProgress) -> Void,
        onFailure: (IngestFailure) -> Void, onNote: (String) -> Void
    ) throws -> IngestProgress {
        while true {
            let isFinished = state.wait(milliseconds: 200) { $0.isFinished ? true : nil } ?? false
            if isStopping.read({ $0 }) { stop(IngestStop(), canStore: true) }
            var (progress, failures, notes) = state.update { state in
                defer { (state.failures, state.notes) = ([], []) }
                return (state.progress, state.failures, state.notes)
            }
            progress.add(earlier)
            failures.forEach(onFailure)
            notes.forEach(onNote)
            report(progress)
            guard isFinished else { continue }
            if let error = state.read({ $0.error }) {
                throw IngestInterruption(progress: progress, cause: error)
            }
            return progress
        }
    }

    /// Ends the ingest early: threads stop at the next picture. The first error counts.
    ///
    /// - Parameter canStore: whether the embeddings that are ready can still be stored.
    func stop(_ error: any Error, canStore: Bool) {
        let isFirst = state.update { state in
            guard state.error == nil else { return false }
            state.error = error
            return true
        }
        guard isFirst || !canStore else { return }
        candidates.cancel()
        claimed.cancel()
        fetched.cancel()
        if !canStore { found.cancel() }
        // Releases threads that wait for room.
        room.update { $0 = .max / 2 }
    }

    // MARK: Results

    /// An object that failed for this run.
    /// - Parameter isDoubtful: whether the object itself may be good.
    func fail(_ object: ObjectSummary, _ reason: String, isDoubtful: Bool) {
        tell(IngestFailure(key: object.key, reason: reason), isDoubtful: isDoubtful)
        state.update { $0.inHand -= 1 }
        found.push(IngestResults(failures: [object.key]))
    }

    /// An object that will fail again while it is unchanged; or with no reason, one that is not a picture
    /// and not named like one.
    /// - Parameter missingReader: what would read it; see ``ImageError/missingReader``.
    func refuse(
        _ object: ObjectSummary, reason: String?, format: String? = nil,
        missingReader: String? = nil
    ) {
        if let reason {
            tell(IngestFailure(key: object.key, reason: reason, format: format))
        } else {
            state.update { $0.progress.skipped += 1 }
        }
        state.update { $0.inHand -= 1 }
        let refusal = IngestResults.Refusal(
            object: object, reason: reason, format: format, missingReader: missingReader)
        found.push(IngestResults(refusals: [refusal]))
    }

    /// Counts and reports a failure.
    func tell(_ failure: IngestFailure, isDoubtful: Bool = false) {
        state.update { state in
            state.progress.count(failure)
            if isDoubtful { state.doubtful += 1 }
            state.failures.append(failure)
        }
    }
}
