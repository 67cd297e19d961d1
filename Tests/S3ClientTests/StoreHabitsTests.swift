import Foundation
import S3Client
import Synchronization
import TestSupport
import Testing

/// Stores that differ from AWS, and what AWS does on special occasions.
@Suite struct StoreHabitsTests {
    private func bucket(
        _ server: LoopbackServer, _ credentials: CredentialProvider? = nil, path: String = ""
    ) throws -> S3Bucket {
        try S3Bucket(
            endpoint: server.endpoint + path, bucket: "pictures",
            credentials: credentials
                ?? CredentialProvider(Credentials(accessKey: "access", secretKey: "secret")),
            retries: RetryPolicy(attempts: 1))
    }

    private static func page(_ keys: ArraySlice<String>, isTruncated: Bool) -> LoopbackServer.Reply
    {
        .xml(
            200,
            "<ListBucketResult><IsTruncated>\(isTruncated)</IsTruncated>"
                + keys.map { "<Contents><Key>\($0)</Key><Size>1</Size></Contents>" }.joined()
                + "</ListBucketResult>")
    }

    private static func fields(_ request: LoopbackServer.Request) -> [String: String] {
        let items = URLComponents(string: request.target)?.queryItems ?? []
        return Dictionary(items.map { ($0.name, $0.value ?? "") }) { $1 }
    }

    // MARK: Listings

    private static let keys = (0..<25).map { "k\(String(format: "%02d", $0))" }

    /// How a store answers a listing, by the parameter that its next page begins after; no page has a token.
    private static func answer(
        _ request: LoopbackServer.Request, parameter: String
    ) -> LoopbackServer.Reply {
        let after = fields(request)[parameter] ?? ""
        let rest = keys.drop { $0 <= after }
        return page(rest.prefix(10), isTruncated: rest.count > 10)
    }

    /// ListObjects has `marker`; some stores give a page of ListObjectsV2 no token.
    @Test(arguments: ["marker", "start-after"], [nil, "k07", "k17"])
    func truncatedPagesWithoutATokenGoOnAfterTheLastKey(
        _ parameter: String, _ start: String?
    ) throws {
        let server = try LoopbackServer { Self.answer($1, parameter: parameter) }
        defer { server.stop() }
        var listed: [String] = []
        let report = try bucket(server).list(prefix: "", after: start) { listed += $0.map(\.key) }
        #expect(listed == Self.keys.filter { $0 > start ?? "" })
        #expect(report.isComplete)
    }

    @Test func storesThatKnowOnlyTheOlderListing() throws {
        let server = try LoopbackServer { _, request in
            Self.fields(request)["list-type"] == nil
                ? Self.answer(request, parameter: "marker")
                : .xml(501, "<Error><Code>NotImplemented</Code></Error>")
        }
        defer { server.stop() }
        var listed: [String] = []
        try bucket(server).list(prefix: "", after: "k03") { listed += $0.map(\.key) }
        #expect(listed == Array(Self.keys[4...]))
        #expect(server.requests.count == 4)
    }

    /// A page that is not the last one is never taken for it.
    @Test func storesThatIgnoreTheStartAreAnError() throws {
        let server = try LoopbackServer { _, _ in Self.page(Self.keys[..<10], isTruncated: true) }
        defer { server.stop() }
        let error = #expect(throws: S3Error.self) { try bucket(server).list { _ in } }
        #expect(error?.reason == .response)
        #expect(server.requests.count == 2)
    }

    // MARK: Objects

