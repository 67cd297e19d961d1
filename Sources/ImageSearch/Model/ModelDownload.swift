import Bytes
import FoundationEssentials
import Glibc
import S3Client

/// Downloads a model file so that its final path never holds anything but the right file.
///
/// Bytes gather in `NAME.part`, which a later run resumes; once its SHA-256 is right it is moved into
/// place. A lock keeps two processes from writing it at once: the second waits and then finds the file
/// in place.
struct ModelDownload {
    /// OpenAI's largest CLIP takes 1.7 GB.
    private static let maximumBytes: Int64 = 8 << 30

    let source: ModelFile.Source
    let path: String

    /// - Parameter waiting: called once when another process is downloading the file.
    func run(waiting: () -> Void, progress: (Int64, Int64?) -> Void) throws {
        let directory = path.directory
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw ModelFileError.cannotWrite(
                path: directory, reason: "the directory cannot be created")
        }
        let part = path + ".part"
        let lock = try openRegular(part + ".lock", O_RDWR | O_CREAT)
        defer { close(lock) }
        var operation = LOCK_EX | LOCK_NB
        while flock(lock, operation) != 0 {
            if errno == EWOULDBLOCK {
                waiting()
                operation = LOCK_EX
            } else if errno != EINTR {
                throw cannotWrite(part + ".lock")
            }
        }
        if FileManager.default.fileExists(atPath: path) { return }

        var isResumed = access(part, F_OK) == 0
        while true {
            do {
                try HTTPDownload(url: source.url, maximumBytes: Self.maximumBytes).run(to: part) {
                    progress($0.received, $0.total)
                    return true
                }
            } catch let failure as HTTPDownload.Failure {
                throw ModelFileError.download(url: source.url, reason: failure.description)
            }
            if try digest(of: part) == source.digest { break }
            unlink(part)
            // The part may have been another file's beginning.
            guard isResumed else { throw ModelFileError.wrongDigest(url: source.url) }
            isResumed = false
        }
        guard rename(part, path) == 0 else { throw cannotWrite(path) }
        unlink(part + ".lock")
    }

    /// Opens a regular file, no link and no pipe.
    private func openRegular(_ path: String, _ flags: Int32) throws -> Int32 {
        let file = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        guard file >= 0 else { throw cannotWrite(path) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw ModelFileError.cannotWrite(path: path, reason: "it is not a regular file")
        }
        return file
    }

    private func cannotWrite(_ path: String) -> ModelFileError {
        .cannotWrite(path: path, reason: String(cString: strerror(errno)))
    }

    /// SHA-256 of a file in hexadecimal, read piece by piece.
    private func digest(of path: String) throws -> String {
        let file = try openRegular(path, O_RDONLY)
        defer { close(file) }
        let hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw cannotWrite(path)
            }
            buffer.withUnsafeBytes { hash.update(.init(rebasing: $0[..<count])) }
        }
        return Hexadecimal.encode(hash.digest())
    }
}

extension String {
    /// The part before the last slash, as dirname(1) gives it.
    fileprivate var directory: String {
        guard let slash = lastIndex(of: "/") else { return "." }
        return slash == startIndex ? "/" : String(self[..<slash])
    }
}
