import Bytes
import FoundationEssentials
import Glibc

/// A directory that stands in for a bucket: its regular files are the objects, their paths below it the keys.
///
/// Nothing outside of the directory is reachable: keys with empty, `.` or `..` components are refused, and so are
/// links that lead out, even if they replace a folder while a file is being opened. Links inside are followed.
public struct DirectoryBucket: ObjectStore {
    public let bucket: String
    /// The directory's real, absolute path, without a slash at the end (empty for `/` itself).
    package let root: String
    /// Of the directory when it was opened.
    private let status: stat

    /// Below `directory` (absolute path) the directory named `bucket`. Throws `S3Error`.
    public init(directory: String, bucket: String) throws {
        guard directory.hasPrefix("/"), directory.utf8.contains(0) == false else {
            throw S3Error(.setting, "The directory \(quoted(directory)) is not an absolute path.")
        }
        guard bucket.isEmpty == false, bucket != ".", bucket != "..",
            bucket.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") }) == false
        else {
            throw S3Error(.setting, "The bucket name \(quoted(bucket)) cannot name a directory.")
        }
        let path = directory + "/" + bucket
        guard let real = Self.realPath(path) else {
            throw SystemFailure().error(
                "The bucket \(quoted(bucket)) cannot be found in the directory \(quoted(directory))"
            )
        }
        var status = stat()
        guard withCString(real, { stat($0, &status) }) == 0, status.st_mode & S_IFMT == S_IFDIR
        else {
            throw S3Error(.file(ENOTDIR), "\(quoted(path)) is not a directory.")
        }
        guard let root = String(validating: real, as: UTF8.self) else {
            throw S3Error(.setting, "The path of the directory \(quoted(path)) is not UTF-8.")
        }
        self.bucket = bucket
        self.root = root == "/" ? "" : root
        self.status = status
    }

    public var displayName: String { "\(bucket) in \(shownRoot)" }

    var shownRoot: String { root.isEmpty ? "/" : root }

    // MARK: The bucket's own directory

    /// The bucket's directory, for calls relative to it, which needs no right to read it. Throws where it is gone: never
    /// mistaken for a missing object.
    func openRoot() throws -> Descriptor {
        let number = Glibc.open(shownRoot, openPath | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else {
            throw SystemFailure().error(
                "The bucket's directory \(quoted(shownRoot)) cannot be opened")
        }
        return Descriptor(number)
    }

    /// Throws if the path no longer leads to the directory that was opened, as when its file system was unmounted: its
    /// files are then out of reach, not deleted.
    func checkRoot() throws {
        var now = stat()
        guard try openRoot().use({ fstat($0, &now) }) == 0, now.st_dev == status.st_dev,
            now.st_ino == status.st_ino
        else {
            throw S3Error(
                .file(ESTALE),
                "The bucket's directory \(quoted(shownRoot)) was unmounted or replaced after it was "
                    + "opened: check it and start again.")
        }
    }

    // MARK: Objects

    /// Opens the object's file for reading. Throws `S3Error`.
    public func open(_ key: String) throws -> OpenedFile {
        try check(key)
        let root = try openRoot()
        var path = Array(key.utf8)
        // Another process may be swapping folders and links: after a few rounds, that is an error.
        for _ in 0..<8 {
            do {
                let opened = try OpenedFile(beneath(root, path), key: key)
                guard opened.isRegular else {
                    throw S3Error(
                        .notAFile, key: key,
                        "The object \(quoted(key)) in \(quoted(shownRoot)) is not a regular file.")
                }
                return opened
            } catch let failure as SystemFailure {
                guard failure.number == ELOOP else { throw try self.failure(failure, key) }
                path = try resolved(key)
            }
        }
        throw try failure(SystemFailure(ELOOP), key)
    }

    /// Opens `path`, relative to the directory `root`, for reading, following no link and never leaving `root`: one
    /// openat(2) for each component. A path of no bytes is `root` itself. Never blocks on a pipe.
    func beneath(
        _ root: Descriptor, _ path: [UInt8], directory: Bool = false
    ) throws(SystemFailure) -> Descriptor {
        var opened = root
        let names = path.isEmpty ? [Array(".".utf8)[...]] : path.split(separator: UInt8(ascii: "/"))
        for (index, name) in names.enumerated() {
            let isLast = index == names.count - 1
            let flags = isLast ? O_RDONLY | O_NONBLOCK | O_NOCTTY : openPath | O_DIRECTORY
            let number = withCString(Array(name)) { name in
                opened.use {
                    openat(
                        $0, name,
                        flags | O_CLOEXEC | O_NOFOLLOW | (directory ? O_DIRECTORY : 0))
                }
            }
            guard number >= 0 else {
                let failure = SystemFailure()
                // With O_DIRECTORY a link is reported as ENOTDIR, which would mean "gone".
                guard failure.number == ENOTDIR, let status = opened.status(of: Array(name)),
                    status.st_mode & S_IFMT == S_IFLNK
                else { throw failure }
                throw SystemFailure(ELOOP)
            }
            opened = Descriptor(number)
        }
        return opened
    }

    /// The real path of the object's file relative to the bucket's directory, all links followed.
    private func resolved(_ key: String) throws -> [UInt8] {
        guard let real = Self.realPath(root + "/" + key) else {
            throw try failure(SystemFailure(), key)
        }
        guard let path = relative(real) else {
            throw S3Error(
                .key, key: key,
                "The object \(quoted(key)) is a link out of \(quoted(shownRoot)), which is not followed."
            )
        }
        return path
    }

    /// What follows the bucket's directory in a real path, byte by byte; empty for that itself, nil for a path outside.
    func relative(_ real: [UInt8]) -> [UInt8]? {
        (real + "/".utf8).starts(with: (root + "/").utf8)
            ? Array(real.dropFirst(root.utf8.count + 1)) : nil
    }

    public func object(
        _ key: String, maximumBytes: Int, accept: ((UnsafeRawBufferPointer) -> Bool)?
    ) throws -> [UInt8]? {
        let file = try open(key)
        guard file.size <= maximumBytes else {
            throw S3Error(
                .tooLarge, key: key,
                "The object \(quoted(key)) has more than \(maximumBytes) bytes.")
        }
        if let accept {
            let beginning = try file.read(at: 0, count: BodyCollector.beginning)
            guard beginning.withUnsafeBytes(accept) else { return nil }
        }
        return try file.read(at: 0, count: file.size)
    }

    /// A `file://` URL. It needs no signature and never expires; `seconds` is checked all the same.
    public func presignedURL(for key: String, expiresIn seconds: Int, at now: Date) throws -> String
    {
        try check(key)
        try checkPresignedLife(seconds, key: key)
        return "file://" + PercentEncoding.encode(root + "/" + key, keepingSlashes: true)
    }

    /// Throws where `key` cannot be a file's path below the bucket's directory.
    package func check(_ key: String) throws {
        let components = key.utf8.split(
            separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let areSafe = components.allSatisfy {
            $0.isEmpty == false && $0.elementsEqual(".".utf8) == false
                && $0.elementsEqual("..".utf8) == false && $0.contains(0) == false
        }
        guard areSafe else {
            throw S3Error(
                .key, key: key,
                "The key \(quoted(key)) cannot be a file's path below \(quoted(shownRoot)).")
        }
    }

    /// The error for an object that cannot be read. Throws one about the bucket where that is gone.
    private func failure(_ failure: SystemFailure, _ key: String) throws -> S3Error {
        if failure.meansGone { try checkRoot() }
        return failure.error(
            "The object \(quoted(key)) in \(quoted(shownRoot)) cannot be read", key: key)
    }

    // MARK: System calls

    /// An object's entity tag: modification time in nanoseconds and size, by which `make` and `rsync` recognise changes.
    static func entityTag(_ status: stat) -> String {
        "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)-\(status.st_size)"
    }

    /// The path without symbolic links, as bytes; nil with `errno` set.
    static func realPath(_ path: String) -> [UInt8]? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return Array(UnsafeRawBufferPointer(start: real, count: strlen(real)))
    }
}

/// O_PATH of Linux's asm-generic/fcntl.h, which Swift's Glibc lacks: a descriptor to start other calls from, without a
/// right to read.
private let openPath: Int32 = 0o10_000_000

/// `bytes` as a C string: file names need not be UTF-8.
func withCString<Value>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Value) -> Value {
    (bytes + [0]).withUnsafeBytes {
        body($0.baseAddress!.assumingMemoryBound(to: CChar.self))
    }
}