    @Test func objectsStoredWithGzipArriveDecoded() throws {
        let text = String(repeating: "A picture, as far as this test goes. ", count: 50)
        // Python's gzip.compress.
        let packed = Data(
            base64Encoded: """
                H4sIAAAAAAACA3NUKMhMLiktStVRSCxWSEssAlElGZlAIrW4RCE9P7VYT8FxVNGoolFFo4pGFY0qGlUEUQQA2X7cvzoHAAA=
                """)!
        let server = try LoopbackServer { _, _ in
            LoopbackServer.Reply(200, headers: ["Content-Encoding: gzip"], body: Array(packed))
        }
        defer { server.stop() }
        let bucket = try bucket(server)
        #expect(try bucket.object("k", maximumBytes: 9_999) == Array(text.utf8))
        #expect(server.requests.first?.headers["accept-encoding"] == "identity")
        // The bound is for what comes out.
        let error = #expect(throws: S3Error.self) { try bucket.object("k", maximumBytes: 1_000) }
        #expect(error?.reason == .tooLarge)
        // What was listed is the size as stored; more is an error, as is more than is taken decoded.
        let listed = ObjectSummary(key: "k", size: Int64(packed.count), etag: nil)
        let whole = try bucket.listedObject(listed, maximumDecodedBytes: 9_999) { _ in true }
        #expect(whole?.bytes == Array(text.utf8) && whole?.isAsListed == true)
        for (size, decoded) in [(packed.count - 1, 9_999), (packed.count, 1_000)] {
            let error = #expect(throws: S3Error.self) {
                try bucket.listedObject(
                    ObjectSummary(key: "k", size: Int64(size), etag: nil),
                    maximumDecodedBytes: decoded
                ) { _ in true }
            }
            #expect(error?.reason == .tooLarge)
        }
        let streamed = Mutex<[UInt8]>([])
        try bucket.stream("k") { head, piece in
            #expect(head.size == nil)
            streamed.withLock { $0 += piece }
        }
        #expect(streamed.withLock { $0 } == Array(text.utf8))
    }

    // MARK: Addresses

    @Test(arguments: [
        "https://pictures.s3.eu-west-3.amazonaws.com", "https://s3.amazonaws.com/pictures",
    ])
    func endpointsOfAWSWithTheBucketInside(_ endpoint: String) {
        let error = #expect(throws: S3Error.self) {
            try S3Bucket(
                endpoint: endpoint, bucket: "pictures",
                credentials: Credentials(accessKey: "a", secretKey: "b"))
        }
        #expect(error?.reason == .setting)
        #expect(error?.description.contains("leave the bucket out of the endpoint") == true)
    }

    /// Elsewhere such an endpoint may be right; the sentence comes when it is not.
    @Test func endpointsWithTheBucketInsideAreNamedWhenTheyFail() throws {
        let server = try LoopbackServer { _, _ in
            .xml(404, "<Error><Code>NoSuchKey</Code></Error>")
        }
        defer { server.stop() }
        let error = #expect(throws: S3Error.self) {
            try bucket(server, path: "/pictures").list { _ in }
        }
        #expect(
            error?.description.hasPrefix(
                "The endpoint \(server.endpoint)/pictures already contains the bucket \"pictures\"")
                == true)
    }

    /// A redirect that names no region, only an address: within AWS its host tells the region.
    @Test(arguments: [
        ("https://pictures.s3-eu-west-3.amazonaws.com/k", "eu-west-3"),
        ("https://pictures.s3.evil-1.example.com/k", "us-east-1"),
    ])
    func redirectsWithoutARegion(_ location: String, _ region: String) throws {
        let server = try LoopbackServer { number, _ in
            number == 0
                ? .xml(
                    307, "<Error><Code>TemporaryRedirect</Code></Error>",
                    headers: ["Location: \(location)"])
                : LoopbackServer.Reply(200, body: [1])
        }
        defer { server.stop() }
        let bucket = try bucket(server)
        #expect((try? bucket.object("k", maximumBytes: 9)) == (region == "us-east-1" ? nil : [1]))
        #expect(bucket.region == region)
    }

    // MARK: Credentials

    @Test func publicBucketsAreAskedWithoutASignature() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(200) }
        defer { server.stop() }
        let bucket = try bucket(server, CredentialProvider(nil))
        _ = try bucket.object("a b", maximumBytes: 9)
        #expect(server.requests.first?.headers["authorization"] == nil)
        #expect(try bucket.presignedURL(for: "a b") == "\(server.endpoint)/pictures/a%20b")
    }

    @Test func requestersPay() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(200) }
        defer { server.stop() }
        var bucket = try bucket(server)
        bucket.requesterPays = true
        _ = try bucket.object("k", maximumBytes: 9)
        let request = try #require(server.requests.first)
        #expect(request.headers["x-amz-request-payer"] == "requester")
        #expect(request.headers["authorization"]?.contains(";x-amz-request-payer,") == true)
        #expect(try bucket.presignedURL(for: "k").contains("&x-amz-request-payer=requester&"))
    }

    private static func key(_ number: Int, until end: Date?) -> Credentials {
        Credentials(accessKey: "key\(number)", secretKey: "s", sessionToken: "t", expiration: end)
    }

    private struct Away: Error {}

    @Test func temporaryCredentialsAreReplacedBeforeTheyEnd() throws {
        let start = Date(timeIntervalSince1970: 1_800_000_000)
        let fetched = Mutex(1)
        let isAway = Mutex(false)
        let provider = CredentialProvider(Self.key(1, until: start + 3_600)) {
            if isAway.withLock({ $0 }) { throw Away() }
            let number = fetched.withLock { count in
                count += 1
                return count
            }
            return Self.key(number, until: start + Double(number) * 3_600)
        }
        func key(_ seconds: Double) throws -> String? {
            try provider.credentials(at: start + seconds)?.accessKey
        }
        #expect(try key(0) == "key1")
        #expect(try key(2_999) == "key1")
        // Ten minutes before the end.
        #expect(try key(3_001) == "key2")
        isAway.withLock { $0 = true }
        // The former ones are good until they end.
        #expect(try key(7_199) == "key2")
        #expect(throws: (any Error).self) { try key(7_261) }
        isAway.withLock { $0 = false }
        #expect(try key(7_262) == "key3")
        #expect(fetched.withLock { $0 } == 3)
    }

    @Test func credentialsThatTheStoreNoLongerTakesAreReplacedOnce() throws {
        let fetched = Mutex(1)
        let provider = CredentialProvider(Self.key(1, until: .distantFuture)) {
            Self.key(
                fetched.withLock { count in
                    count += 1
                    return count
                }, until: .distantFuture)
        }
        let server = try LoopbackServer { _, request in
            request.headers["authorization"]?.contains("Credential=key2/") == true
                ? LoopbackServer.Reply(200, body: [1])
                : .xml(400, "<Error><Code>ExpiredToken</Code></Error>")
        }
        defer { server.stop() }
        #expect(try bucket(server, provider).object("k", maximumBytes: 9) == [1])
        #expect(fetched.withLock { $0 } == 2)
        // Keys that stay as they are cannot be replaced.
        #expect(throws: S3Error.self) { try bucket(server).object("k", maximumBytes: 9) }
        #expect(server.requests.count == 3)
    }
}
