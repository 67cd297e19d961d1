import ArgumentParser
import FoundationEssentials
import Glibc
import ImageSearch
import S3Client

/// A picture to search with, as a command line names it: an address, a file, or a stored picture's
/// key, in this order.
public enum QueryPicture {
    /// Reads the picture, on the calling thread.
    /// - Returns: nil for a key, which is neither an address nor a file.
    /// - Throws: `ValidationError`, `SearchError.pictureTooLarge` or `SettingsError`.
    public static func bytes(_ name: String, _ settings: Settings) throws -> [UInt8]? {
        let shown = Console.printable(name)
        let scheme = name.prefix { $0 != ":" }.lowercased()
        if name.dropFirst(scheme.count).hasPrefix("://") {
            guard scheme == "http" || scheme == "https" else {
                throw ValidationError(
                    "cannot fetch the picture \(shown): its address must begin with https:// or http://"
                )
            }
            return try download(name, try settings.transport())
        }
        var information = stat()
        guard stat(name, &information) == 0 else { return nil }
        // A pipe or a device has no size to check and may have no end.
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw ValidationError("\(shown) is not a picture file")
        }
        let size = Int(information.st_size)
        guard size <= SearchQuery.maximumPictureBytes else {
            throw SearchError.pictureTooLarge(bytes: size, limit: SearchQuery.maximumPictureBytes)
        }
        guard let contents = FileManager.default.contents(atPath: name) else {
            throw ValidationError("cannot read \(shown)")
        }
        return [UInt8](contents)
    }

    /// The bytes at an address, within a minute in all. A person at a terminal may mean a machine of
    /// their own network, so no address is forbidden.
    private static func download(
        _ url: String, _ transport: TransportOptions
    ) throws -> [UInt8] {
        do {
            return try HTTPDownload(
                url: url, maximumBytes: Int64(SearchQuery.maximumPictureBytes),
                transport: transport, retries: RetryPolicy(attempts: 2), deadline: .seconds(60)
            ).bytes()
        } catch let failure as S3Error {
            let reason = failure.description
            throw ValidationError(
                "cannot fetch the picture to search with: \(reason.hasSuffix(".") ? String(reason.dropLast()) : reason)"
            )
        }
    }
}
