import Glibc

/// A file mapped read-only into memory, so that only the pages that are looked at are read.
///
/// Another process may overwrite or shorten the file later (`cp new old`): looking at a page that is gone
/// ends the process with SIGBUS, and a page that was replaced gives wrong numbers. So what is read once is
/// read with ``read(_:)``, which notices, and a process that runs for long takes what it looks at again
/// and again into memory of its own with ``detach(_:)``. A file that is moved into place (`mv new old`)
/// changes nothing here.
package final class MappedFile: Sendable {
    package let path: String
    /// The whole file.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    private nonisolated(unsafe) let base: UnsafeMutableRawPointer?
    private let count: Int
    private let descriptor: Int32
    private let modified: timespec

    /// - Throws: ``CheckpointError`` when the file cannot be opened, is not a regular file or is empty.
    package init(path: String) throws(CheckpointError) {
        self.path = path
        func failure(_ what: String) -> CheckpointError {
            CheckpointError(file: path, fault: "\(what): \(String(cString: strerror(errno)))")
        }
        // O_NONBLOCK: a path that names a pipe must give an error, not wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("cannot open the model file") }
        var isOpened = false
        defer { if !isOpened { close(descriptor) } }
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
        modified = status.st_mtim
        self.descriptor = descriptor
        isOpened = true
    }

    deinit {
        munmap(base, count)
        close(descriptor)
    }

    /// Calls `body` with a copy of a part of the file, which the file still holds.
    /// - Throws: ``CheckpointError`` when the file has changed since it was opened.
    func read(
        _ range: Range<Int>, _ body: (UnsafeRawPointer) -> Void
    ) throws(CheckpointError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 64)
        defer { copy.deallocate() }
        try fill(copy, from: range.lowerBound)
        body(copy.baseAddress!)
    }

    /// Replaces a part of the mapping by memory of this process: pointers into ``bytes`` stay valid, whatever happens
    /// to the file. Other threads must not read that part, or the pages at its ends, during the call.
    /// - Throws: ``CheckpointError`` when the file has changed since it was opened.
    func detach(_ range: Range<Int>) throws(CheckpointError) {
        let page = Int(getpagesize())
        let start = range.lowerBound / page * page
        let copy = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min((range.upperBound + page - 1) / page * page, count) - start,
            alignment: page)
        defer { copy.deallocate() }
        try fill(copy, from: start)
        let address = mmap(
            base! + start, copy.count, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
        guard address == base! + start else {
            throw CheckpointError(file: path, fault: "needs more memory than there is")
        }
        address!.copyMemory(from: copy.baseAddress!, byteCount: copy.count)
        mprotect(address, copy.count, PROT_READ)
    }

    private func fill(
        _ buffer: UnsafeMutableRawBufferPointer, from offset: Int
    ) throws(CheckpointError) {
        var filled = 0
        while filled < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress! + filled, buffer.count - filled, offset + filled)
            if count < 0 && errno == EINTR { continue }
            if count < 0 {
                throw CheckpointError(
                    file: path, fault: "cannot be read: \(String(cString: strerror(errno)))")
            }
            guard count > 0 else { throw changed() }
            filled += count
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == count,
            status.st_mtim.tv_sec == modified.tv_sec, status.st_mtim.tv_nsec == modified.tv_nsec
        else { throw changed() }
    }

    private func changed() -> CheckpointError {
        CheckpointError(
            file: path,
            fault:
                "was overwritten after it was opened; start again, and replace model files with mv, not cp"
        )
    }
}
