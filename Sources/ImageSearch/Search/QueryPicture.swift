import FoundationEssentials
import Glibc
import S3Client

/// A picture to search with that was given by a name: an address, a file, or a stored picture's key.
enum QueryPicture {
    case bytes([UInt8])
    /// Neither an address nor a file: taken for a key.
    case key

    /// - Throws: ``QueryPictureError``
    static func find(_ name: String) throws -> QueryPicture {
        let scheme = name.prefix { $0 != ":" }.lowercased()
        if name.dropFirst(scheme.count).hasPrefix("://") {
            guard scheme == "http" || scheme == "https" else {
                throw QueryPictureError(
                    description:
                        "the picture \(printable(name, limit: 2_000)) cannot be fetched: its address must begin with https:// or http://"
                )
            }
            return .bytes(try download(name))
        }
        var information = stat()
        guard stat(name, &information) == 0 else { return .key }
        let shown = printable(name, limit: 2_000)
        // A pipe or a device has no size to check and may have no end.
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw QueryPictureError(description: "\(shown) is not a picture file")
        }
        let size = Int(information.st_size)
        guard size <= SearchQuery.maximumPictureBytes else {
            throw SearchError.pictureTooLarge(bytes: size, limit: SearchQuery.maximumPictureBytes)
        }
        guard let contents = FileManager.default.contents(atPath: name) else {
            throw QueryPictureError(description: "\(shown) cannot be read")
        }
        return .bytes([UInt8](contents))
    }

    /// The bytes at an address, within a minute in all. Any address is allowed: a person who types one may mean a
    /// machine of their own network.
    private static func download(_ url: String) throws -> [UInt8] {
        do {
            return try HTTPDownload(
                url: url, maximumBytes: Int64(SearchQuery.maximumPictureBytes),
                retries: RetryPolicy(attempts: 2), deadline: .seconds(60)
            ).bytes()
        } catch let failure as HTTPDownload.Failure {
            let reason = failure.description
            throw QueryPictureError(
                description:
                    "the picture to search with cannot be fetched: \(reason.hasSuffix(".") ? String(reason.dropLast()) : reason)"
            )
        }
    }
}

/// A picture to search with that cannot be had; one sentence.
struct QueryPictureError: Error, CustomStringConvertible {
    let description: String
}
