import Glibc

extension DirectoryBucket {
    /// In the order of the keys' bytes, as S3 has it. Holds the names of one folder on each level at a time.
    ///
    /// Only ENOENT and ENOTDIR mean that a file or folder is gone. Any other failure is reported and hides keys; the
    /// listing goes on. Also reported, but hiding no keys: names that are not UTF-8 (no key can be), links to folders
    /// and links out of the bucket (their targets are not objects). Dangling links, sockets, pipes and devices are
    /// left out without a report.
    @discardableResult
    public func list(
        prefix: String, after start: String?, page: ([ObjectSummary]) throws -> Void
    ) throws -> ListingReport {
        try checkRoot()
        var walk = Walk(
            store: self, root: try openRoot(), prefix: Array(prefix.utf8),
            start: Array((start ?? "").utf8))
        try walk.folder("", depth: 0, page: page)
        if walk.found.isEmpty == false { try page(walk.found) }
        try checkRoot()
        return walk.report
    }

    private struct Entry {
        /// With a slash at the end for a folder, which is how keys sort: `a-b` comes before `a/b`.
        let name: String
        let status: stat
    }

    private struct Walk {
        let store: DirectoryBucket
        let root: Descriptor
        let prefix: [UInt8]
        let start: [UInt8]
        var found: [ObjectSummary] = []
        var report = ListingReport()

        private static let maximumDepth = 256

        init(store: DirectoryBucket, root: Descriptor, prefix: [UInt8], start: [UInt8]) {
            self.store = store
            self.root = root
            self.prefix = prefix
            self.start = start
        }

        /// Lists the folder whose keys begin with `base`, which is empty or ends with a slash.
        mutating func folder(
            _ base: String, depth: Int, page: ([ObjectSummary]) throws -> Void
        ) throws {
            for entry in try entries(of: base) {
                let key = base + entry.name
                let bytes = Array(key.utf8)
                if entry.name.hasSuffix("/") {
                    // Below it are keys that begin with `key`: is any of them wanted?
                    guard agreesWithPrefix(bytes),
                        start.starts(with: bytes) || start.lexicographicallyPrecedes(bytes)
                    else { continue }
                    guard depth < Self.maximumDepth else {
                        report.add(
                            key, "it is more than \(Self.maximumDepth) folders deep",
                            hidesKeys: true)
                        continue
                    }
                    try folder(key, depth: depth + 1, page: page)
                } else {
                    guard bytes.starts(with: prefix),
                        start.isEmpty || start.lexicographicallyPrecedes(bytes),
                        let status = try file(key, entry.status)
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

        private func agreesWithPrefix(_ key: [UInt8]) -> Bool {
            zip(key, prefix).allSatisfy { $0 == $1 }
        }

        /// Files, links and folders in a folder, sorted.
        private mutating func entries(of base: String) throws -> [Entry] {
            let folder: Descriptor
            switch store.beneath(root, Array(base.utf8.dropLast()), directory: true) {
            case .success(let opened): folder = opened
            case .failure(let failure):
                try note(base, failure)
                return []
            }
            // closedir closes the descriptor that it was given.
            let copy = folder.use { fcntl($0, F_DUPFD_CLOEXEC, 0) }
            guard copy >= 0, let stream = fdopendir(copy) else {
                let failure = SystemFailure(number: errno)
                if copy >= 0 { close(copy) }
                try note(base, failure)
                return []
            }
            defer { closedir(stream) }
            var entries: [Entry] = []
            // A folder that may be read but not entered fails for every name alike.
            var noted: Set<Int32> = []
            while true {
                errno = 0
                guard let entry = readdir(stream) else {
                    let failure = SystemFailure(number: errno)
                    if failure.number != 0 { try note(base, failure) }
                    break
                }
                let bytes = withUnsafeBytes(of: &entry.pointee.d_name) {
                    Array($0.prefix { $0 != 0 })
                }
                guard bytes != Array(".".utf8), bytes != Array("..".utf8),
                    agreesWithPrefix(Array(base.utf8) + bytes)
                else { continue }
                var status = stat()
                let code = withCString(bytes) { name in
                    folder.use { fstatat($0, name, &status, AT_SYMLINK_NOFOLLOW) }
                }
                guard code == 0 else {
                    let failure = SystemFailure(number: errno)
                    if noted.insert(failure.number).inserted { try note(base, failure) }
                    continue
                }
                let type = status.st_mode & S_IFMT
                guard type == S_IFREG || type == S_IFLNK || type == S_IFDIR else { continue }
                guard let name = String(validating: bytes, as: UTF8.self) else {
                    report.add(
                        base + String(decoding: bytes, as: UTF8.self), "its name is not UTF-8",
                        hidesKeys: false)
                    continue
                }
                entries.append(Entry(name: type == S_IFDIR ? name + "/" : name, status: status))
            }
            return entries.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        }

        /// The status of a regular file, also at the end of a link that stays inside; nil for anything else.
        private mutating func file(_ key: String, _ status: stat) throws -> stat? {
            guard status.st_mode & S_IFMT == S_IFLNK else { return status }
            guard let real = DirectoryBucket.realPath(store.root + "/" + key) else {
                try note(key, SystemFailure(number: errno))
                return nil
            }
            guard let path = store.relative(real) else {
                report.add(
                    key, "it is a link out of the bucket, which is not followed", hidesKeys: false)
                return nil
            }
            var target = stat()
            let code = withCString(path) { path in
                root.use { fstatat($0, path, &target, AT_SYMLINK_NOFOLLOW) }
            }
            guard code == 0 else {
                try note(key, SystemFailure(number: errno))
                return nil
            }
            switch target.st_mode & S_IFMT {
            case S_IFREG: return target
            case S_IFDIR:
                report.add(
                    key, "it is a link to a folder, which is not followed", hidesKeys: false)
            default: break
            }
            return nil
        }

        /// Records what hides keys. A file or folder that is gone hides none; without the bucket's own directory, or
        /// without descriptors or memory, there is no listing.
        private mutating func note(_ name: String, _ failure: SystemFailure) throws {
            if name.isEmpty || failure.isLocalLimit {
                throw S3Error(
                    .file(failure.number), bucket: store.bucket,
                    "The directory \(quoted(store.root + "/" + name)) cannot be read: "
                        + "\(failure.words).")
            }
            if failure.meansGone == false { report.add(name, failure.words, hidesKeys: true) }
        }
    }
}
