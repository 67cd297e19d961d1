import Foundation
import Glibc
import Hummingbird
import ImageSearch
import Logging
import SearchSite
import Testing

@Suite struct PictureTests {
    static let jpeg: [UInt8] = [0xFF, 0xD8, 0xFF, 0xE0] + [UInt8](repeating: 7, count: 60)

    /// A site over a folder. As the real search does, it refuses keys that lead out of the folder.
    static func site(_ folder: TemporaryFolder) -> (SearchSite, FakeSearch) {
        let search = FakeSearch { key in
            let parts = key.split(separator: "/", omittingEmptySubsequences: false)
            guard !parts.contains(".."), !key.hasPrefix("/") else { throw FakeSearch.Failure() }
            return FakeSearch.file(folder.path, key)
        }
        return (SearchSite(search: search), search)
    }

    @Test(arguments: [
        ("image/jpeg", jpeg), ("image/gif", Array("GIF89a......".utf8)),
        ("image/gif", Array("GIF87a......".utf8)),
        ("image/webp", Array("RIFF\0\0\0\0WEBPVP8 ".utf8)),
        ("image/png", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13]),
        (
            "image/bmp", Array("BM".utf8) + [UInt8](repeating: 0, count: 12) + [40, 0, 0, 0]
        ), ("image/tiff", [0x49, 0x49, 42, 0, 8, 0, 0, 0]),
        ("image/tiff", [0x4D, 0x4D, 0, 42, 0, 0, 0, 8]),
    ])
    func contentTellsTheType(type: String, bytes: [UInt8]) async throws {
        let folder = try TemporaryFolder()
        try folder.write(bytes, to: "page.html")
        let answer = try await Self.site(folder).0.ask("/pictures/page.html")
        #expect(answer.status == 200)
        #expect(answer.header("Content-Type") == type)
        #expect(answer.body == bytes)
    }

    @Test(arguments: [
        "", "<svg xmlns='http://www.w3.org/2000/svg'/>", "<!doctype html>", "%PDF-1.7",
        "root:x:0:0",
        "RIFF\0\0\0\0WAVE", "GIF88a", "BM..........", "\u{89}PNG", "II*", "B",
    ])
    func otherFilesAreRefused(content: String) async throws {
        let folder = try TemporaryFolder()
        try folder.write(Array(content.utf8), to: "a.jpg")
        let answer = try await Self.site(folder).0.ask("/pictures/a.jpg")
        #expect(answer.status == 404)
        #expect(answer.text.contains("There is no such picture"))
    }

    @Test func foldersPipesAndMissingFilesAreRefused() async throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: folder.path + "/sub.jpg", withIntermediateDirectories: false)
        #expect(mkfifo(folder.path + "/pipe.jpg", 0o600) == 0)
        for name in ["sub.jpg", "pipe.jpg", "none.jpg"] {
            #expect(try await Self.site(folder).0.ask("/pictures/\(name)").status == 404)
        }
    }

    /// A server without a free descriptor cannot know whether there is such a picture.
    @Test func noDescriptorIsNotAMissingPicture() async throws {
        let search = FakeSearch { _ in
            .file { throw PictureSourceError.unavailable("Too many open files") }
        }
        for path in ["/pictures/a.jpg", "/thumbnails/a.jpg"] {
            #expect(try await SearchSite(search: search).ask(path).status == 503)
        }
    }

    @Test func aLargeFileComesWholeAndInParts() async throws {
        let folder = try TemporaryFolder()
        let bytes = Self.jpeg + (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try folder.write(bytes, to: "large.jpg")
        let answer = try await Self.site(folder).0.ask("/pictures/large.jpg")
        #expect(answer.header("Content-Length") == "\(bytes.count)")
        #expect(answer.body == bytes)
    }

    @Test func browsersMayKeepPictures() async throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.jpeg, to: "a.jpg")
        let site = Self.site(folder).0
        let first = try await site.ask("/pictures/a.jpg")
        let tag = try #require(first.header("ETag"))
        let date = try #require(first.header("Last-Modified"))
        #expect(first.header("Cache-Control") == "private, max-age=300")
        for headers in [
            ["If-None-Match": tag], ["If-None-Match": "\"x\", W/\(tag)"], ["If-None-Match": "*"],
            ["If-Modified-Since": date],
        ] {
            let again = try await site.ask("/pictures/a.jpg", headers: headers)
            #expect(again.status == 304)
            #expect(again.body.isEmpty)
            #expect(again.header("ETag") == tag)
        }
        let other = ["If-None-Match": "\"x\"", "If-Modified-Since": date]
        #expect(try await site.ask("/pictures/a.jpg", headers: other).status == 200)
        // Another picture under the same name.
        try folder.write(Self.jpeg + [1], to: "a.jpg")
        let changed = try await site.ask("/pictures/a.jpg", headers: ["If-None-Match": tag])
        #expect(changed.status == 200)
        #expect(changed.header("ETag") != tag)
    }

    @Test(arguments: [
        0, 784_111_777, 951_782_400, 1_709_164_799, 4_102_444_800, -1, -2_000_000_000,
    ])
    func modificationDatesAreThoseOfTheSystem(seconds: Int) async throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.jpeg, to: "a.jpg")
        let times = [timespec](repeating: timespec(tv_sec: seconds, tv_nsec: 0), count: 2)
        try #require(utimensat(AT_FDCWD, folder.path + "/a.jpg", times, 0) == 0)
        // Independently: the C library's formatting, with its default "C" locale.
        var (clock, time) = (seconds, tm())
        gmtime_r(&clock, &time)
        var text = [CChar](repeating: 0, count: 64)
        strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &time)
        let answer = try await Self.site(folder).0.ask("/pictures/a.jpg")
        #expect(
            answer.header("Last-Modified")
                == text.withUnsafeBufferPointer {
                    String(cString: $0.baseAddress!)
                })
    }

    @Test(arguments: [
        "a b.jpg", "a+b.jpg", "100%.jpg", "%41.jpg", "a#b.jpg", "a?b=c&d.jpg", "a&amp;b.jpg",
        "ä.jpg",
        "日本.jpg", "\u{1F408}\u{200D}\u{2B1B}.jpg", "two\nlines.jpg", "'\"<>.jpg", "~-._.jpg",
        "a;b,c.jpg",
        "\\.jpg", "..jpg", "...", " ", "e\u{301}.jpg", "\u{202E}gpj",
    ])
    func anyNameFindsItsWayBack(name: String) async throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.jpeg, to: name)
        let (site, search) = Self.site(folder)
        let page = try await SearchSite(
            search: FakeSearch(result: FakeSearch.found([name])) { FakeSearch.file("/no", $0) }
        ).ask("/search?q=x")
        let source = try #require(page.text.firstMatch(of: /<img src="([^"]+)"/)).1
        // Independently: Foundation's percent-encoding of all but unreserved characters.
        let unreserved = CharacterSet(
            charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
        let encoded = name.addingPercentEncoding(withAllowedCharacters: unreserved)!
        #expect(source == "/thumbnails/\(encoded)")
        // So small a picture is its own thumbnail.
        for address in [String(source), "/pictures/\(encoded)"] {
            let answer = try await site.ask(address)
            #expect(answer.status == 200)
            #expect(answer.body == Self.jpeg)
        }
        #expect(search.keysOfPictures == [Array(name.utf8)])
    }

    @Test func slashesOfAKeyStayInItsSegment() async throws {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: folder.path + "/x/y", withIntermediateDirectories: true)
        try folder.write(Self.jpeg, to: "x/y/a.jpg")
        let (site, search) = Self.site(folder)
        #expect(try await site.ask("/pictures/x%2Fy%2fa.jpg").status == 200)
        #expect(try await site.ask("/pictures/x%2F%2Fy%2Fa.jpg").status == 404)
        #expect(try await site.ask("/pictures/x/y/a.jpg").status == 404)
        #expect(try await site.ask("/pictures//x%2Fy%2Fa.jpg").status == 404)
        #expect(try await site.ask("//pictures/x%2Fy%2Fa.jpg").status == 404)
        #expect(search.keysOfPictures == ["x/y/a.jpg", "x//y/a.jpg"].map { Array($0.utf8) })
    }

    /// The second is the key that reaches the search, which refuses it; `nil`: none does.
    @Test(arguments: [
        ("/pictures/..%2Fsecret.jpg", "../secret.jpg"),
        ("/pictures/%2E%2E%2Fsecret.jpg", "../secret.jpg"),
        ("/pictures/x%2F..%2F..%2Fsecret.jpg", "x/../../secret.jpg"), ("/pictures/..", ".."),
        ("/pictures/%2e%2e", ".."), ("/pictures/%2Fetc%2Fpasswd", "/etc/passwd"),
        ("/pictures/../secret.jpg", nil), ("/pictures/%2e%2e/secret.jpg", nil),
        ("/pictures/./..%2Fsecret.jpg", nil), ("/pictures/a.jpg%00.txt", nil),
        ("/pictures/%FF%FE", nil), ("/pictures/%C0%AE%C0%AE%2Fsecret.jpg", nil),
        ("/pictures/%252E%252E%252Fsecret.jpg", "%2E%2E%2Fsecret.jpg"),
        ("/pictures/..%5Csecret.jpg", "..\\secret.jpg"), ("/pictures/%", "%"),
    ])
    func nothingOutsideIsReached(target: String, key: String?) async throws {
        let outer = try TemporaryFolder()
        try outer.write(Self.jpeg, to: "secret.jpg")
        try FileManager.default.createDirectory(
            atPath: outer.path + "/store", withIntermediateDirectories: false)
        try outer.write(Self.jpeg, to: "store/a.jpg")
        let search = FakeSearch { key in
            let parts = key.split(separator: "/", omittingEmptySubsequences: false)
            guard !parts.contains(".."), !key.hasPrefix("/") else { throw FakeSearch.Failure() }
            return FakeSearch.file(outer.path + "/store", key)
        }
        let answer = try await SearchSite(search: search).ask(target)
        #expect(answer.status == 404)
        #expect(answer.text.contains("There is no such picture"))
        #expect(search.keysOfPictures == [key].compactMap(\.self).map { Array($0.utf8) })
    }

    /// /proc/self/mem can be opened, and reading its beginning fails with EIO.
    @Test func aFileThatCannotBeReadIsNotMissing() async throws {
        let search = FakeSearch { _ in FakeSearch.file("/proc/self", "mem") }
        for target in ["/pictures/a.jpg", "/thumbnails/a.jpg"] {
            let log = RecordedLog()
            let answer = try await SearchSite(search: search).ask(
                target, logger: Logger(label: "test") { _ in log })
            #expect(answer.status == 503)
            #expect(answer.header("Cache-Control") == "no-store")
            #expect(log.lines.contains { $0.contains("Input/output error") })
        }
    }

    /// What a store gives is passed on as it comes; what it refuses is told to the operator.
    @Test func storesArePassedOn() async throws {
        let bytes = Self.jpeg + (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let source = FakeSource(pieces: [Array(bytes.prefix(2)), Array(bytes.dropFirst(2))])
        let search = FakeSearch { .presigned(url: "https://s3.example/\($0)") }
        var configuration = SearchSite.Configuration()
        configuration.proxiesPictures = true
        let site = SearchSite(search: search, source: source, configuration: configuration)
        let answer = try await site.ask("/pictures/a.jpg")
        #expect(answer.status == 200 && answer.body == bytes)
        #expect(answer.header("ETag") == "\"tag\"")
        #expect(answer.header("Content-Type") == "image/jpeg")
        let again = try await site.ask("/pictures/a.jpg", headers: ["If-None-Match": "\"tag\""])
        #expect(again.status == 304)

        let log = RecordedLog()
        let refused = SearchSite(
            search: search, source: FakeSource(pieces: nil), configuration: configuration)
        for target in ["/pictures/a.jpg", "/thumbnails/a.jpg"] {
            let answer = try await refused.ask(target, logger: Logger(label: "test") { _ in log })
            #expect(answer.status == 503)
        }
        #expect(log.lines.count { $0.hasPrefix("error") && $0.contains("set the clock") } == 2)
    }

    /// Gives pieces, or refuses.
    private struct FakeSource: PictureSource {
        let pieces: [[UInt8]]?
        private let refusal = PictureSourceError.unavailable("the clock differs: set the clock")

        func size(of key: String) throws -> Int? { pieces?.map(\.count).reduce(0, +) }

        func bytes(of key: String, maximumBytes: Int) throws -> [UInt8] {
            guard let pieces else { throw refusal }
            return Array(pieces.joined())
        }

        func stream(
            _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
        ) throws {
            guard let pieces else { throw refusal }
            let size = Int64(pieces.map(\.count).reduce(0, +))
            for piece in pieces {
                try piece.withUnsafeBytes { try receive(ObjectHead(size: size, etag: "tag"), $0) }
            }
        }
    }

    @Test func aLinkIsNotFollowedByTheSite() async throws {
        // With presigned links the pictures are the store's business.
        let search = FakeSearch { .presigned(url: "https://s3.example/\($0)") }
        #expect(try await SearchSite(search: search).ask("/pictures/a.jpg").status == 404)
    }
}
