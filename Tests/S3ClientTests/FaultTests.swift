import Bytes
import Foundation
import S3Client
import Synchronization
import TestSupport
import Testing

/// A store that misbehaves.
@Suite struct FaultTests {
    /// Waits that the client would have made.
    final class Waits: Sendable {
        let all = Mutex<[Duration]>([])
        var list: [Duration] { all.withLock { $0 } }
    }

    static let secret = "SehrGeheimerSchluessel"

    private func bucket(
        _ server: LoopbackServer, waits: Waits = Waits(), attempts: Int = 4,
        transport: TransportOptions = TransportOptions(), token: String? = nil,
        region: String? = nil
    ) throws -> S3Bucket {
        try S3Bucket(
            endpoint: server.endpoint, bucket: "pictures", region: region,
            credentials: Credentials(
                accessKey: "access", secretKey: Self.secret, sessionToken: token),
            transport: transport, retries: RetryPolicy(attempts: attempts),
            clock: { Date() }, pause: { wait in waits.all.withLock { $0.append(wait) } })
    }

    /// Runs `body`, which must fail with an error that gives nothing away.
    @discardableResult
    private func failure(_ body: () throws -> Void) -> S3Error? {
        let error = #expect(throws: S3Error.self) { try body() }
        if let error {
            for secret in [Self.secret, "Signature=", "X-Amz-", "AWS4-HMAC"] {
                #expect(error.description.contains(secret) == false)
            }
            #expect(error.description.contains("\n") == false)
            #expect(error.description.hasSuffix("."))
        }
        return error
    }

    private func listing(_ keys: [String], next: String? = nil) -> String {
        "<ListBucketResult><EncodingType>url</EncodingType>"
            + keys.map {
                "<Contents><Key>\(PercentEncoding.encode($0))</Key><Size>1</Size></Contents>"
            }.joined()
            + (next.map {
                "<IsTruncated>true</IsTruncated><NextContinuationToken>\($0)"
                    + "</NextContinuationToken>"
            } ?? "<IsTruncated>false</IsTruncated>") + "</ListBucketResult>"
    }

    // MARK: Retries

    @Test(arguments: [500, 502, 503, 504, 429])
    func triesAgain(_ status: Int) throws {
        let server = try LoopbackServer { number, _ in
            number < 2 ? .xml(status, "") : LoopbackServer.Reply(200, body: Array("picture".utf8))
        }
        defer { server.stop() }
        let waits = Waits()
        let bytes = try bucket(server, waits: waits).object("k", maximumBytes: 100)
        #expect(bytes == Array("picture".utf8))
        #expect(server.requests.count == 3)
        // Exponential with jitter: half to all of 250 ms, then of 500 ms.
        #expect(waits.list.count == 2)
        #expect((.milliseconds(125)...(.milliseconds(250))).contains(waits.list[0]))
        #expect((.milliseconds(250)...(.milliseconds(500))).contains(waits.list[1]))
    }

