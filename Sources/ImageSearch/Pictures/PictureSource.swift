import ClipCore
import S3Client

/// An open file of a store that is a directory.
public typealias OpenedFile = S3Client.OpenedFile
public typealias PictureFormat = ClipCore.ImageFormat
public typealias ObjectHead = S3Client.ObjectHead

/// Why a picture could not be read from the store.
public enum PictureSourceError: Error, Equatable, CustomStringConvertible {
    case missing
    case tooLarge
    /// The store refused or did not answer; one sentence for the operator.
    case unavailable(String)

    public var description: String {
        switch self {
        case .missing: "there is no such picture in the store"
        case .tooLarge: "the picture is larger than the limit"
        case .unavailable(let reason): reason
        }
    }

    /// Only an object that the store says is missing, or could never have, is missing; an error on the way
    /// is not.
    public init(_ error: any Error) {
        switch error {
        case let error as S3Error
        where error.isMissingObject || error.reason == .key || error.reason == .notAFile:
            self = .missing
        case let error as S3Error where error.reason == .tooLarge: self = .tooLarge
        default: self = .unavailable("\(error)")
        }
    }
}

/// The bytes of stored pictures, for a server that serves them itself. Calls block their thread and throw
/// ``PictureSourceError``.
public protocol PictureSource: Sendable {
    /// The size of a picture's file in bytes.
    /// - Returns: nil when there is no such picture.
    func size(of key: String) throws -> Int?

    /// A picture's file; one larger than `maximumBytes` is an error.
    func bytes(of key: String, maximumBytes: Int) throws -> [UInt8]

    /// Passes a picture's file to `receive` piece by piece. An error thrown by `receive` ends the transfer
    /// and is rethrown.
    func stream(
        _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
    ) throws
}

extension Searcher: PictureSource {
    public func size(of key: String) throws -> Int? {
        do {
            // A key sorts before all longer keys that begin with it, so it is the first of its listing.
            guard let first = try store.firstPage(prefix: key).first,
                first.key.utf8.elementsEqual(key.utf8)
            else { return nil }
            return Int(exactly: first.size)
        } catch {
            throw PictureSourceError.unavailable("\(error)")
        }
    }

    public func bytes(of key: String, maximumBytes: Int) throws -> [UInt8] {
        try translating { try store.object(key, maximumBytes: maximumBytes) }
    }

    public func stream(
        _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try translating { try store.stream(key, receive: receive) }
    }

    private func translating<T>(_ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as S3Error {
            throw PictureSourceError(error)
        }
    }
}
