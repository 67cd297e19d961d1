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

    /// Only an object that the store says is missing, or could never have, is missing; an error on the way is not.
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

/// Makes copies of pictures that every browser shows.
public struct Thumbnailer: Sendable {
    /// For a grid: 480 pixels on the shorter side.
    public static let small = Thumbnailer(
        encoder: ThumbnailEncoder(shortSide: 480, longSide: 1_440, quality: 78))
    /// In place of a picture that browsers do not show: at most 2,048 pixels on the longer side.
    public static let large = Thumbnailer(
        encoder: ThumbnailEncoder(shortSide: 2_048, longSide: 2_048, quality: 85))
    /// Files up to this many bytes are shown as they are.
    public static let smallFile = 60_000

    private let decoder = ImageDecoder(limits: .query)
    private let encoder: ThumbnailEncoder

    /// A copy of a picture file, turned upright and with the colours it had.
    ///
    /// - Returns: a JPEG or WebP file; nil when the picture is best shown as it is: it is small already and
    ///   every browser shows it upright, or it cannot be decoded.
    public func thumbnail(of file: [UInt8]) -> [UInt8]? {
        file.withUnsafeBytes { bytes in
            guard let metadata = try? decoder.metadata(bytes) else { return nil }
            // Browsers turn JPEGs as EXIF says, but not all of them other formats.
            let format = PictureFormat(prefix: file)
            let isShown =
                format == .jpeg
                || metadata.orientation == 1 && format?.isShownByBrowsers == true
            guard file.count > Self.smallFile || !isShown,
                let small = try? encoder.thumbnail(of: bytes, decoder: decoder),
                small.bytes.count < file.count || !isShown
            else { return nil }
            return small.bytes
        }
    }
}

extension ThumbnailEncoder {
    /// For a grid, kept in the database (`picture_previews`): 17 kB of a photograph, so that 24 of them are less
    /// than half a megabyte.
    static let preview = ThumbnailEncoder(shortSide: 320, longSide: 960, quality: 55)

    /// Bytes that ``preview`` takes in the database, for an estimate: never more than the picture itself.
    static func expectedBytes(ofPreviewFrom size: Int64) -> Int { Int(min(max(size, 0), 18_000)) }
}
