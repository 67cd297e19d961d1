import Glibc
import ImageSearch

/// A file with one JSON object per line for each picture that failed: `key`, `reason` and, where its first
/// bytes show it, `format`.
///
/// An interrupted run, or a full disk, leaves whole lines. An earlier run's list stays until this run has
/// begun.
public final class FailureLog {
    private let descriptor: Int32
    private let path: String
    private var hasBegun = false
    /// Bytes of whole lines.
    private var length = 0

    /// - Throws: one sentence when the file cannot be written.
    public init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw error() }
    }

    deinit { close(descriptor) }

    /// Empties the list of an earlier run.
    public func begin() throws {
        guard !hasBegun else { return }
        hasBegun = true
        // A pipe has no length.
        guard ftruncate(descriptor, 0) == 0 || errno == EINVAL else { throw error() }
    }

    /// Makes sure that all lines have reached the disk.
    public func finish() throws {
        try begin()
        guard fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS else { throw error() }
    }

    private func error() -> FileError {
        FileError(file: "the list of failed pictures, \(path),", number: errno)
    }

    /// - Throws: one sentence when the line cannot be written; the file then ends with the previous line.
    public func add(_ failure: IngestFailure) throws {
        try begin()
        var members = [("key", JSON.string(failure.key)), ("reason", .string(failure.reason))]
        if let format = failure.format { members.append(("format", .string(format))) }
        let line = JSON.object(members).text + "\n"
        var bytes = Array(line.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let error = error()
                _ = ftruncate(descriptor, length)
                throw error
            }
            bytes = bytes.dropFirst(count)
        }
        length += line.utf8.count
    }
}

/// A file that a person asked for cannot be written.
struct FileError: Error, CustomStringConvertible {
    /// As the beginning of a sentence.
    let file: String
    /// `errno`.
    let number: Int32

    var description: String {
        "\(file) cannot be written: \(String(cString: strerror(number)))"
    }
}
