import Foundation
import S3Client
import Testing

/// The store that the TEST_S3_* variables name (scripts/services/object-store starts one).
private struct TestStore {
    let endpoint, accessKey, secretKey, region: String

    init?(_ environment: [String: String] = ProcessInfo.processInfo.environment) {
        guard let endpoint = environment["TEST_S3_ENDPOINT"], endpoint.isEmpty == false else {
            return nil
        }
        self.endpoint = endpoint
        accessKey = environment["TEST_S3_ACCESS_KEY"] ?? ""
        secretKey = environment["TEST_S3_SECRET_KEY"] ?? ""
        region = environment["TEST_S3_REGION"] ?? ""
    }

    func bucket(
        _ name: String, secretKey: String? = nil, accessKey: String? = nil, region: String? = nil
    ) throws -> S3Bucket {
        try S3Bucket(
            endpoint: endpoint, bucket: name, region: region ?? self.region,
            credentials: Credentials(
                accessKey: accessKey ?? self.accessKey, secretKey: secretKey ?? self.secretKey))
    }
}

/// Against a real S3 service, which checks every signature.
@Suite(.enabled(if: TestStore() != nil), .serialized)
final class StoreTests {
    private let store: TestStore
    private let name = "test-" + UUID().uuidString.lowercased()
    private var bucket: S3Bucket

    init() throws {
        store = try #require(TestStore())
        bucket = try store.bucket(name)
        _ = try bucket.send("PUT")
    }

    deinit {
        // A private store goes as a whole, and deleting takes as long as writing. In any other,
        // the bucket must be empty to go.
        if bucket.displayName.contains("//127.0.0.1:") { return }
        var keys: [String] = []
        _ = try? bucket.list { keys += $0.map(\.key) }
        let bucket = bucket
        let all = keys
        DispatchQueue.concurrentPerform(iterations: all.count) { index in
            _ = try? bucket.send("DELETE", key: all[index])
        }
        _ = try? bucket.send("DELETE")
    }

    private func put(_ key: String, _ bytes: [UInt8]) throws {
        _ = try bucket.send("PUT", key: key, payload: bytes)
    }

    private func keys(prefix: String = "", after start: String? = nil) throws -> [String] {
        var keys: [String] = []
        try bucket.list(prefix: prefix, after: start) { keys += $0.map(\.key) }
        return keys
    }

