import Dispatch
import HTTPTypes
import ImageSearch
import NIOPosix

/// A picture on its way from a store to a visitor: a thread that blocks reads it, at most
/// `maximumPieces` pieces of some kilobytes ahead of the task that sends it. The reading ends when the
/// response that uses it is sent or dropped.
final class PictureStream: Sendable {
    typealias Piece = (head: ObjectHead, bytes: [UInt8])

    /// The visitor left, or was too slow.
    private struct Abandoned: Error {}

    private static let maximumPieces = 16

    private let pieces: AsyncThrowingStream<Piece, any Error>
    private let reader: AsyncThrowingStream<Piece, any Error>.Continuation
    /// Signalled for each piece that may be read.
    private let room = DispatchSemaphore(value: 0)

    /// Begins to read a picture.
    ///
    /// - Parameter share: held until the store has been read to its end.
    init(_ key: String, from source: any PictureSource, on pool: NIOThreadPool, share: Budget.Share)
    {
        (pieces, reader) = AsyncThrowingStream.makeStream()
        for _ in 0..<Self.maximumPieces { room.signal() }
        pool.submit { [reader, room] _ in
            do {
                try source.stream(key) { head, bytes in
                    room.wait()
                    guard case .enqueued = reader.yield((head, Array(bytes))) else {
                        throw Abandoned()
                    }
                }
                reader.finish()
            } catch {
                reader.finish(throwing: error)
            }
            withExtendedLifetime(share) {}
        }
    }

    deinit {
        reader.finish()
        room.signal()
    }

    /// The next piece; nil at the end.
    func next() async throws -> Piece? {
        var iterator = pieces.makeAsyncIterator()
        guard let piece = try await iterator.next() else {
            // A cancelled task gets no more pieces, which is not the end.
            try Task.checkCancellation()
            return nil
        }
        room.signal()
        return piece
    }
}
