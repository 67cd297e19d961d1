import Glibc
import ImageSearch

/// An open picture file. All its functions block and belong on a thread pool.
final class PictureFile: Sendable {
    let format: PictureFormat
    /// Bytes.
    let size: Int
    /// Changes when the file does (RFC 9110, 8.8.3).
    let entityTag: String
    /// As a `Last-Modified` field has it (RFC 9110, 5.6.7).
    let lastModified: String
    private let file: OpenedFile

    /// - Returns: nil when it does not begin like a picture.
    /// - Throws: `PictureSourceError` when it cannot be read.
    init?(_ file: OpenedFile) throws {
        let beginning = try Self.read(file, at: 0, count: PictureFormat.prefixLength)
        guard let format = PictureFormat(prefix: beginning) else { return nil }
        self.file = file
        self.format = format
        size = file.size
        let time = file.modified
        let identity = [Int(file.inode), file.size, time.seconds, time.nanoseconds]
        entityTag = "\"\(identity.map { String($0, radix: 36) }.joined(separator: "-"))\""
        lastModified = HTTPDate.text(time.seconds)
    }

    /// Up to `count` bytes from an offset on; fewer only at the end of the file.
    /// - Throws: `PictureSourceError`.
    func read(at offset: Int, count: Int) throws -> [UInt8] {
        try Self.read(file, at: offset, count: count)
    }

    private static func read(_ file: OpenedFile, at offset: Int, count: Int) throws -> [UInt8] {
        do {
            return try file.read(at: offset, count: count)
        } catch {
            throw PictureSourceError(error)
        }
    }
}

/// Dates as HTTP fields have them.
enum HTTPDate {
    /// The preferred form of RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func text(_ secondsSince1970: Int) -> String {
        var (seconds, time) = (secondsSince1970, tm())
        gmtime_r(&seconds, &time)
        var text = [CChar](repeating: 0, count: 64)
        // The names are English: the tools never leave the C locale.
        let length = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &time)
        return String(decoding: text.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
