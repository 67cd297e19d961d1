import Dispatch
import HTTPTypes
import ImageSearch
import NIOCore
import NIOPosix
import Synchronization

/// A picture on its way from a store to a visitor: a thread that blocks reads it, at most
/// `maximumPieces` pieces of some kilobytes ahead of the task that sends it. The reading ends when the
/// response that uses it is sent or dropped.
final class PictureStream: Sendable {
    /// The visitor left, or was too slow.
    private struct Abandoned: Error {}

    private enum Event {
        case piece(ObjectHead, [UInt8])
        case end
        case failure(any Error)
    }

    private struct State {
        var events: [Event] = []
        var waiting: CheckedContinuation<Event, Never>?
    }

    private static let maximumPieces = 16

    private let state = Mutex(State())
    /// Signalled for each piece that may be read.
    private let room = DispatchSemaphore(value: 0)

    /// Begins to read a picture.
    ///
    /// - Parameter share: held until the store has been read to its end.
    init(_ key: String, from source: any PictureSource, on pool: NIOThreadPool, share: Budget.Share)
    {
        for _ in 0..<Self.maximumPieces { room.signal() }
        pool.submit { [weak self] _ in
            var last = Event.end
            do {
                try source.stream(key) { head, bytes in
                    guard let room = self?.room else { throw Abandoned() }
                    room.wait()
                    guard let self else { throw Abandoned() }
                    self.add(.piece(head, Array(bytes)))
                }
            } catch {
                last = .failure(error)
            }
            self?.add(last)
            withExtendedLifetime(share) {}
        }
    }

    /// Wakes the thread that waits to read on.
    deinit { room.signal() }

    private func add(_ event: Event) {
        let waiting = state.withLock { state in
            let waiting = state.waiting.take()
            if waiting == nil { state.events.append(event) }
            return waiting
        }
        waiting?.resume(returning: event)
    }

    /// The next piece; nil at the end.
    func next() async throws -> (head: ObjectHead, bytes: [UInt8])? {
        let event = await withCheckedContinuation { continuation in
            let event: Event? = state.withLock { state in
                if state.events.isEmpty {
                    state.waiting = continuation
                    return nil
                }
                return state.events.removeFirst()
            }
            if let event { continuation.resume(returning: event) }
        }
        switch event {
        case .piece(let head, let bytes):
            room.signal()
            return (head, bytes)
        case .end: return nil
        case .failure(let error): throw error
        }
    }
}
