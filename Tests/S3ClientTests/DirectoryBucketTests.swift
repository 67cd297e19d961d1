import Foundation
import S3Client
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
            { _ = try self.bucket.path(for: key) },
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
            let error = #expect(throws: S3Error.self) { try bucket.path(for: key) }
            #expect(error?.reason == .key)
        }
    }

    @Test func addresses() throws {
        for file in Self.files {
            let url = try #require(URL(string: try bucket.presignedURL(for: file)))
            #expect(url.isFileURL)
            #expect(try Data(contentsOf: url) == Data("content of \(file)".utf8))
            #expect(try bucket.path(for: file) == "\(parent)/bucket/\(file)")
        }
        #expect(throws: S3Error.self) { try bucket.presignedURL(for: "a0", expiresIn: 0) }
    }

    @Test func opensThroughASettingsURL() throws {
        let odd = parent + "/with space%"
        try FileManager.default.createDirectory(
            atPath: odd + "/x", withIntermediateDirectories: true)
        let store = try openObjectStore(
            ObjectStoreSettings(
                endpoint: "file://" + PercentEncoding.encode(odd, keepingSlashes: true),
                bucket: "x", accessKey: "", secretKey: ""))
        #expect(store.displayName == "x in \(odd)/x")
    }

    @Test(arguments: ["", ".", "..", "a/b", "missing", "outside"])
    func refusesBucket(_ name: String) {
        #expect(throws: S3Error.self) { try DirectoryBucket(directory: parent, bucket: name) }
    }
}
