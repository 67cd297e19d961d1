import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A directory that stands in for a bucket: its regular files are the objects, their paths below
/// it the keys.
///
/// Nothing outside of the directory can be reached: keys with empty, `.` or `..` parts are
/// refused, and so is a file that a symbolic link leads to outside. (The bucket's own directory may be a
/// link.) Listings leave out what is no object here: symbolic links to directories, links that lead outside, sockets and the
/// like, and names that are not UTF-8.
public struct DirectoryBucket: ObjectStore {
    public let bucket: String
    /// The directory's real, absolute path, without a slash at the end (empty for `/` itself).
    package let root: String

    /// Below `directory` (absolute path) the directory named `bucket`.
    public init(directory: String, bucket: String) throws {
        func refusal(_ reason: S3Error.Reason, _ text: String) -> S3Error {
            S3Error(reason, bucket: bucket, text)
        }
        guard directory.hasPrefix("/"), directory.utf8.contains(0) == false else {
            throw refusal(.setting, "The directory \(quoted(directory)) is not an absolute path.")
        }
        guard bucket.isEmpty == false, bucket != ".", bucket != "..",
            bucket.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") }) == false
        else {
            throw refusal(.setting, "The bucket name \(quoted(bucket)) cannot name a directory.")
        }
        let path = directory + "/" + bucket
        guard let real = Self.realPath(path) else {
            let number = errno
            throw refusal(
                .file(number),
                "The bucket \(quoted(bucket)) cannot be found in the directory "
                    + "\(quoted(directory)): \(Self.words(number)).")
        }
        var status = stat()
        guard stat(real, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw refusal(.file(ENOTDIR), "\(quoted(path)) is not a directory.")
        }
        self.bucket = bucket
        root = real == "/" ? "" : real
    }

    public var displayName: String { "\(bucket) in \(root.isEmpty ? "/" : root)" }

    // MARK: Listing

    /// In the order of the keys' bytes, as S3 has it. Holds the names of one directory on each
    /// level at a time.
    public func list(
        prefix: String, after start: String?, page: ([ObjectSummary]) throws -> Void
    ) throws {
        var walk = Walk(
            root: root, bucket: bucket, prefix: Array(prefix.utf8), start: Array((start ?? "").utf8)
        )
        try walk.directory("", depth: 0, page: page)
        if walk.found.isEmpty == false { try page(walk.found) }
    }

    private struct Walk {
        let root: String
        let bucket: String
        let prefix: [UInt8]
        let start: [UInt8]
        var found: [ObjectSummary] = []

        /// Lists the directory whose keys begin with `base`, which is empty or ends with a slash.
        mutating func directory(
            _ base: String, depth: Int, page: ([ObjectSummary]) throws -> Void
        ) throws {
            guard depth < 256 else { return }
            for name in try entries(of: base) {
                let key = base + name
                if name.hasSuffix("/") {
                    // Below it are keys that begin with `key`: are any of them asked for?
                    let bytes = Array(key.utf8)
                    let common = min(bytes.count, prefix.count)
                    guard bytes.prefix(common) == prefix.prefix(common) else { continue }
                    guard start.starts(with: bytes) || start.lexicographicallyPrecedes(bytes)
                    else { continue }
                    try directory(key, depth: depth + 1, page: page)
                } else {
                    guard key.utf8.starts(with: prefix),
                        start.isEmpty || start.lexicographicallyPrecedes(key.utf8),
                        let status = DirectoryBucket.status(
                            ofFileAt: root + "/" + key, below: root)
                    else { continue }
                    found.append(
                        ObjectSummary(
                            key: key, size: Int64(status.st_size),
                            etag: DirectoryBucket.entityTag(status)))
                    if found.count == 1_000 {
                        let full = found
                        found = []
                        try page(full)
                    }
                }
            }
        }

