import ClipCore
import PGClient
import S3Client

/// Why a search was not answered: the query is wrong, or something is temporarily unavailable.
///
/// The description is one sentence without secrets. Other errors of a search are faults of the installation.
public enum SearchError: Error, Equatable, CustomStringConvertible {
    /// A part of the query is out of range.
    case invalid(String)
    /// The weighted terms add up to nothing.
    case termsCancelOut
    /// A term's bytes are not a picture, or of an unsupported format.
    case unsupportedPicture(reason: String)
    /// A term's picture has a known format but cannot be decoded.
    case damagedPicture(reason: String)
    /// A term's picture has too many bytes.
    case pictureTooLarge(bytes: Int, limit: Int)
    /// No picture of this key is stored.
    case unknownKey(String)
    /// More searches at once than can be answered in time; try again in a moment.
    case overloaded
    /// The database cannot be reached, or does not answer in time.
    case databaseUnavailable(reason: String)
    /// The stored embeddings are another model's, so cosines would be meaningless.
    case modelMismatch(reason: String)

    public var description: String {
        switch self {
        case .invalid(let reason): reason
        case .termsCancelOut:
            "the query's terms cancel each other out, so there is no direction to search in: change their weights"
        case .unsupportedPicture(let reason), .damagedPicture(let reason):
            "the picture to search with cannot be used: \(reason)"
        case .pictureTooLarge(let bytes, let limit):
            "the picture to search with has \(bytes) bytes, more than the \(limit) that are taken"
        case .unknownKey(let key):
            "no picture with the key \(quoted(key)) is stored: check the key, or give a file"
        case .overloaded: "too many searches at once: try again in a moment"
        case .databaseUnavailable(let reason), .modelMismatch(let reason): reason
        }
    }
}

extension SearchError {
    /// Whether another query may be answered where this one was not.
    public var isAboutQuery: Bool {
        switch self {
        case .overloaded, .databaseUnavailable, .modelMismatch: false
        default: true
        }
    }

    init(_ error: ImageError) {
        switch error {
        case .empty, .notAnImage, .unsupportedFormat, .unsupportedVariant:
            self = .unsupportedPicture(reason: "\(error)")
        default:
            self = .damagedPicture(reason: "\(error)")
        }
    }

    /// What a failed statement means for a search; other errors unchanged.
    static func of(_ error: any Error) -> any Error {
        switch error {
        case is Overload: SearchError.overloaded
        case let error as PGError where error.isAboutAvailability:
            SearchError.databaseUnavailable(reason: "\(error)")
        case TableError.statementPool:
            SearchError.databaseUnavailable(reason: "\(error)")
        case TableError.differentDimension:
            SearchError.modelMismatch(reason: "\(error)")
        default: error
        }
    }
}

extension PGError {
    /// Whether the server is unavailable, full, starting, or too slow, so that a retry may succeed.
    var isAboutAvailability: Bool {
        isConnectionLost || isTemporarilyUnavailable
            || [.connection, .node, .cancelled].contains(kind)
    }
}
