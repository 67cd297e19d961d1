import ClipCore
import PGClient
import S3Client

/// The threads and queues of one ingest.
final class IngestPipeline: Sendable {
    private struct State {
        var progress = IngestProgress()
        /// Failures not yet told to the caller.
        var failures: [IngestFailure] = []
        /// What ended the ingest early.
        var error: (any Error)?
        /// Failures of the store, rather than of one object, since the last success.
        var storeFailures = 0
        /// Threads of each stage that still run; the last one out closes the next stage's queue.
        var fetchers = 0
        var workers = 0
        var isFinished = false
    }

    /// A picture file on its way to a worker.
    private struct Fetched: Sendable {
        let key: String
        let bytes: [UInt8]
        /// What it takes of the pipeline's room.
        let reserved: Int
    }

    /// So many failures of the store in a row mean that it is the store: the run ends instead of
    /// failing every picture that is left, one time-out after the other.
    private static let maximumStoreFailures = 50

    /// Rows that are stored at once, and how long rows may wait for company.
    private static let rowsAtOnce = 256
    private static let longestWait = Duration.seconds(2)

    private let store: any ObjectStore
    private let options: Ingest.Options
    private let state = Monitor(State())
    private let listed: BoundedQueue<ObjectSummary>
    private let fetched: BoundedQueue<Fetched>
    private let embedded: BoundedQueue<PicturesTable.Row>
    /// Bytes that may still be fetched before a worker takes some; a picture larger than all of it
    /// takes all of it, so it waits until there are no others.
    private let room: Monitor<Int>

    init(store: any ObjectStore, options: Ingest.Options) {
        self.store = store
        self.options = options
        listed = BoundedQueue(capacity: 2_000)
        // Its bytes are counted before they are fetched, by `room`.
        fetched = BoundedQueue(capacity: .max)
        room = Monitor(options.maximumWaitingBytes)
        embedded = BoundedQueue(capacity: 4 * Self.rowsAtOnce)
    }

    // MARK: The caller's thread

