import Glibc

extension DirectoryBucket {
    /// In the order of the keys' bytes, as S3 has it. Holds the names of one folder on each level at a time.
    ///
    /// Links to files and folders inside the bucket are followed, but only one link to a folder on the way to a key:
    /// so there are no loops, and every file is there by its own path and by each link that leads to it.
    ///
    /// Only ENOENT and ENOTDIR mean that a file or folder is gone. Any other failure is reported and hides keys. Also
    /// reported, but hiding no keys: names that are not UTF-8, and links that are not followed. Dangling links,
    /// sockets, pipes and devices are left out without a report.
    @discardableResult
    public func list(
        prefix: String, after start: String?, page: ([ObjectSummary]) throws -> Void
    ) throws -> ListingReport {
        try checkRoot()
        var walk = Walk(
            store: self, root: try openRoot(), prefix: Array(prefix.utf8),
            start: Array((start ?? "").utf8))
        try walk.folder(Folder(key: "", path: [], isLinked: false), page: page)
        if walk.found.isEmpty == false { try page(walk.found) }
        try checkRoot()
        return walk.report
    }

    private struct Folder {
        /// What its keys begin with: empty, or with a slash at the end.
        let key: String
        /// Its path below the bucket's directory, without links.
        let path: [UInt8]
        /// Whether a link leads to it.
        let isLinked: Bool
    }

    private struct Entry {
        /// With a slash at the end for a folder, which is how keys sort: `a-b` comes before `a/b`.
        let name: String
        /// Of the file, or of the target of a link.
        let status: stat
        /// A folder's path below the bucket's directory, where a link leads to it.
        var target: [UInt8]?
    }

    private struct Walk {
        let store: DirectoryBucket
        let root: Descriptor
        let prefix: [UInt8]
        let start: [UInt8]
        var found: [ObjectSummary] = []
        var report = ListingReport()

        static let maximumDepth = 256

        mutating func folder(_ folder: Folder, page: ([ObjectSummary]) throws -> Void) throws {
            for entry in try entries(of: folder) {
                let key = folder.key + entry.name
                let bytes = Array(key.utf8)
                if entry.name.hasSuffix("/") {
                    // Below it are keys that begin with `key`: is any of them wanted?
                    guard agreesWithPrefix(bytes),
                        start.starts(with: bytes) || start.lexicographicallyPrecedes(bytes)
                    else { continue }
                    guard bytes.count(where: { $0 == UInt8(ascii: "/") }) <= Self.maximumDepth
                    else {
                        report.add(
                            key, "it is more than \(Self.maximumDepth) folders deep",
                            hidesKeys: true)
                        continue
                    }
                    try self.folder(
                        Folder(
                            key: key,
                            path: entry.target ?? path(of: entry.name.dropLast(), in: folder),
                            isLinked: folder.isLinked || entry.target != nil),
                        page: page)
                } else {
                    guard bytes.starts(with: prefix), start.lexicographicallyPrecedes(bytes)
                    else { continue }
                    found.append(
                        ObjectSummary(
                            key: key, size: Int64(entry.status.st_size),
                            etag: DirectoryBucket.entityTag(entry.status)))
                    if found.count == 1_000 {
                        let full = found
                        found = []
                        try page(full)
                    }
                }
            }
        }

        private func path(of name: some StringProtocol, in folder: Folder) -> [UInt8] {
            folder.path + (folder.path.isEmpty ? "" : "/").utf8 + name.utf8
        }

        private func agreesWithPrefix(_ key: [UInt8]) -> Bool {
            zip(key, prefix).allSatisfy { $0 == $1 }
        }

        /// Files, links and folders in a folder, sorted.
        private mutating func entries(of parent: Folder) throws -> [Entry] {
            let base = parent.key
            let folder: Descriptor
            do {
                folder = try store.beneath(root, parent.path, directory: true)
            } catch {
                try note(base, error)
                return []
            }
            // closedir closes the descriptor that it was given.
            let copy = folder.use { fcntl($0, F_DUPFD_CLOEXEC, 0) }
            guard copy >= 0, let stream = fdopendir(copy) else {
                let failure = SystemFailure()
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
                    let failure = SystemFailure()
                    if failure.number != 0 { try note(base, failure) }
                    break
                }
                let bytes = withUnsafeBytes(of: &entry.pointee.d_name) {
                    Array($0.prefix { $0 != 0 })
                }
                guard bytes != Array(".".utf8), bytes != Array("..".utf8),
                    agreesWithPrefix(Array(base.utf8) + bytes)
                else { continue }
                guard let status = folder.status(of: bytes) else {
                    let failure = SystemFailure()
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
                if type == S_IFLNK {
                    if let entry = try linked(name, in: parent) { entries.append(entry) }
                } else {
                    entries.append(Entry(name: type == S_IFDIR ? name + "/" : name, status: status))
                }
            }
            return entries.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        }

        /// What a link leads to: a file or folder inside the bucket; nil for anything else.
        private mutating func linked(_ name: String, in folder: Folder) throws -> Entry? {
            let key = folder.key + name
            let path = String(decoding: self.path(of: name, in: folder), as: UTF8.self)
            guard let real = DirectoryBucket.realPath(store.root + "/" + path) else {
                try note(key, SystemFailure())
                return nil
            }
            guard let target = store.relative(real) else {
                report.add(
                    key, "it is a link out of the bucket, which is not followed", hidesKeys: false)
                return nil
            }
            guard let status = root.status(of: target.isEmpty ? Array(".".utf8) : target) else {
                try note(key, SystemFailure())
                return nil
            }
            switch status.st_mode & S_IFMT {
            case S_IFREG: return Entry(name: name, status: status)
            case S_IFDIR
            where target.isEmpty || (folder.path + "/".utf8).starts(with: target + "/".utf8):
                report.add(
                    key, "it is a link to a folder that it lies in, which is not followed",
                    hidesKeys: false)
            case S_IFDIR where folder.isLinked:
                report.add(
                    key, "it is a link to a folder behind another such link, which is not followed",
                    hidesKeys: false)
            case S_IFDIR: return Entry(name: name + "/", status: status, target: target)
            default: break
            }
            return nil
        }

        /// Records what hides keys. A file or folder that is gone hides none; without the bucket's own directory, or
        /// without descriptors or memory, there is no listing.
        private mutating func note(_ name: String, _ failure: SystemFailure) throws {
            if name.isEmpty || failure.isLocalLimit {
                throw failure.error(
                    "The directory \(quoted(store.root + "/" + name)) cannot be read")
            }
            if failure.meansGone == false { report.add(name, failure.words, hidesKeys: true) }
        }
    }
}
