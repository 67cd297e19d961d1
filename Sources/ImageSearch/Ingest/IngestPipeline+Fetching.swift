import ClipCore
import PGClient
import S3Client

extension IngestPipeline {
    /// Attempts at one object while others come through, before it counts as failed.
    private static let attempts = 5

    func fetchPictures() {
        while let next = claimed.pop() {
            let object = next.object
            let reserved = reserve(object)
            do {
                if let bytes = try fetchWithRetries(object) {
                    let file = Fetched(
                        object: object, task: next.task, bytes: bytes, reserved: reserved)
                    guard fetched.push(file) else { break }
                    continue
                }
                refuse(object, reason: nil)
            } catch let error as TooLarge {
                refuse(object, reason: "\(error)")
            } catch let error as ChangedObject {
                fail(object, "\(error)", isDoubtful: true)
            } catch is IngestStop {
                // Left to others, or to the next run.
            } catch {
                let error = error as? S3Error
                fail(
                    object, "\(error?.description ?? "it cannot be fetched")",
                    isDoubtful: error?.isMissingObject == false)
                if let error, error.mayBeExpiredKeys { countRefusal(error) }
            }
            room.update { $0 += reserved }
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

    /// Ends the run when the store has stopped accepting the keys: many refusals in a row, and the
    /// listing is refused too. Objects that the keys may not read, however many, are named one by one.
    private func countRefusal(_ error: S3Error) {
        let isMany = state.update { state in
            state.refusalsInARow += 1
            return state.refusalsInARow % Self.maximumRefusals == 0
        }
        guard isMany else { return }
        do {
            _ = try store.firstPage()
        } catch let refusal as S3Error where refusal.mayBeExpiredKeys {
            stop(error, canStore: true)
        } catch {
            // The listing works, or fails for a reason that the others will meet.
        }
    }

    /// The bytes of a picture, or nil for an object that is not one. Tried again when the connection is
    /// lost: five times while other objects come through, otherwise until the retry budget is spent.
    private func fetchWithRetries(_ object: ObjectSummary) throws -> [UInt8]? {
        var outage = Outage()
        var own = 0
        var successes = state.read { $0.storeSuccesses }
        while true {
            do {
                let fetched = try fetch(object)
                if let fetched, !fetched.isAsListed {
                    // Truncated on the way, or changed since it was listed.
                    own += 1
                    guard own < Self.attempts, !budget.isOver() else {
                        throw ChangedObject(listed: object.size, given: fetched.bytes.count)
                    }
                    continue
                }
                state.update { state in
                    state.storeSuccesses += 1
                    state.refusalsInARow = 0
                }
                return fetched?.bytes
            } catch let error as S3Error {
                if error.isMissingObject { state.update { $0.storeSuccesses += 1 } }
                guard error.isWorthRetrying else { throw error }
                let now = state.read { $0.storeSuccesses }
                if now != successes {
                    successes = now
                    outage = Outage()
                    own += 1
                    guard own < Self.attempts else { throw error }
                }
                // An outage of the store is noted once, not once for every object.
                let isNews = isStoreLost.update { known in
                    defer { known = now }
                    return known != now
                }
                let note = own == 0 && isNews ? "\(error) Trying again." : nil
                guard outage.backOff(budget, note) else {
                    if budget.isOver() { throw IngestStop() }
                    stop(error, canStore: true)
                    throw error
                }
            }
        }
    }

    private func fetch(
        _ object: ObjectSummary
    ) throws -> (bytes: [UInt8], isAsListed: Bool)? {
        let isExpected = ObjectFilter.isNamedLikePicture(object.key)
        let listedSize = Int(clamping: max(0, object.size))
        guard listedSize <= options.maximumObjectBytes else {
            guard isExpected else { return nil }
            throw TooLarge(bytes: listedSize, limit: options.maximumObjectBytes)
        }
        // Room was reserved for what was listed; an object that has grown since waits for the next run.
        return try store.listedObject(
            object, maximumDecodedBytes: options.maximumObjectBytes
        ) { prefix in
            // The transfer of a film or an archive ends after its first bytes.
            isExpected || PictureFormat(prefix: prefix) != nil
                || PictureFormat.unsupportedName(prefix: prefix) != nil
        }
    }
}

/// An object that differs from what was listed.
struct ChangedObject: Error, CustomStringConvertible {
    let listed: Int64
    let given: Int

    var description: String {
        "it has \(given) bytes, not the \(listed) that were listed: it has changed since, and the next run will fetch it"
    }
}

/// An object that is not fetched.
struct TooLarge: Error, CustomStringConvertible {
    let bytes: Int
    let limit: Int

    var description: String {
        "it has \(bytes) bytes, more than the limit of \(limit) (--max-bytes)"
    }
}