    private func sameKeys(_ one: [String], _ other: [String]) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy(sameBytes)
    }

    /// Keys that proxies, URL parsers and XML trip over.
    static let nastyKeys = [
        "plain.jpg", "a b", " lead", "trail ", "a+b", "a%b", "a%20b", "%", "%%41", "a//b", "a/",
        "a///", "./a", "../a", "a/./b", "a/../b", "a/..", "..", ".", "...", "a?b", "a#b", "a&b=c",
        "~a", "'", "\"", "<&>", "a\\b", "{}[]^`|", "a;b:c@d,e!f*g(h)$", "\t", "a\nb", "a\rb",
        "x\u{1}y", "x\u{1F}y", "x\u{7F}y", "é", "e\u{301}", "日本語/写真.jpg", "Ελλάδα.png",
        "العربية.jpg", "😀.png", "👨‍👩‍👧/a.jpg", "\u{10FFFD}", "\u{FEFF}x",
        String(repeating: "k", count: 1_024), String(repeating: "é", count: 512),
        "http://x/y?z", "X-Amz-Signature=1",
    ]

    @Test func nastyKeysComeThroughByteForByte() throws {
        let keys = Self.nastyKeys
        for key in keys { try put(key, Array("<\(key)>".utf8)) }
        let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        bucket.pageSize = 7
        #expect(sameKeys(try self.keys(), sorted))
        for key in keys {
            let expected = Array("<\(key)>".utf8)
            #expect(try bucket.object(key, maximumBytes: 2_000) == expected, "\(key)")
            let fetched = try fetch(bucket.presignedURL(for: key))
            #expect(fetched.status == 200, "\(key.debugDescription)")
            #expect(fetched.body == expected, "\(key.debugDescription)")
            // A prefix and a start that need encoding themselves.
            #expect(
                sameKeys(
                    try self.keys(prefix: key), sorted.filter { $0.utf8.starts(with: key.utf8) }))
        }
        for start in sorted.filter({ $0.utf8.count < 100 }) {
            #expect(
                sameKeys(
                    try self.keys(after: start),
                    sorted.filter { start.utf8.lexicographicallyPrecedes($0.utf8) }))
        }
    }

    @Test func listsMoreThanAThousand() throws {
        let count = 1_050
        let bucket = bucket
        DispatchQueue.concurrentPerform(iterations: 8) { worker in
            for number in stride(from: worker, to: count, by: 8) {
                _ = try? bucket.send("PUT", key: "n/\(10_000 + number)", payload: [])
            }
        }
        var pages: [Int] = []
        var keys: [String] = []
        try bucket.list(prefix: "n/", after: nil) {
            pages.append($0.count)
            keys += $0.map(\.key)
        }
        #expect(pages == [1_000, 50])
        #expect(keys == (0..<count).map { "n/\(10_000 + $0)" })
    }

    @Test func presignedURLsAreChecked() throws {
        try put("picture", [1, 2, 3])
        let url = try bucket.presignedURL(for: "picture", expiresIn: 60)
        #expect(try fetch(url).body == [1, 2, 3])
        let last = try #require(url.last)
        let altered = url.dropLast() + (last == "0" ? "1" : "0")
        #expect(try fetch(String(altered)).status == 403)
        #expect(try fetch(url.replacing("/picture?", with: "/other?")).status == 403)
        #expect(
            try fetch(url.replacing("X-Amz-Expires=60", with: "X-Amz-Expires=6000")).status == 403)
        let old = try bucket.presignedURL(
            for: "picture", expiresIn: 60, at: Date(timeIntervalSinceNow: -120))
        #expect(try fetch(old).status == 403)
    }

    @Test func acceptRefuses() throws {
        try put("big", [UInt8](repeating: 5, count: 3_000_000))
        #expect(try bucket.object("big", maximumBytes: 1 << 22) { _ in false } == nil)
        #expect(try bucket.object("big", maximumBytes: 1 << 22).count == 3_000_000)
        let error = #expect(throws: S3Error.self) {
            try bucket.object("big", maximumBytes: 2_999_999)
        }
        #expect(error?.reason == .tooLarge)
    }

    @Test func emptyBucketHasNoPages() throws {
        try bucket.list { _ in Issue.record("there is a page") }
    }

    @Test func missingObject() throws {
        let error = #expect(throws: S3Error.self) { try bucket.object("no", maximumBytes: 9) }
        #expect(error?.isMissingObject == true)
        #expect(error?.description.hasPrefix("There is no object \"no\" in the bucket") == true)
    }

    @Test func missingBucket() throws {
        let error = #expect(throws: S3Error.self) {
            try store.bucket("there-is-none").list { _ in }
        }
        #expect(error?.description.hasPrefix("There is no bucket \"there-is-none\" at ") == true)
    }

    @Test func wrongSecret() throws {
        let error = #expect(throws: S3Error.self) {
            try store.bucket(name, secretKey: "wrong-secret").list { _ in }
        }
        #expect(
            error?.description.contains("refuses the signature (SignatureDoesNotMatch)") == true)
        #expect(error?.description.contains("wrong-secret") == false)
    }

    @Test func wrongAccessKey() throws {
        let error = #expect(throws: S3Error.self) {
            try store.bucket(name, accessKey: "nobody:here").list { _ in }
        }
        guard case .service(403, _, _) = error?.reason else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    /// The store names its region when a request is signed for another one.
    @Test func findsTheRegion() throws {
        try put("picture", [1])
        let elsewhere = try store.bucket(name, region: "somewhere-else")
        #expect(try elsewhere.object("picture", maximumBytes: 9) == [1])
        #expect(elsewhere.region == store.region)
    }

    @Test func clockThatIsWrong() throws {
        let late = try S3Bucket(
            endpoint: store.endpoint, bucket: name, region: store.region,
            credentials: Credentials(accessKey: store.accessKey, secretKey: store.secretKey),
            clock: { Date(timeIntervalSinceNow: -3_600) })
        let error = #expect(throws: S3Error.self) { try late.list { _ in } }
        #expect(error?.description.contains("set the clock") == true)
    }

    /// GET by plain curl, which knows nothing of signatures; `--path-as-is` keeps keys' dots.
    private func fetch(_ url: String) throws -> (status: Int, body: [UInt8]) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "curl", "--silent", "--globoff", "--path-as-is", "--noproxy", "*", "--write-out",
            "%{stderr}%{http_code}", url,
        ]
        let output = Pipe()
        let status = Pipe()
        process.standardOutput = output
        process.standardError = status
        try process.run()
        let body = Array(output.fileHandleForReading.readDataToEndOfFile())
        let code = String(
            decoding: status.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (Int(code) ?? 0, body)
    }
}
