import Glibc

/// An open picture file. All its functions block and belong on a thread pool.
final class PictureFile: Sendable {
    let format: PictureFormat
    /// Bytes.
    let size: Int
    /// Changes when the file does (RFC 9110, 8.8.3).
    let entityTag: String
    /// As a `Last-Modified` field has it (RFC 9110, 5.6.7).
    let lastModified: String
    private let descriptor: Int32

    /// - Returns: `nil` when there is no such file, it may not be read, or it is no picture.
    init?(path: String) {
        // The system would take the path up to the NUL, another file.
        guard !path.utf8.contains(0) else { return nil }
        // A pipe must not block the opening; it is turned down right after.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let beginning = Self.read(descriptor, at: 0, count: PictureFormat.signatureLength),
            let format = PictureFormat(beginning: beginning)
        else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        self.format = format
        size = status.st_size
        let time = status.st_mtim
        let identity = [Int(status.st_ino), status.st_size, time.tv_sec, time.tv_nsec]
        entityTag = "\"\(identity.map { String($0, radix: 36) }.joined(separator: "-"))\""
        lastModified = HTTPDate.text(secondsSince1970: time.tv_sec)
    }

    deinit { close(descriptor) }

    /// Up to `count` bytes from an offset on; fewer only at the end of the file.
    /// - Returns: `nil` when reading fails.
    func read(at offset: Int, count: Int) -> [UInt8]? {
        Self.read(descriptor, at: offset, count: count)
    }

    private static func read(_ descriptor: Int32, at offset: Int, count: Int) -> [UInt8]? {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(
                    descriptor, buffer.baseAddress! + filled, count - filled, offset + filled)
                if got > 0 {
                    filled += got
                } else if got == 0 {
                    break
                } else if errno != EINTR {
                    failed = true
                    break
                }
            }
        }
        return failed ? nil : bytes
    }
}
