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
        /// Successes of the store so far, by which one object's trouble is told from the store's.
        var storeSuccesses = 0
        /// Refusals of the store, rather than of one object, since the last success.
        var storeRefusals = 0
        /// Pictures that are claimed and not yet through the encoder.
        var inHand = 0
        /// Pictures that failed although they may be good: the store did not give them.
        var doubtful = 0
        /// Threads of each stage that still run; the last one out closes the next stage's queue.
        var fetchers = 0
        var workers = 0
        /// Whether only storing is left to do, for which no loss is waited out any more.
        var isOver = false
        var isFinished = false
    }

    /// A picture file on its way to a worker.
    struct Fetched: Sendable {
        let object: ObjectSummary
        let bytes: [UInt8]
        /// What it takes of the pipeline's room.
        let reserved: Int
    }

    /// What became of an object that was claimed.
    enum Finding: Sendable {
        case picture(Findings.Picture)
        case refusal(Findings.Refusal)
        case failure(key: String)
    }

    /// So many refusals of the store in a row mean that it is the store: the run ends instead of
    /// failing every picture that is left.
    static let maximumStoreRefusals = 50

    let store: any ObjectStore
    let options: Ingest.Options
    let rules: String
    let model: Int
    let encoder: LazyEncoder
    let state: Monitor<State>
    let worker: Worker
    let patience: Patience
    let storing: PatientTable
    /// Set when the run is to end in order.
    let isStopping: Monitor<Bool>
    /// New and changed objects, by pages; claimed objects; picture files; what became of them.
    let candidates: BoundedQueue<ObjectSummary>
    let claimed: BoundedQueue<ObjectSummary>
    let fetched: BoundedQueue<Fetched>
    let found: BoundedQueue<Finding>
    /// Whether the weights are being converted or are.
    let isEncoderWanted = Monitor(false)
    /// Successes of the store when it was last said to be away.
    let isStoreLost = Monitor(-1)
    /// Bytes that may still be fetched before a worker takes some; a picture larger than all of it
    /// takes all of it, so it waits until there are no others.
    let room: Monitor<Int>

    init(_ ingest: Ingest, model: Int, encoder: LazyEncoder) {
        store = ingest.store
        options = ingest.options
        rules = ingest.rules
        isStopping = ingest.isStopping
        self.model = model
        self.encoder = encoder
        let state = Monitor(State())
        let isStopping = ingest.isStopping
        self.state = state
        patience = Patience(
            limit: ingest.options.retryFor,
            isOver: { isStopping.read { $0 } || state.read { $0.isOver || $0.error != nil } },
            note: { sentence in state.update { $0.notes.append(sentence) } })
        worker = Worker(connect: ingest.connect, patience: patience)
        storing = PatientTable(patience: patience, connect: ingest.connect)
        candidates = BoundedQueue(capacity: 2_000)
        // How many there are is bounded by what may be in hand.
        claimed = BoundedQueue(capacity: .max)
        // Its bytes are counted before they are fetched, by `room`.
        fetched = BoundedQueue(capacity: .max)
        room = Monitor(ingest.options.maximumWaitingBytes)
        found = BoundedQueue(capacity: 4 * Self.rowsAtOnce)
    }

    func start() throws {
        try worker.enrol()
        // The storing thread closes the run, whatever becomes of the others.
        try startStoring()
        do {
            try startListing()
            try startFetching()
            try startEncoding()
        } catch {
            stop(error, canStore: false)
        }
    }

    // MARK: The caller's thread

    /// Waits for the end, telling of progress, failures and notes meanwhile.
    func wait(
        report: (IngestProgress) -> Void, onFailure: (IngestFailure) -> Void,
        onNote: (String) -> Void
    ) throws -> IngestProgress {
        while true {
            let isFinished = state.wait(milliseconds: 200) { $0.isFinished ? true : nil } ?? false
            if isStopping.read({ $0 }) { stop(IngestStop(), canStore: true) }
            let (progress, failures, notes) = state.update { state in
                defer { (state.failures, state.notes) = ([], []) }
                return (state.progress, state.failures, state.notes)
            }
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
    /// - Parameter canStore: whether embeddings that are made can and shall still be stored.
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
        // Nobody shall wait for room that nobody makes any more.
        room.update { $0 = .max / 2 }
    }

    func note(_ sentence: String) {
        state.update { $0.notes.append(sentence) }
    }

    // MARK: What becomes of a picture

    /// An object that failed for this run.
    /// - Parameter isDoubtful: whether the object itself may be good.
    func fail(_ object: ObjectSummary, _ reason: String, isDoubtful: Bool) {
        tell(object.key, reason, isDoubtful: isDoubtful)
        leaveHand()
        found.push(.failure(key: object.key))
    }

    /// An object that will fail again as long as it is unchanged; or with no reason, one that is no
    /// picture and never claimed to be.
    func refuse(_ object: ObjectSummary, reason: String?) {
        if let reason {
            tell(object.key, reason, isDoubtful: false)
        } else {
            state.update { $0.progress.skipped += 1 }
        }
        leaveHand()
        found.push(.refusal(Findings.Refusal(object: object, reason: reason)))
    }

    /// Counts and reports a failure.
    func tell(_ key: String, _ reason: String, isDoubtful: Bool) {
        state.update { state in
            state.progress.failed += 1
            if isDoubtful { state.doubtful += 1 }
            state.failures.append(IngestFailure(key: key, reason: reason))
        }
    }

    func leaveHand() {
        state.update { $0.inHand -= 1 }
    }
}
