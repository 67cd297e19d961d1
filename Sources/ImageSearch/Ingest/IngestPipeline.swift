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
        /// Threads of each stage that still run; the last one out closes the next stage's queue.
        var fetchers = 0
        var workers = 0
        var isFinished = false
    }

    /// A picture file on its way to a worker.
    private struct Fetched: Sendable {
        let key: String
        let bytes: [UInt8]
    }

    /// Rows that are stored at once, and how long rows may wait for company.
    private static let rowsAtOnce = 256
    private static let longestWait = Duration.seconds(2)

    private let store: any ObjectStore
    private let options: Ingest.Options
    private let state = Monitor(State())
    private let listed: BoundedQueue<ObjectSummary>
    private let fetched: BoundedQueue<Fetched>
    private let embedded: BoundedQueue<PicturesTable.Row>

    init(store: any ObjectStore, options: Ingest.Options) {
        self.store = store
        self.options = options
        listed = BoundedQueue(capacity: 2_000)
        fetched = BoundedQueue(capacity: options.maximumWaitingBytes)
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
    }

    // MARK: Listing and fetching

    func startFetching() {
        _ = WorkerThread { self.list() }
        state.update { $0.fetchers = self.options.fetchers }
        for _ in 0..<options.fetchers {
            _ = WorkerThread { self.fetch() }
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
            do {
                guard let bytes = try fetch(object) else {
                    state.update { $0.progress.skipped += 1 }
                    continue
                }
                guard fetched.push(Fetched(key: object.key, bytes: bytes), cost: bytes.count) else {
                    break
                }
            } catch let error as S3Error where error.isStoreUnreachable {
                stop(error, canStore: true)
            } catch {
                fail(object.key, error)
            }
        }
        if state.update({
            $0.fetchers -= 1
            return $0.fetchers == 0
        }) {
            fetched.finish()
        }
    }

    /// The bytes of a picture, or nil for an object that is none.
    private func fetch(_ object: ObjectSummary) throws -> [UInt8]? {
        if ObjectFilter.isSkippable(object) { return nil }
        guard !object.key.utf8.contains(0) else { throw KeyError.nul }
        let isExpected = ObjectFilter.isNamedLikePicture(object.key)
        let bytes = try store.object(object.key, maximumBytes: options.maximumObjectBytes) {
            prefix in
            // The transfer of a film or an archive ends here, with its first bytes.
            isExpected || PictureFormat(prefix: prefix) != nil
        }
        return bytes
    }

    private func fail(_ key: String, _ error: any Error) {
        state.update { state in
            state.progress.failed += 1
            state.failures.append(IngestFailure(key: key, reason: "\(error)"))
        }
    }

    // MARK: Encoding

    func startEncoding(_ encoder: ImageEncoder) {
        let workers = options.workers ?? WorkerThread.processorCount
        state.update { $0.workers = workers }
        for _ in 0..<workers {
            _ = WorkerThread { self.encode(encoder) }
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
            guard embedded.push(row) else { return }
        }
    }

    // MARK: Storing

    func startStoring(_ connect: @escaping @Sendable () throws -> PicturesTable) {
        _ = WorkerThread {
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
                try table.upsert(rows)
                state.update { $0.progress.stored += rows.count }
                rows.removeAll(keepingCapacity: true)
            }
        }
    }
}

/// A key that PostgreSQL cannot store.
enum KeyError: Error, CustomStringConvertible {
    case nul

    var description: String { "its key holds a NUL character, which PostgreSQL cannot store" }
}

extension S3Error {
    /// Whether the whole store is out of reach, rather than one object.
    fileprivate var isStoreUnreachable: Bool {
        switch reason {
        case .connection(.connect), .connection(.nameResolution), .connection(.tls): true
        default: false
        }
    }
}
