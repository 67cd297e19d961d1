import Glibc

/// A file mapped read-only into memory, so that only the pages that are looked at are read.
///
/// The mapping is private and lives as long as this object. A file that another process shortens
/// while it is mapped cannot be guarded against from here; model files are moved into place whole.
package final class MappedFile: Sendable {
    package let path: String
    /// The whole file.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    private nonisolated(unsafe) let base: UnsafeMutableRawPointer?
    private let count: Int

    /// - Throws: ``CheckpointError`` when the file cannot be opened, is not a regular file or is empty.
    package init(path: String) throws(CheckpointError) {
        self.path = path
        func failure(_ what: String) -> CheckpointError {
            CheckpointError(file: path, fault: "\(what): \(String(cString: strerror(errno)))")
        }
        // O_NONBLOCK: a path that names a pipe must give an error, not wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("cannot open the model file") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("cannot read the model file") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(file: path, fault: "is not a regular file, so not a model file")
        }
        guard status.st_size > 0 else {
            throw CheckpointError(file: path, fault: "is empty, so not a model file")
        }
        count = Int(status.st_size)
        let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard address != MAP_FAILED else { throw failure("cannot map the model file") }
        base = address
    }

    deinit {
        munmap(base, count)
    }
}
