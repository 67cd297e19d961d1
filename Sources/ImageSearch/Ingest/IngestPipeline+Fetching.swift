import ClipCore
import PGClient
import S3Client

extension IngestPipeline {
    /// An object's own failures to come through, while others do, before it counts as failed.
    private static let attempts = 5

    func startFetching() throws {
        for _ in 0..<options.fetchers {
            state.update { $0.fetchers += 1 }
            try WorkerThread.start { self.fetch() }
        }
    }

    private func fetch() {
        while let object = claimed.pop() {
            let reserved = reserve(object)
            do {
                if let bytes = try fetchPatiently(object) {
                    let file = Fetched(object: object, bytes: bytes, reserved: reserved)
                    guard fetched.push(file) else { break }
                    continue
                }
                refuse(object, reason: nil)
            } catch let error as KeyError {
                refuse(object, reason: "\(error)")
            } catch let error as ChangedObject {
                fail(object, "\(error)", isDoubtful: true)
            } catch is IngestStop {
                // Left to the next run, with its claim.
            } catch {
                let error = error as? S3Error
                fail(
                    object, "\(error?.description ?? "it cannot be fetched")",
                    isDoubtful: error?.isMissingObject == false)
                if let error, error.isRefusalOfStore { countStoreRefusal(error) }
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

    func release(_ bytes: Int) {
        room.update { $0 += bytes }
    }

    private func countStoreRefusal(_ error: S3Error) {
        let isTooMuch = state.update { state in
            state.storeRefusals += 1
            return state.storeRefusals == Self.maximumStoreRefusals
        }
        if isTooMuch { stop(error, canStore: true) }
    }

    /// The bytes of a picture, or nil for an object that is none. A loss on the way is borne: when
    /// other objects come through meanwhile, five times; when none does, as long as patience lasts.
    private func fetchPatiently(_ object: ObjectSummary) throws -> [UInt8]? {
        var loss = Loss()
        var own = 0
        var successes = state.read { $0.storeSuccesses }
        while true {
            do {
                let bytes = try fetch(object)
                if let bytes, bytes.count != object.size {
                    // Cut short on the way, or no longer what was listed.
                    own += 1
                    guard own < Self.attempts, !patience.isOver() else {
                        throw ChangedObject(listed: object.size, given: bytes.count)
                    }
                    continue
                }
                state.update { state in
                    state.storeSuccesses += 1
                    state.storeRefusals = 0
                }
                return bytes
            } catch let error as S3Error {
                if error.isMissingObject { state.update { $0.storeSuccesses += 1 } }
                guard error.isWorthWaiting else { throw error }
                let now = state.read { $0.storeSuccesses }
                if now != successes {
                    successes = now
                    loss = Loss()
                    own += 1
                    guard own < Self.attempts else { throw error }
                }
                guard loss.bear(quiet(own == 0, at: now), "\(error) Trying again.") else {
                    if patience.isOver() { throw IngestStop() }
                    stop(error, canStore: true)
                    throw error
                }
            }
        }
    }

    /// Patience that speaks once of each loss of the store, not once for every object.
    private func quiet(_ maySpeak: Bool, at successes: Int) -> Patience {
        let isNews = isStoreLost.update { known in
            defer { known = successes }
            return known != successes
        }
        let note = patience.note
        return Patience(
            limit: patience.limit, isOver: patience.isOver,
            note: { if maySpeak, isNews { note($0) } })
    }

    private func fetch(_ object: ObjectSummary) throws -> [UInt8]? {
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
}

/// An object that is not the one that was listed.
struct ChangedObject: Error, CustomStringConvertible {
    let listed: Int64
    let given: Int

    var description: String {
        "it has \(given) bytes, not the \(listed) that were listed: it has changed since, and the next run will see"
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

extension S3Error {
    /// Whether the same request may work a little later: the store is away, slow or overloaded.
    var isWorthWaiting: Bool {
        switch reason {
        case .connection(.tls), .connection(.other): false
        case .connection: true
        case .service(let status, let code, _):
            status >= 500 || status == 429 || code == "SlowDown" || code == "RequestTimeout"
        default: false
        }
    }

    /// Whether the store takes the keys no longer, rather than refusing one object.
    var isRefusalOfStore: Bool {
        switch reason {
        // An archived object (Glacier) is refused too, but for itself.
        case .service(403, "InvalidObjectState", _): false
        case .service(let status, let code, _):
            status == 401 || status == 403 || code == "ExpiredToken"
        case .connection(.tls): true
        default: false
        }
    }
}
