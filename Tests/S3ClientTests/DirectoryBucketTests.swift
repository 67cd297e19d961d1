import Bytes
import Foundation
import S3Client
import Synchronization
import Testing

@Suite final class DirectoryBucketTests {
    let parent: String
    let bucket: DirectoryBucket
    static let files = [
        "a-b", "a.txt", "a/b", "a/c/d.jpg", "a/é 1+%.jpg", "a0", "A", "b😀.png", "z/z/z", "\u{1}",
        "ÿ",
    ]

    init() throws {
        parent = try temporaryDirectory()
        try FileManager.default.createDirectory(
            atPath: parent + "/bucket", withIntermediateDirectories: true)
        for file in Self.files {
            let path = "\(parent)/bucket/\(file)"
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent,
                withIntermediateDirectories: true)
            try Data("content of \(file)".utf8).write(to: URL(filePath: path))
        }
        try Data("secret".utf8).write(to: URL(filePath: parent + "/outside"))
        bucket = try DirectoryBucket(directory: parent, bucket: "bucket")
    }

    deinit { try? FileManager.default.removeItem(atPath: parent) }

    private func keys(prefix: String = "", after start: String? = nil) throws -> [String] {
        var keys: [String] = []
        try bucket.list(prefix: prefix, after: start) { keys += $0.map(\.key) }
        return keys
    }

    private func inByteOrder(_ keys: [String]) -> [String] {
        keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    @Test func listsInByteOrder() throws {
        #expect(try keys() == inByteOrder(Self.files))
        var sizes: [String: Int64] = [:]
        try bucket.list { for object in $0 { sizes[object.key] = object.size } }
        #expect(sizes["a/b"] == 14)
    }

    @Test func prefixesAndStarts() throws {
        for prefix in ["", "a", "a/", "a/c", "a/c/d.jpg", "a/c/d.jpg/", "b", "nothing", "/", "../"]
        {
            for start in ["", "A", "a-b", "a/", "a/b", "a/c/d", "a/c/d.jpg", "a0", "zz", "\u{1}"] {
                let expected = inByteOrder(Self.files).filter {
                    $0.utf8.starts(with: prefix.utf8)
                        && start.utf8.lexicographicallyPrecedes($0.utf8)
                }
                #expect(try keys(prefix: prefix, after: start) == expected, "\(prefix) \(start)")
            }
        }
    }

    @Test func pagesOfAThousand() throws {
        for number in 0..<2_100 {
            _ = FileManager.default.createFile(
                atPath: "\(parent)/bucket/z/\(number)", contents: nil)
        }
        var pages: [Int] = []
        try bucket.list { pages.append($0.count) }
        #expect(pages == [1_000, 1_000, 100 + Self.files.count])
    }

    @Test func readsObjects() throws {
        for file in Self.files {
            let expected = Array("content of \(file)".utf8)
            #expect(try bucket.object(file, maximumBytes: expected.count) == expected)
            let error = #expect(throws: S3Error.self) {
                try bucket.object(file, maximumBytes: expected.count - 1)
            }
            #expect(error?.reason == .tooLarge)
        }
        #expect(try bucket.object("a.txt", maximumBytes: 99) { _ in false } == nil)
        let missing = #expect(throws: S3Error.self) { try bucket.object("no", maximumBytes: 9) }
        #expect(missing?.isMissingObject == true)
    }

    @Test(arguments: [
        "", "/", "..", ".", "../outside", "a/../../outside", "a//b", "/etc/passwd", "a/./b", "a/",
        "a\u{0}b", "a/..",
    ])
    func refusesKey(_ key: String) {
        for call in [
            { _ = try self.bucket.object(key, maximumBytes: 99) },
            { _ = try self.bucket.open(key) },
            { _ = try self.bucket.presignedURL(for: key) },
        ] {
            let error = #expect(throws: S3Error.self) { try call() }
            #expect(error?.reason == .key)
        }
    }

    @Test func linksDoNotLeadOut() throws {
        let files = FileManager.default
        let root = parent + "/bucket/"
        try files.createSymbolicLink(atPath: root + "out", withDestinationPath: parent + "/outside")
        try files.createSymbolicLink(atPath: root + "up", withDestinationPath: "..")
        try files.createSymbolicLink(atPath: root + "loop", withDestinationPath: "loop")
        try files.createSymbolicLink(atPath: root + "nowhere", withDestinationPath: "gone")
        try files.createSymbolicLink(atPath: root + "a/self", withDestinationPath: ".")
        try files.createSymbolicLink(atPath: root + "inside", withDestinationPath: "a/b")
        #expect(mkfifo(root + "pipe", 0o600) == 0)

        #expect(try keys() == inByteOrder(Self.files + ["inside"]))
        #expect(try bucket.object("inside", maximumBytes: 99) == Array("content of a/b".utf8))
        for key in ["out", "up/outside", "loop", "nowhere", "pipe", "a"] {
            #expect(throws: S3Error.self) { try bucket.object(key, maximumBytes: 99) }
        }
        for key in ["out", "up/outside"] {
            let error = #expect(throws: S3Error.self) { try bucket.open(key) }
            #expect(error?.reason == .key)
        }
    }

    // MARK: Escape

    /// One thread exchanges a folder with a link to the outside, as fast as it can, while others open a file in it.
    @Test func exchangedFolderNeverLeadsOut() throws {
        for (folder, text) in [("bucket/exchanged", "inside"), ("elsewhere", "OUTSIDE")] {
            try FileManager.default.createDirectory(
                atPath: "\(parent)/\(folder)", withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: "\(parent)/\(folder)/secret"))
        }
        let (one, other) = (parent + "/bucket/exchanged", parent + "/bucket/link")
        let away = parent + "/bucket/away"
        try FileManager.default.createSymbolicLink(
            atPath: other, withDestinationPath: parent + "/elsewhere")
        let isDone = Atomic(false)
        let exchanger = Thread {
            while !isDone.load(ordering: .relaxed) {
                rename(one, away)
                rename(other, one)
                rename(one, other)
                rename(away, one)
            }
            isDone.store(false, ordering: .releasing)
        }
        exchanger.start()
        let inside = Atomic(0)
        let outside = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: 2) { [bucket] _ in
            for _ in 0..<5_000 {
                for key in ["exchanged/secret", "link/secret"] {
                    switch try? bucket.object(key, maximumBytes: 99) {
                    case Array("inside".utf8): inside.add(1, ordering: .relaxed)
                    case nil: break
                    default: outside.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        isDone.store(true, ordering: .releasing)
        while isDone.load(ordering: .acquiring) { usleep(1_000) }
        #expect(outside.load(ordering: .relaxed) == 0)
        // The race took place: the file was reachable about half of the time.
        #expect(inside.load(ordering: .relaxed) > 0)
    }

    /// Inside the bucket, keys lead where the file system's own paths lead.
    @Test func opensWhatTheFileSystemOpens() throws {
        let root = parent + "/bucket/"
        #expect(symlink("a", root + "folder") == 0)
        #expect(symlink("a/b", root + "inside") == 0)
        #expect(symlink("..", root + "up") == 0)
        for key in [
            "a.txt", "a/c/d.jpg", "inside", "folder/b", "folder/c/d.jpg", "a", "a.txt/b", "no/x",
            "up/outside", String(repeating: "n", count: 300), "\u{1}",
        ] {
            let expected =
                key == "up/outside" ? nil : FileManager.default.contents(atPath: root + key)
            let bytes = try? bucket.object(key, maximumBytes: 99)
            #expect(bytes == expected.map { Array($0) }, "\(key)")
        }
    }

    /// To Swift, both spellings of é are equal; to the file system they are two folders.
    @Test func containmentComparesBytes() throws {
        let files = FileManager.default
        for spelling in ["e\u{301}", "\u{E9}"] {
            try files.createDirectory(
                atPath: "\(parent)/\(spelling)", withIntermediateDirectories: true)
        }
        let inside = try DirectoryBucket(directory: parent, bucket: "e\u{301}")
        try Data("secret".utf8).write(to: URL(filePath: "\(parent)/\u{E9}/secret"))
        #expect(symlink("../\u{E9}/secret", "\(parent)/e\u{301}/link") == 0)
        #expect(throws: S3Error.self) { try inside.object("link", maximumBytes: 99) }
        let report = try inside.list { #expect($0.isEmpty) }
        #expect(report.problems.map(\.name) == ["link"])
    }

    /// In a process of its own, which may then open nothing more.
    @Test func noFreeDescriptorIsAnErrorOfItsOwn() async {
        await #expect(processExitsWith: .success) {
            let directory = try temporaryDirectory()
            let bucket = try DirectoryBucket(directory: "/", bucket: "etc")
            let remote = try S3Bucket(
                endpoint: "http://127.0.0.1:9", bucket: "pictures",
                credentials: Credentials(accessKey: "access", secretKey: "secret"),
                retries: RetryPolicy(attempts: 1))
            try FileManager.default.removeItem(atPath: directory)
            var limit = rlimit(rlim_cur: 3, rlim_max: 3)
            #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
            for call in [
                { _ = try bucket.object("passwd", maximumBytes: 1 << 20) },
                { try bucket.list { _ in } },
                { _ = try remote.object("k", maximumBytes: 9) },
            ] {
                let error = #expect(throws: S3Error.self) { try call() }
                #expect(error?.isLocalLimit == true, "\(error?.description ?? "")")
                #expect(error?.isMissingObject == false)
            }
        }
    }

    // MARK: Incomplete listings

    /// Lists without the superuser's right to read everything.
    private func listedByNobody() throws -> (keys: [String], report: ListingReport) {
        var keys: [String] = []
        let report = try withoutPrivileges { try bucket.list { keys += $0.map(\.key) } }
        return (keys, report)
    }

    @Test func everythingListedIsComplete() throws {
        #expect(try bucket.list { _ in } == ListingReport())
        // Not there, and not hidden either.
        #expect(try bucket.list(prefix: "gone/", after: nil) { _ in } == ListingReport())
    }

    /// A folder that may be read but not entered (0744 of another user), one that may not be read, and one such as
    /// lost+found: reported, and the rest is listed.
    @Test(arguments: [0o4, 0o1, 0o0])
    func unreadableFolderIsReported(_ rights: Int) throws {
        let files = FileManager.default
        try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: parent)
        try files.createDirectory(
            atPath: parent + "/bucket/lost+found", withIntermediateDirectories: true)
        _ = files.createFile(atPath: parent + "/bucket/lost+found/b", contents: nil)
        try files.setAttributes(
            [.posixPermissions: getuid() == 0 ? 0o700 | rights << 3 | rights : rights << 6],
            ofItemAtPath: parent + "/bucket/lost+found")
        defer {
            try? files.setAttributes(
                [.posixPermissions: 0o755], ofItemAtPath: parent + "/bucket/lost+found")
        }
        let (keys, report) = try listedByNobody()
        #expect(keys == inByteOrder(Self.files))
        #expect(report.isComplete == false)
        #expect(
            report.problems.map(\.description) == ["lost+found/: Permission denied"])
        #expect(report.problems.map(\.hidesKeys) == [true])
        // Nor does a part of the listing that has nothing to do with the folder suffer from it.
        let elsewhere = try withoutPrivileges { try bucket.list(prefix: "a", after: nil) { _ in } }
        #expect(elsewhere.isComplete)
    }

    @Test func folderTooDeepIsReported() throws {
        let folder = (0..<260).map { _ in "d" }.joined(separator: "/")
        try FileManager.default.createDirectory(
            atPath: "\(parent)/bucket/\(folder)", withIntermediateDirectories: true)
        let report = try bucket.list { _ in }
        #expect(report.isComplete == false)
        #expect(report.problems.count == 1)
        #expect(report.problems.first?.reason == "it is more than 256 folders deep")
    }

    /// As an unmounted file system does it: another directory is at the path.
    @Test func replacedDirectoryIsAnErrorAndNotEmpty() throws {
        let files = FileManager.default
        try files.moveItem(atPath: parent + "/bucket", toPath: parent + "/moved")
        #expect(throws: S3Error.self) { try bucket.list { _ in } }
        let absent = #expect(throws: S3Error.self) { try bucket.object("a.txt", maximumBytes: 99) }
        #expect(absent?.isMissingObject == false)
        try files.createDirectory(atPath: parent + "/bucket", withIntermediateDirectories: true)
        let error = #expect(throws: S3Error.self) { try bucket.list { _ in } }
        #expect(error?.description.contains("was unmounted or replaced") == true)
        let missing = #expect(throws: S3Error.self) { try bucket.object("a.txt", maximumBytes: 99) }
        #expect(missing?.isMissingObject == false)
    }

    @Test func directoryThatVanishesDuringTheListingIsAnError() throws {
        for number in 0..<1_500 {
            _ = FileManager.default.createFile(
                atPath: "\(parent)/bucket/z/\(number)", contents: nil)
        }
        #expect(throws: S3Error.self) {
            try bucket.list { _ in
                rename(parent + "/bucket", parent + "/moved")
                mkdir(parent + "/bucket", 0o755)
            }
        }
    }

    @Test func linksAndNamesThatCannotBeKeysAreReported() throws {
        let root = parent + "/bucket/"
        try Data("x".utf8).write(to: URL(filePath: parent + "/bucket-outside"))
        for (link, target) in [
            ("out", parent + "/outside"), ("up", ".."), ("self", "."), ("a/parent", "../a"),
            ("nowhere", "gone"), ("loop", "loop"), ("sibling", parent + "/bucket-outside"),
        ] { #expect(symlink(target, root + link) == 0) }
        let file = (Array((root + "caf").utf8) + [0xE9, 0]).withUnsafeBytes {
            open($0.baseAddress!.assumingMemoryBound(to: CChar.self), O_CREAT | O_WRONLY, 0o600)
        }
        #expect(file >= 0)
        close(file)
        var keys: [String] = []
        let report = try bucket.list { keys += $0.map(\.key) }
        #expect(keys == inByteOrder(Self.files))
        #expect(
            Set(report.problems.map(\.description)) == [
                "out: it is a link out of the bucket, which is not followed",
                "up: it is a link out of the bucket, which is not followed",
                "sibling: it is a link out of the bucket, which is not followed",
                "self: it is a link to a folder that it lies in, which is not followed",
                "a/parent: it is a link to a folder that it lies in, which is not followed",
                "caf\u{FFFD}: its name is not UTF-8", "loop: Too many levels of symbolic links",
            ])
        #expect(report.problems.filter(\.hidesKeys).map(\.name) == ["loop"])
    }

    /// Two folders that link to each other, and a link to both.
    @Test func linksToFoldersInsideAreFollowedWithoutLoops() throws {
        let root = parent + "/linked/"
        for folder in ["b", "c", "d"] {
            try FileManager.default.createDirectory(
                atPath: root + folder, withIntermediateDirectories: true)
            try Data(folder.utf8).write(to: URL(filePath: root + folder + "/1"))
        }
        for (link, target) in [("a", "b"), ("b/to-c", "../c"), ("c/to-b", "../b"), ("c-", "d")] {
            #expect(symlink(target, root + link) == 0)
        }
        let bucket = try DirectoryBucket(directory: parent, bucket: "linked")
        let expected = ["a/1", "b/1", "b/to-c/1", "c-/1", "c/1", "c/to-b/1", "d/1"]
        var keys: [String] = []
        let report = try bucket.list { keys += $0.map(\.key) }
        #expect(keys == expected)
        let behind = "it is a link to a folder behind another such link, which is not followed"
        #expect(
            Set(report.problems.map(\.description)) == [
                "a/to-c: \(behind)", "b/to-c/to-b: \(behind)", "c/to-b/to-c: \(behind)",
            ])
        #expect(report.isComplete)
        for key in expected {
            let target = key.hasPrefix("a/") || key.hasSuffix("to-b/1") ? "b" : nil
            let text = String(decoding: try bucket.object(key, maximumBytes: 9), as: UTF8.self)
            #expect(target == nil || text == target)
            // Any part of the listing is that part of the whole.
            var rest: [String] = []
            try bucket.list(prefix: "", after: key) { rest += $0.map(\.key) }
            #expect(rest == Array(expected.drop { $0 != key }.dropFirst()))
            rest = []
            try bucket.list(prefix: String(key.prefix(2)), after: nil) { rest += $0.map(\.key) }
            #expect(rest == expected.filter { $0.hasPrefix(key.prefix(2)) })
        }
    }

    @Test func addresses() throws {
        for file in Self.files {
            let url = try #require(URL(string: try bucket.presignedURL(for: file)))
            #expect(url.isFileURL)
            #expect(try Data(contentsOf: url) == Data("content of \(file)".utf8))
            #expect(try bucket.open(file).size == "content of \(file)".utf8.count)
        }
        #expect(throws: S3Error.self) { try bucket.presignedURL(for: "a0", expiresIn: 0) }
    }

    @Test func opensThroughASettingsURL() throws {
        let odd = parent + "/with space%"
        try FileManager.default.createDirectory(
            atPath: odd + "/x", withIntermediateDirectories: true)
        let store = try openObjectStore(
            endpoint: "file://" + PercentEncoding.encode(odd, keepingSlashes: true), bucket: "x"
        ) { CredentialProvider(nil) }
        #expect(store.displayName == "x in \(odd)/x")
    }

    @Test(arguments: ["", ".", "..", "a/b", "missing", "outside"])
    func refusesBucket(_ name: String) {
        #expect(throws: S3Error.self) { try DirectoryBucket(directory: parent, bucket: name) }
    }
}
