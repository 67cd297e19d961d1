import Bytes
import FoundationEssentials
import Glibc
import S3Client

/// Downloads one file so that its final path never holds anything but the right file.
///
/// Bytes gather in `part`, which a later run resumes; once size and SHA-256 are right it is moved into place. A lock
/// keeps two processes from writing it at once: the second waits and then finds the file in place.
struct ModelDownload {
    /// The largest CLIP that is published in one file takes 20 GB.
    private static let maximumBytes: Int64 = 32 << 30

    let url: String
    var headers: [(name: String, value: String)] = []
    let transport: TransportOptions
    let path: String
    let part: String
    let lock: String
    /// SHA-256 in hexadecimal; nil where none is published.
    let digest: String?
    /// Bytes; nil where the size is not known.
    var size: Int64?

    /// - Parameter waiting: called once when another process is downloading the file.
    /// - Throws: ``ModelFileError``, or `S3Error` when the download fails.
    func run(waiting: () -> Void, progress: (Int64, Int64?) -> Void) throws {
        try Self.makeDirectory(path.directory)
        try Self.makeDirectory(lock.directory)
        // Links and pipes are refused.
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        let descriptor = open(lock, flags, 0o644)
        guard descriptor >= 0 else { throw ModelFileError(cannotWrite: lock) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ModelFileError(cannotWrite: lock, "it is not a regular file")
        }
        var operation = LOCK_EX | LOCK_NB
        while flock(descriptor, operation) != 0 {
            if errno == EWOULDBLOCK {
                waiting()
                operation = LOCK_EX
            } else if errno != EINTR {
                throw ModelFileError(cannotWrite: lock)
            }
        }
        if FileManager.default.fileExists(atPath: path) { return }

        var isResumed = access(part, F_OK) == 0
        while true {
            let received = try HTTPDownload(
                url: url, headers: headers, maximumBytes: size ?? Self.maximumBytes,
                transport: transport
            ).run(to: part, progress: progress)
            if size == nil || size == received, try digest == nil || Self.digest(of: part) == digest
            {
                break
            }
            unlink(part)
            // The part may have been another file's beginning.
            guard isResumed else {
                throw ModelFileError(
                    "the file at \(url) is not the one that was published: its size or SHA-256 differs; the download was deleted, try again"
                )
            }
            isResumed = false
        }
        guard rename(part, path) == 0 else { throw ModelFileError(cannotWrite: path) }
        unlink(lock)
    }

    static func makeDirectory(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch {
            throw ModelFileError(cannotWrite: path, "the directory cannot be created")
        }
    }

    /// SHA-256 of a regular file in hexadecimal, read piece by piece.
    static func digest(of path: String) throws -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw ModelFileError(cannotRead: path) }
        defer { close(file) }
        let hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw ModelFileError(cannotRead: path)
            }
            buffer.withUnsafeBytes { hash.update(.init(rebasing: $0[..<count])) }
        }
        return Hexadecimal.encode(hash.digest())
    }
}

extension String {
    /// The part before the last slash, as dirname(1) gives it.
    var directory: String {
        guard let slash = lastIndex(of: "/") else { return "." }
        return slash == startIndex ? "/" : String(self[..<slash])
    }
}
