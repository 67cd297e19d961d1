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
    /// Why the list cannot be written, one sentence. Nothing is added from then on.
    public private(set) var error: (any Error)?

    /// - Throws: one sentence when the file cannot be written.
    public init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
        check(descriptor >= 0)
        if let error { throw error }
    }

    deinit { close(descriptor) }

    /// Empties the list of an earlier run.
    public func begin() {
        guard !hasBegun else { return }
        hasBegun = true
        // A pipe has no length.
        check(ftruncate(descriptor, 0) == 0 || errno == EINVAL)
    }

    /// Makes sure that all lines have reached the disk.
    public func finish() {
        begin()
        check(fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS)
    }

    public func add(_ failure: IngestFailure) {
        begin()
        guard error == nil else { return }
        let members = JSON.members([
            "key": .string(failure.key), "reason": .string(failure.reason),
            "format": failure.format.map(JSON.string),
        ])
        let line = JSON.object(members).text + "\n"
        check(Console.write(line, to: descriptor))
        if error == nil { length += line.utf8.count } else { _ = ftruncate(descriptor, length) }
    }

    private func check(_ isDone: Bool) {
        guard !isDone, error == nil else { return }
        error = FileError("the list of failed pictures, \(path),")
    }
}

/// A file that a person asked for cannot be written, for the reason in `errno`.
struct FileError: Error, CustomStringConvertible {
    let description: String

    /// - Parameter file: as the beginning of a sentence.
    init(_ file: String) {
        description = "\(file) cannot be written: \(String(cString: strerror(errno)))"
    }
}