/// An `errno`.
struct SystemFailure: Error {
    let number: Int32

    init(_ number: Int32 = errno) { self.number = number }

    /// The file is not there. Every other number leaves that open.
    var meansGone: Bool { number == ENOENT || number == ENOTDIR }
    /// A limit of this process or machine; says nothing about the file.
    var isLocalLimit: Bool { number == EMFILE || number == ENFILE || number == ENOMEM }
    var words: String { String(cString: strerror(number)) }

    /// - Parameter sentence: what failed, without the reason.
    func error(_ sentence: String, key: String? = nil) -> S3Error {
        S3Error(.file(number), key: key, "\(sentence): \(words).")
    }
}

/// A file descriptor that is closed with its last reference.
final class Descriptor: Sendable {
    private let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }

    /// The only access to the number, so that it is not closed while a call uses it.
    func use<Value>(_ body: (Int32) throws -> Value) rethrows -> Value {
        try withExtendedLifetime(self) { try body(number) }
    }

    /// Of the file, folder or link (itself) at `path`, relative to this folder; nil with `errno` set.
    func status(of path: [UInt8]) -> stat? {
        var status = stat()
        let code = withCString(path) { fstatat(number, $0, &status, AT_SYMLINK_NOFOLLOW) }
        return code == 0 ? status : nil
    }
}

/// An open file of a directory that stands in for a bucket. Reading blocks the calling thread.
public final class OpenedFile: Sendable {
    /// In bytes, when the file was opened.
    public let size: Int
    public let inode: UInt64
    /// Seconds since 1970 and nanoseconds.
    public let modified: (seconds: Int, nanoseconds: Int)
    let isRegular: Bool
    private let key: String
    private let descriptor: Descriptor

    init(_ descriptor: Descriptor, key: String) throws {
        var status = stat()
        guard descriptor.use({ fstat($0, &status) }) == 0 else {
            throw SystemFailure().error("The file \(quoted(key)) cannot be read", key: key)
        }
        self.descriptor = descriptor
        self.key = key
        size = Int(status.st_size)
        inode = UInt64(status.st_ino)
        modified = (Int(status.st_mtim.tv_sec), Int(status.st_mtim.tv_nsec))
        isRegular = status.st_mode & S_IFMT == S_IFREG
    }

    /// Up to `count` bytes from `offset`; fewer only at the end of the file.
    /// - Throws: `S3Error` with the system's reason.
    public func read(at offset: Int, count: Int) throws -> [UInt8] {
        var failure: SystemFailure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = descriptor.use {
                    pread($0, buffer.baseAddress! + filled, count - filled, offset + filled)
                }
                if got > 0 {
                    filled += got
                } else if got == 0 {
                    break
                } else if errno != EINTR {
                    failure = SystemFailure()
                    break
                }
            }
        }
        if let failure {
            throw failure.error("The file \(quoted(key)) cannot be read", key: key)
        }
        return bytes
    }
}