    /// Waits for the end, telling of progress and failures meanwhile.
    func wait(
        report: (IngestProgress) -> Void, onFailure: (IngestFailure) -> Void
    ) throws -> IngestProgress {
        while true {
            let isFinished = state.wait(milliseconds: 200) { $0.isFinished ? true : nil } ?? false
            let (progress, failures) = state.update { state in
                defer { state.failures = [] }
                return (state.progress, state.failures)
            }
            failures.forEach(onFailure)
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
        state.update { state in
            if state.error == nil { state.error = error }
        }
        listed.cancel()
        fetched.cancel()
        if !canStore { embedded.cancel() }
        // Nobody shall wait for room that nobody makes any more.
        room.update { $0 = .max / 2 }
    }

    // MARK: Listing and fetching

    func startFetching() throws {
        try WorkerThread.start { self.list() }
        for _ in 0..<options.fetchers {
            state.update { $0.fetchers += 1 }
            try WorkerThread.start { self.fetch() }
        }
    }

    private struct Stopped: Error {}

    private func list() {
        do {
            try store.list { page in
                state.update { $0.progress.listed += page.count }
                for object in page {
                    guard listed.push(object) else { throw Stopped() }
                }
            }
            state.update { $0.progress.isListingComplete = true }
        } catch is Stopped {
        } catch {
            stop(error, canStore: true)
        }
        listed.finish()
    }

    private func fetch() {
        while let object = listed.pop() {
            let reserved = reserve(object)
            do {
                let bytes = try fetch(object)
                state.update { $0.storeFailures = 0 }
                if let bytes {
                    guard fetched.push(Fetched(key: object.key, bytes: bytes, reserved: reserved))
                    else { break }
                    continue
                }
                state.update { $0.progress.skipped += 1 }
            } catch let error as S3Error where error.isStoreUnreachable {
                stop(error, canStore: true)
            } catch {
                fail(object.key, error)
                if let error = error as? S3Error, error.isAboutStore { countStoreFailure(error) }
            }
            release(reserved)
        }
        // The last one out. Others may not have started yet, but then nothing is left for them.
        if state.update({
            $0.fetchers -= 1
            return $0.fetchers == 0
        }) {
            fetched.finish()
        }
    }

    /// Waits until an object's bytes fit.
    private func reserve(_ object: ObjectSummary) -> Int {
        let whole = options.maximumWaitingBytes
        let size = Int(clamping: max(0, object.size))
        let wanted = size > options.maximumObjectBytes ? 0 : min(size, whole)
        return room.wait { room in
            guard room >= wanted else { return nil }
            room -= wanted
            return wanted
        }
    }

    private func release(_ bytes: Int) {
        room.update { $0 += bytes }
    }

    private func countStoreFailure(_ error: S3Error) {
        let isTooMuch = state.update { state in
            state.storeFailures += 1
            return state.storeFailures == Self.maximumStoreFailures
        }
        if isTooMuch { stop(error, canStore: true) }
    }

    /// The bytes of a picture, or nil for an object that is none.
    private func fetch(_ object: ObjectSummary) throws -> [UInt8]? {
        if ObjectFilter.isSkippable(object) { return nil }
        guard !object.key.utf8.contains(0) else { throw KeyError.nul }
        let isExpected = ObjectFilter.isNamedLikePicture(object.key)
        let listedSize = Int(clamping: max(0, object.size))
        guard listedSize <= options.maximumObjectBytes else {
            guard isExpected else { return nil }
            throw KeyError.tooLarge(bytes: listedSize, limit: options.maximumObjectBytes)
        }
        // What was listed was reserved; an object that has grown since is for the next run.
        return try store.object(object.key, maximumBytes: max(listedSize, 1)) { prefix in
            // The transfer of a film or an archive ends here, with its first bytes.
            isExpected || PictureFormat(prefix: prefix) != nil
        }
    }

    private func fail(_ key: String, _ error: any Error) {
        fail(key, "\(error)")
    }

    private func fail(_ key: String, _ reason: String) {
        state.update { state in
            state.progress.failed += 1
            state.failures.append(IngestFailure(key: key, reason: reason))
        }
    }

    // MARK: Encoding

    func startEncoding(_ encoder: ImageEncoder) throws {
        for _ in 0..<(options.workers ?? WorkerThread.processorCount) {
            state.update { $0.workers += 1 }
            try WorkerThread.start { self.encode(encoder) }
        }
    }

    private func encode(_ encoder: ImageEncoder) {
        let batch = EncodingBatch(encoder, capacity: options.batchSize)
        var isFinished = false
        while !isFinished {
            switch fetched.pop(milliseconds: 200) {
            case .element(let picture):
                do {
                    try batch.add(picture.key, picture.bytes)
                } catch {
                    fail(picture.key, error)
                }
                release(picture.reserved)
                if batch.isFull { push(batch.encode()) }
            case .nothingYet: push(batch.encode())
            case .finished:
                push(batch.encode())
                isFinished = true
            }
        }
        if state.update({
            $0.workers -= 1
            return $0.workers == 0
        }) {
            embedded.finish()
        }
    }

    private func push(_ rows: [PicturesTable.Row]) {
        for row in rows {
            // What is not finite PostgreSQL would refuse, with all rows of its batch.
            guard row.embedding.allSatisfy(\.isFinite) else {
                fail(row.key, EmbeddingError())
                continue
            }
            guard embedded.push(row) else { return }
        }
    }

    // MARK: Storing

    func startStoring(_ connect: @escaping @Sendable () throws -> PicturesTable) throws {
        try WorkerThread.start {
            do {
                try self.storeRows(connect())
            } catch {
                self.stop(error, canStore: false)
            }
            self.state.update { $0.isFinished = true }
        }
    }

    private func storeRows(_ table: PicturesTable) throws {
        let clock = ContinuousClock()
        var rows: [PicturesTable.Row] = []
        var oldest = clock.now
        var isFinished = false
        while !isFinished {
            switch embedded.pop(milliseconds: 200) {
            case .element(let row):
                if rows.isEmpty { oldest = clock.now }
                rows.append(row)
            case .nothingYet: break
            case .finished: isFinished = true
            }
            if isFinished || rows.count >= Self.rowsAtOnce || clock.now - oldest > Self.longestWait
            {
                let stored = try table.upsertEach(rows) { row, error in
                    fail(row.key, (error as? PGError)?.message ?? "\(error)")
                }
                state.update { $0.progress.stored += stored }
                rows.removeAll(keepingCapacity: true)
            }
        }
    }
}

/// An object that is not fetched at all.
enum KeyError: Error, CustomStringConvertible {
    case nul
    case tooLarge(bytes: Int, limit: Int)

    var description: String {
        switch self {
        case .nul: "its key holds a NUL character, which PostgreSQL cannot store"
        case .tooLarge(let bytes, let limit):
            "it has \(bytes) bytes, more than the \(limit) that are taken for a picture"
        }
    }
}

/// Weights so absurd that a picture's embedding overflows.
struct EmbeddingError: Error, CustomStringConvertible {
    var description: String { "the model gives it an embedding that is not finite" }
}

extension S3Error {
    /// Whether the whole store is out of reach, rather than one object.
    fileprivate var isStoreUnreachable: Bool {
        switch reason {
        case .connection(.connect), .connection(.nameResolution), .connection(.tls): true
        default: false
        }
    }

    /// Whether the store may be at fault rather than the object: it does not answer, is overloaded,
    /// or takes the keys no longer.
    fileprivate var isAboutStore: Bool {
        switch reason {
        case .connection: true
        // An archived object (Glacier) is refused too, but for itself.
        case .service(403, "InvalidObjectState", _): false
        case .service(let status, let code, _):
            status >= 500 || status == 429 || status == 401 || status == 403
                || code == "ExpiredToken"
        default: false
        }
    }
}
