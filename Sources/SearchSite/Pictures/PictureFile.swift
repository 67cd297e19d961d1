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

    /// - Returns: nil when it does not begin like a picture, or cannot be read.
    init?(_ file: OpenedFile) {
        guard let beginning = file.read(at: 0, count: PictureFormat.signatureLength),
            let format = PictureFormat(beginning: beginning)
        else { return nil }
        self.file = file
        self.format = format
        size = file.size
        let time = file.modified
        let identity = [Int(file.inode), file.size, time.seconds, time.nanoseconds]
        entityTag = "\"\(identity.map { String($0, radix: 36) }.joined(separator: "-"))\""
        lastModified = HTTPDate.text(secondsSince1970: time.seconds)
    }

    /// Up to `count` bytes from an offset on; fewer only at the end of the file.
    /// - Returns: nil when reading fails.
    func read(at offset: Int, count: Int) -> [UInt8]? { file.read(at: offset, count: count) }
}
