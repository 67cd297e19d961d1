import Crypto
import S3Client

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Downloads a model file so that its final path never holds anything but the right file.
///
/// Bytes gather in `NAME.part`, which a later run goes on with; when its SHA-256 is right it is moved
/// into place. A lock on the part keeps two processes from writing it at once: the second waits and
/// then finds the file in place.
struct ModelDownload {
    /// OpenAI's largest CLIP takes 1.7 GB.
    private static let maximumBytes: Int64 = 8 << 30

    let source: ModelFile.Source
    let path: String

    func run(progress: (Int64, Int64?) -> Void) throws {
        let directory = path.directory
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw ModelFileError.cannotWrite(
                path: directory, reason: "the directory cannot be made")
        }
        let part = path + ".part"
        let lock = open(part + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else { throw cannotWrite(part + ".lock") }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard errno == EINTR else { throw cannotWrite(part + ".lock") }
        }
        if FileManager.default.fileExists(atPath: path) { return }

        do {
            try HTTPDownload(url: source.url, maximumBytes: Self.maximumBytes).run(to: part) {
                progress($0.received, $0.total)
                return true
            }
        } catch let failure as HTTPDownload.Failure {
            throw ModelFileError.download(url: source.url, reason: failure.description)
        }
        guard try digest(of: part) == source.digest else {
            unlink(part)
            throw ModelFileError.wrongDigest(url: source.url)
        }
        guard rename(part, path) == 0 else { throw cannotWrite(path) }
        unlink(part + ".lock")
    }

    private func cannotWrite(_ path: String) -> ModelFileError {
        .cannotWrite(path: path, reason: String(cString: strerror(errno)))
    }

    /// SHA-256 of a file in hexadecimal, read piece by piece.
    private func digest(of path: String) throws -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw cannotWrite(path) }
        defer { close(file) }
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw cannotWrite(path)
            }
            buffer.withUnsafeBytes { hash.update(bufferPointer: .init(rebasing: $0[..<count])) }
        }
        return hash.finalize().map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}

extension String {
    /// The part before the last slash, as dirname(1) gives it.
    fileprivate var directory: String {
        guard let slash = lastIndex(of: "/") else { return "." }
        return slash == startIndex ? "/" : String(self[..<slash])
    }
}