    @Test func givesUp() throws {
        let server = try LoopbackServer { _, _ in
            .xml(
                503,
                "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message>"
                    + "<RequestId>4442587FB7D0A2F9</RequestId></Error>")
        }
        defer { server.stop() }
        let error = failure { _ = try bucket(server).object("k", maximumBytes: 100) }
        #expect(server.requests.count == 4)
        #expect(
            error?.reason
                == .service(status: 503, code: "SlowDown", requestID: "4442587FB7D0A2F9"))
        #expect(
            error?.description
                == "The object \"k\" in the bucket \"pictures\" at \(server.endpoint): HTTP status "
                + "503 (SlowDown): Please reduce your request rate (request 4442587FB7D0A2F9).")
    }

    @Test func honoursRetryAfterWithinBounds() throws {
        let server = try LoopbackServer { number, _ in
            switch number {
            case 0: LoopbackServer.Reply(429, headers: ["Retry-After: 3"])
            case 1: LoopbackServer.Reply(503, headers: ["Retry-After: 86400"])
            case 2: LoopbackServer.Reply(503, headers: ["Retry-After: -7 nonsense"])
            default: LoopbackServer.Reply(200)
            }
        }
        defer { server.stop() }
        let waits = Waits()
        #expect(try bucket(server, waits: waits).object("k", maximumBytes: 9) == [])
        #expect(waits.list[0] == .seconds(3))
        #expect(waits.list[1] == .seconds(20))
        #expect(waits.list[2] <= .seconds(1))
    }

    @Test(arguments: [400, 401, 403, 404, 405, 501])
    func doesNotRepeatRefusals(_ status: Int) throws {
        let server = try LoopbackServer { _, _ in .xml(status, "") }
        defer { server.stop() }
        let error = failure { _ = try bucket(server).object("k", maximumBytes: 100) }
        #expect(error?.reason == .service(status: status, code: nil, requestID: nil))
        #expect(error?.isMissingObject == (status == 404))
        #expect(server.requests.count == 1)
    }

    @Test func signsEveryAttempt() throws {
        let server = try LoopbackServer { number, _ in LoopbackServer.Reply(number == 0 ? 500 : 200)
        }
        defer { server.stop() }
        let ticks = Mutex(1_700_000_000.0)
        let bucket = try S3Bucket(
            endpoint: server.endpoint, bucket: "pictures",
            credentials: Credentials(accessKey: "access", secretKey: Self.secret),
            clock: {
                Date(
                    timeIntervalSince1970: ticks.withLock {
                        $0 += 1
                        return $0
                    })
            }, pause: { _ in })
        _ = try bucket.object("k", maximumBytes: 1)
        #expect(
            server.requests.map { $0.headers["x-amz-date"] } == [
                "20231114T221321Z", "20231114T221322Z",
            ])
        #expect(
            server.requests[0].headers["authorization"]
                != server.requests[1].headers["authorization"])
    }

    // MARK: Broken transfers

    @Test func shortBodyIsAskedForAgain() throws {
        let whole = [UInt8](repeating: 7, count: 100_000)
        let server = try LoopbackServer { number, _ in
            switch number {
            case 0: LoopbackServer.Reply(200, body: Array(whole.prefix(50_000)), length: 100_000)
            case 1:
                {
                    var reply = LoopbackServer.Reply(
                        200, body: Array(whole.prefix(10)), length: 100_000)
                    reply.reset = true
                    return reply
                }()
            case 2: LoopbackServer.Reply(raw: "")
            default: LoopbackServer.Reply(200, body: whole)
            }
        }
        defer { server.stop() }
        #expect(try bucket(server).object("k", maximumBytes: 1 << 20) == whole)
        #expect(server.requests.count == 4)
    }

    @Test func alwaysShortBodyIsAnError() throws {
        let server = try LoopbackServer { _, _ in
            LoopbackServer.Reply(200, body: [1, 2, 3], length: 4)
        }
        defer { server.stop() }
        let error = failure { _ = try bucket(server, attempts: 2).object("k", maximumBytes: 10) }
        #expect(error?.reason == .connection(.interrupted))
        #expect(server.requests.count == 2)
    }

    @Test func cutChunksAreAnError() throws {
        let server = try LoopbackServer { _, _ in
            .init(raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nab")
        }
        defer { server.stop() }
        let error = failure { _ = try bucket(server, attempts: 2).object("k", maximumBytes: 99) }
        #expect(error?.reason == .connection(.interrupted))
    }

    @Test func garbageInsteadOfHTTP() throws {
        let server = try LoopbackServer { _, _ in .init(raw: "SSH-2.0-OpenSSH_9.2\r\n\r\n") }
        defer { server.stop() }
        failure { _ = try bucket(server, attempts: 2).object("k", maximumBytes: 99) }
    }

    @Test func endlessHeadersAreRefused() throws {
        let line = "X-Filler: " + String(repeating: "x", count: 1_000) + "\r\n"
        let server = try LoopbackServer { _, _ in
            .init(raw: "HTTP/1.1 200 OK\r\n" + String(repeating: line, count: 1_000) + "\r\n")
        }
        defer { server.stop() }
        failure { _ = try bucket(server, attempts: 1).object("k", maximumBytes: 99) }
    }

    @Test func silenceTimesOut() throws {
        let server = try LoopbackServer { _, _ in
            var reply = LoopbackServer.Reply(200)
            reply.pieces.insert([], at: 0)
            reply.pause = .seconds(3)
            return reply
        }
        defer { server.stop() }
        var options = TransportOptions()
        options.totalTimeout = .milliseconds(100)
        let error = failure {
            _ = try bucket(server, attempts: 2, transport: options).object("k", maximumBytes: 9)
        }
        #expect(error?.reason == .connection(.timeout))
        #expect(server.requests.count == 2)
    }

    @Test func trickleTimesOut() throws {
        let server = try LoopbackServer { _, _ in
            var reply = LoopbackServer.Reply(200, body: [], length: 1_000)
            reply.pieces = [reply.pieces[0]] + [[UInt8]](repeating: [1], count: 200)
            reply.pause = .milliseconds(100)
            return reply
        }
        defer { server.stop() }
        var options = TransportOptions()
        options.stallTimeout = .seconds(1)
        let error = failure {
            _ = try bucket(server, attempts: 1, transport: options).object("k", maximumBytes: 9999)
        }
        #expect(error?.reason == .connection(.timeout))
    }

    @Test func nothingListens() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(200) }
        server.stop()
        // The port may still be on its way out; then the connection breaks instead.
        let error = failure { _ = try bucket(server, attempts: 2).object("k", maximumBytes: 9) }
        #expect([.connection(.connect), .connection(.interrupted)].contains(error?.reason))
    }

    @Test func unknownHost() throws {
        let bucket = try S3Bucket(
            endpoint: "https://s3.invalid", bucket: "pictures",
            credentials: Credentials(accessKey: "access", secretKey: Self.secret),
            retries: RetryPolicy(attempts: 1))
        let error = failure { _ = try bucket.object("k", maximumBytes: 9) }
        // Behind a proxy it is the proxy that does not know it.
        #expect(error != nil)
    }

    @Test func plainServerIsNotTLS() throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(200) }
        defer { server.stop() }
        let bucket = try S3Bucket(
            endpoint: "https://127.0.0.1:\(server.port)", bucket: "pictures",
            credentials: Credentials(accessKey: "access", secretKey: Self.secret),
            transport: {
                var options = TransportOptions()
                options.totalTimeout = .seconds(2)
                return options
            }(), retries: RetryPolicy(attempts: 1))
        failure { _ = try bucket.object("k", maximumBytes: 9) }
    }

    // MARK: Bounds

    @Test func announcedHugeBodyIsRefused() throws {
        let server = try LoopbackServer { _, _ in
            LoopbackServer.Reply(200, body: [1], length: 9_000_000_000_000)
        }
        defer { server.stop() }
        let error = failure { _ = try bucket(server).object("k", maximumBytes: 1_000) }
        #expect(error?.reason == .tooLarge)
        #expect(server.requests.count == 1)
    }

    @Test func unannouncedHugeBodyIsRefused() throws {
        let server = try LoopbackServer { _, _ in
            .init(
                raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + String(
                        repeating: "400\r\n\(String(repeating: "x", count: 1_024))\r\n", count: 500)
                    + "0\r\n\r\n")
        }
        defer { server.stop() }
        let error = failure { _ = try bucket(server).object("k", maximumBytes: 100_000) }
        #expect(error?.reason == .tooLarge)
        #expect(try bucket(server).object("k", maximumBytes: 512_000).count == 512_000)
    }

    @Test func acceptSeesTheBeginningAndMayRefuse() throws {
        let body = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        let server = try LoopbackServer { number, request in
            var reply = LoopbackServer.Reply(
                200, body: request.target.hasSuffix("tiny") ? [1, 2, 3] : body)
            // Byte for byte at first.
            reply.pieces =
                [reply.pieces[0]] + reply.pieces[1].prefix(3).map { [$0] }
                + [Array(reply.pieces[1].dropFirst(3))]
            reply.pause = .milliseconds(2)
            return reply
        }
        defer { server.stop() }
        let bucket = try bucket(server)
        var seen: [[UInt8]] = []
        let refused = try bucket.object("k", maximumBytes: 1 << 20) {
            seen.append(Array($0))
            return false
        }
        #expect(refused == nil)
        #expect(seen.count == 1 && seen[0].count >= 32)
        #expect(seen.first.map { $0 == Array(body.prefix($0.count)) } == true)
        let taken = try bucket.object("k", maximumBytes: 1 << 20) { $0.first == 0 }
        #expect(taken == body)
        seen = []
        _ = try bucket.object("tiny", maximumBytes: 1 << 20) {
            seen.append(Array($0))
            return true
        }
        #expect(seen == [[1, 2, 3]])
        #expect(server.requests.count == 3)
    }

    // MARK: Listings

    @Test func followsTokens() throws {
        let server = try LoopbackServer { [self] number, _ in
            .xml(
                200,
                listing(["k\(number)a", "k\(number)b"], next: number < 3 ? "t/\(number)+" : nil))
        }
        defer { server.stop() }
        var keys: [String] = []
        try bucket(server).list(prefix: "k &", after: "a+") { keys += $0.map(\.key) }
        #expect(keys == (0...3).flatMap { ["k\($0)a", "k\($0)b"] })
        let start = "/pictures?"
        #expect(
            server.requests.map(\.target) == [
                "\(start)encoding-type=url&list-type=2&max-keys=1000&prefix=k%20%26&start-after=a%2B",
                "\(start)continuation-token=t%2F0%2B&encoding-type=url&list-type=2&max-keys=1000"
                    + "&prefix=k%20%26",
                "\(start)continuation-token=t%2F1%2B&encoding-type=url&list-type=2&max-keys=1000"
                    + "&prefix=k%20%26",
                "\(start)continuation-token=t%2F2%2B&encoding-type=url&list-type=2&max-keys=1000"
                    + "&prefix=k%20%26",
            ])
        // One connection for all of them.
        #expect(server.connectionCount == 1)
    }

    /// Neither the end of the bucket nor its middle: what is not understood is an error.
    @Test(arguments: [
        "", "<IsTruncated/>", "<IsTruncated>yes</IsTruncated>", "<IsTruncated>fa1se</IsTruncated>",
        "<IsTruncated>True</IsTruncated>", "<IsTruncated>1</IsTruncated>",
    ])
    func listingThatDoesNotSayWhetherItEndsIsAnError(_ element: String) throws {
        let server = try LoopbackServer { _, _ in
            .xml(
                200,
                "<ListBucketResult><Contents><Key>k</Key><Size>1</Size></Contents>\(element)"
                    + "</ListBucketResult>")
        }
        defer { server.stop() }
        let error = failure { try bucket(server).list { _ in } }
        #expect(error?.reason == .response)
    }

    @Test(arguments: ["True", "TRUE", "1"])
    func truncationInAnotherSpellingIsFollowed(_ word: String) throws {
        let server = try LoopbackServer { [self] number, _ in
            .xml(
                200,
                number == 0
                    ? listing(["a"], next: "t").replacing(">true<", with: ">\(word)<")
                    : listing(["b"]))
        }
        defer { server.stop() }
        var keys: [String] = []
        let report = try bucket(server).list { keys += $0.map(\.key) }
        #expect(keys == ["a", "b"])
        #expect(report.isComplete)
    }

    @Test func repeatedTokenIsAnError() throws {
        let server = try LoopbackServer { [self] _, _ in .xml(200, listing([], next: "same")) }
        defer { server.stop() }
        let error = failure { try bucket(server).list { _ in } }
        #expect(error?.reason == .response)
        #expect(server.requests.count == 2)
    }

    @Test func repeatedPageIsAnError() throws {
        let server = try LoopbackServer { [self] number, _ in
            .xml(200, listing(["a", "b"], next: "token \(number)"))
        }
        defer { server.stop() }
        let error = failure { try bucket(server).list { _ in } }
        #expect(error?.reason == .response)
        #expect(server.requests.count == 2)
    }

    @Test func endlessEmptyPagesAreAnError() throws {
        let server = try LoopbackServer { [self] number, _ in
            .xml(200, listing([], next: "token \(number)"))
        }
        defer { server.stop() }
        let error = failure { try bucket(server).list { _ in } }
        #expect(error?.reason == .response)
        #expect(server.requests.count == 1_000)
    }

    @Test(arguments: [
        "<html><body>It works!</body></html>", "not XML", "",
        "<!DOCTYPE a [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;\">]><ListBucketResult>&b;"
            + "</ListBucketResult>",
        "<ListBucketResult><Contents>", "\u{0}\u{1}",
    ])
    func unreadableListingIsAnError(_ text: String) throws {
        let server = try LoopbackServer { _, _ in .xml(200, text) }
        defer { server.stop() }
        let error = failure { try bucket(server).list { _ in } }
        #expect(error?.reason == .response)
        #expect(error?.description.contains("cannot be read") == true)
    }

    @Test func hugeListingIsAnError() throws {
        let server = try LoopbackServer { _, _ in
            LoopbackServer.Reply(200, body: [UInt8](repeating: 32, count: 17 << 20))
        }
        defer { server.stop() }
        let error = failure { try bucket(server).list { _ in } }
        #expect(error?.reason == .tooLarge)
    }

    @Test func errorOfThePageComesThrough() throws {
        struct Enough: Error {}
        let server = try LoopbackServer { [self] number, _ in
            .xml(200, listing(["k\(number)"], next: "\(number)"))
        }
        defer { server.stop() }
        #expect(throws: Enough.self) { try bucket(server).list { _ in throw Enough() } }
        #expect(server.requests.count == 1)
    }

    // MARK: Redirects and regions

    @Test(arguments: [301, 302, 307, 308])
    func credentialsDoNotFollowRedirects(_ status: Int) throws {
        let other = try LoopbackServer { _, _ in LoopbackServer.Reply(200) }
        let target = other.endpoint
        let server = try LoopbackServer { _, request in
            LoopbackServer.Reply(status, headers: ["Location: \(target)\(request.target)"])
        }
        defer {
            server.stop()
            other.stop()
        }
        let error = failure { _ = try bucket(server).object("k", maximumBytes: 9) }
        #expect(error?.reason == .service(status: status, code: nil, requestID: nil))
        #expect(other.connectionCount == 0)
        #expect(server.requests.count == 1)
    }

    @Test func signsForTheRegionThatTheStoreNames() throws {
        let server = try LoopbackServer { _, request in
            if request.headers["authorization"]?.contains("/eu-west-3/s3/") == true {
                return LoopbackServer.Reply(200, body: [1])
            }
            return .xml(
                400,
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong"
                    + "</Message><Region>eu-west-3</Region></Error>")
        }
        defer { server.stop() }
        let bucket = try bucket(server, region: "us-east-1")
        #expect(try bucket.object("k", maximumBytes: 9) == [1])
        #expect(server.requests.count == 2)
        // It is remembered, also for presigned URLs.
        #expect(try bucket.object("k", maximumBytes: 9) == [1])
        #expect(server.requests.count == 3)
        #expect(bucket.region == "eu-west-3")
        #expect(try bucket.presignedURL(for: "k").contains("%2Feu-west-3%2Fs3%2F"))
        #expect(try bucket.presignedURL(for: "k").hasPrefix(server.endpoint))
    }

    /// Two threads are told at the same time; the one that comes second finds the region already changed.
    @Test func bothThreadsFollowToTheRegion() throws {
        let waiting = DispatchSemaphore(value: 0)
        let server = try LoopbackServer { number, request in
            if request.headers["authorization"]?.contains("/eu-west-3/s3/") == true {
                return LoopbackServer.Reply(200, body: [1])
            }
            // Neither is answered before both have asked.
            if number == 0 {
                _ = waiting.wait(timeout: .now() + 10)
            } else {
                waiting.signal()
            }
            return .xml(
                400,
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong"
                    + "</Message><Region>eu-west-3</Region></Error>")
        }
        defer { server.stop() }
        let bucket = try bucket(server, region: "us-east-1")
        let good = Atomic(0)
        let threads = DispatchGroup()
        for _ in 0..<2 {
            threads.enter()
            Thread.detachNewThread {
                if (try? bucket.object("k", maximumBytes: 9)) == [1] {
                    good.add(1, ordering: .relaxed)
                }
                threads.leave()
            }
        }
        threads.wait()
        #expect(good.load(ordering: .relaxed) == 2)
    }

    @Test(arguments: ["other-1", "evil.example.com/", "us-east-1", "", "a b"])
    func regionsThatLeadNowhere(_ region: String) throws {
        let server = try LoopbackServer { _, _ in
            .xml(
                301,
                "<Error><Code>PermanentRedirect</Code><Region>\(region)</Region>"
                    + "<Endpoint>evil.example.com</Endpoint></Error>",
                headers: ["x-amz-bucket-region: \(region)"])
        }
        defer { server.stop() }
        let error = failure {
            _ = try bucket(server, region: "us-east-1").object("k", maximumBytes: 9)
        }
        #expect(
            error?.reason == .service(status: 301, code: "PermanentRedirect", requestID: nil))
        #expect(server.requests.count == (region == "other-1" ? 2 : 1))
    }

    // MARK: Sentences

    @Test(arguments: [
        (404, "NoSuchBucket", "There is no bucket \"pictures\" at "),
        (404, "NoSuchKey", "There is no object \"k\\u{1b}[2J\" in the bucket \"pictures\""),
        (403, "AccessDenied", "is denied at "),
        (403, "SignatureDoesNotMatch", "check the secret key and the region"),
        (403, "InvalidAccessKeyId", "does not take the access key"),
        (403, "RequestTimeTooSkewed", "set the clock"),
        (400, "AuthorizationHeaderMalformed", "check the endpoint and the region"),
        (409, "OperationAborted", "HTTP status 409 (OperationAborted): words \\u{9b}31m"),
    ])
    func sentences(_ status: Int, _ code: String, _ part: String) throws {
        let server = try LoopbackServer { _, _ in
            .xml(
                status,
                "<?xml version='1.0'?><Error><Code>\(code)</Code><Message>words &#x9B;31m</Message>"
                    + "<StringToSign>AWS4-HMAC-SHA256 X-Amz-</StringToSign></Error>",
                headers: ["x-amz-request-id: tx123"])
        }
        defer { server.stop() }
        let error = failure { _ = try bucket(server).object("k\u{1B}[2J", maximumBytes: 9) }
        #expect(error?.reason == .service(status: status, code: code, requestID: "tx123"))
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("(request tx123)") == true)
        #expect(
            error?.description.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{9B}" } == false
        )
    }

    // MARK: The wire

    @Test(arguments: ["a/../b", "./a", "..", "a//b", "/a", "a?b#c", "%41", "é/😀", " ", "a\nb"])
    func pathsGoOverTheWireAsTheyAre(_ key: String) throws {
        let server = try LoopbackServer { _, _ in LoopbackServer.Reply(200) }
        defer { server.stop() }
        _ = try bucket(server, token: "token").object(key, maximumBytes: 9)
        let request = try #require(server.requests.first)
        #expect(
            request.line
                == "GET /pictures/\(PercentEncoding.encode(key, keepingSlashes: true)) HTTP/1.1")
        #expect(request.headers["host"] == "127.0.0.1:\(server.port)")
        #expect(request.headers["x-amz-security-token"] == "token")
        #expect(
            request.headers["authorization"]?.contains(
                "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,") == true)
    }

    @Test func manyThreadsShareABucket() throws {
        let server = try LoopbackServer { _, request in
            LoopbackServer.Reply(200, body: Array(request.target.utf8))
        }
        defer { server.stop() }
        let bucket = try bucket(server)
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 200) { number in
            let bytes = try? bucket.object("k\(number)", maximumBytes: 99)
            if bytes != Array("/pictures/k\(number)".utf8) { wrong.add(1, ordering: .relaxed) }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(server.requests.count == 200)
        #expect(server.connectionCount < 50)
    }
}