        /// Names in the directory, those of directories with a slash at the end, which is how
        /// keys are in order: `a-b` comes before `a/b`.
        private func entries(of base: String) throws -> [String] {
            let path = "\(root)/\(base)"
            guard let stream = opendir(path) else {
                let number = errno
                // One that went away since it was found is not an error.
                if number == ENOENT, base.isEmpty == false { return [] }
                throw S3Error(
                    .file(number), bucket: bucket,
                    "The directory \(quoted(path)) cannot be read: \(DirectoryBucket.words(number))."
                )
            }
            defer { closedir(stream) }
            var names: [String] = []
            while true {
                errno = 0
                guard let entry = readdir(stream) else {
                    let number = errno
                    guard number == 0 else {
                        throw S3Error(
                            .file(number), bucket: bucket,
                            "The directory \(quoted(path)) cannot be read: "
                                + "\(DirectoryBucket.words(number)).")
                    }
                    break
                }
                let bytes = withUnsafeBytes(of: &entry.pointee.d_name) {
                    Array($0.prefix { $0 != 0 })
                }
                guard let name = String(validating: bytes, as: UTF8.self), name != ".",
                    name != ".."
                else { continue }
                var status = stat()
                guard lstat(path + name, &status) == 0 else { continue }
                switch status.st_mode & S_IFMT {
                case S_IFDIR: names.append(name + "/")
                case S_IFREG, S_IFLNK: names.append(name)
                default: break
                }
            }
            return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    // MARK: Objects

    /// Where the object's file really is, symbolic links resolved: never outside of the bucket's
    /// directory. For a server that hands out the pictures itself.
    public func path(for key: String) throws -> String {
        try check(key)
        guard let real = Self.realPath(root + "/" + key) else {
            let number = errno
            throw failure(number, key)
        }
        guard real.hasPrefix(root + "/") else {
            throw S3Error(
                .key, bucket: bucket, key: key,
                "The object \(quoted(key)) is a link out of \(quoted(root)), which is not followed."
            )
        }
        return real
    }

    public func object(
        _ key: String, maximumBytes: Int, accept: ((UnsafeRawBufferPointer) -> Bool)?
    ) throws -> [UInt8]? {
        let path = try path(for: key)
        // The path is real, so a link at its end was put there since; and a pipe must not block.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { throw failure(errno, key) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure(errno, key) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw failure(EISDIR, key) }

        func tooLarge() -> S3Error {
            S3Error(
                .tooLarge, bucket: bucket, key: key,
                "The object \(quoted(key)) has more than \(maximumBytes) bytes.")
        }
        guard status.st_size <= maximumBytes else { throw tooLarge() }
        var collector = BodyCollector(maximumBytes: maximumBytes, accept: accept)
        var head = HTTPHead()
        head.status = 200
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = read(file, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(errno, key) }
            if count == 0 { break }
            guard collector.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]), head: head)
            else { break }
        }
        collector.finish()
        switch collector.verdict {
        case .good: return collector.bytes
        case .refused: return nil
        case .tooLarge: throw tooLarge()
        }
    }

    /// A `file://` URL. It needs no signature and never ends; `seconds` is checked all the same.
    public func presignedURL(for key: String, expiresIn seconds: Int, at now: Date) throws -> String
    {
        try check(key)
        try checkPresignedLife(seconds, key: key, bucket: bucket)
        return "file://" + PercentEncoding.encode(root + "/" + key, keepingSlashes: true)
    }

    // MARK: Checks

    private func check(_ key: String) throws {
        let parts = key.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let harmless = parts.allSatisfy {
            $0.isEmpty == false && $0.elementsEqual(".".utf8) == false
                && $0.elementsEqual("..".utf8) == false && $0.contains(0) == false
        }
        guard harmless else {
            throw S3Error(
                .key, bucket: bucket, key: key,
                "The key \(quoted(key)) cannot be a file's path below \(quoted(root)).")
        }
    }

    private func failure(_ number: Int32, _ key: String) -> S3Error {
        S3Error(
            .file(number), bucket: bucket, key: key,
            "The object \(quoted(key)) in \(quoted(root)) cannot be read: \(Self.words(number)).")
    }

    /// What stands for an object's entity tag: when the file was last written to, in nanoseconds, and
    /// its size, as `make` and `rsync` tell changed files.
    private static func entityTag(_ status: stat) -> String {
        "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)-\(status.st_size)"
    }

    /// A regular file, also at the end of a symbolic link that stays below `root`.
    private static func status(ofFileAt path: String, below root: String) -> stat? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        if status.st_mode & S_IFMT == S_IFLNK {
            guard let real = realPath(path), real.hasPrefix(root + "/"), stat(real, &status) == 0
            else { return nil }
        }
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        return status
    }

    private static func realPath(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(validatingCString: real)
    }

    static func words(_ number: Int32) -> String { String(cString: strerror(number)) }
}
