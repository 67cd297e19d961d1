import Bytes
import Foundation
import S3Client
import Testing

/// The examples of "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API
/// Reference: every one's canonical request (by its hash) and signature.
@Suite struct SigV4PublishedExamples {
    static let secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    let scope = SigV4.Scope(
        Date(timeIntervalSince1970: 1_369_353_600), region: "us-east-1")

    struct Example: Sendable {
        let name: String
        var method = "GET"
        var path = "/"
        var query: [(name: String, value: String)] = []
        var headers: [(name: String, value: String)] = []
        var payloadHash = emptyHash
        let canonicalRequestHash: String
        let signature: String
    }

    static let examples = [
        Example(
            name: "GET object", path: "/test.txt", headers: [("Range", "bytes=0-9")],
            canonicalRequestHash:
                "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
            signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        Example(
            name: "PUT object", method: "PUT", path: "/test%24file.text",
            headers: [
                ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            payloadHash: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            canonicalRequestHash:
                "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        Example(
            name: "GET bucket lifecycle", query: [("lifecycle", "")],
            canonicalRequestHash:
                "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        Example(
            name: "List objects", query: [("max-keys", "2"), ("prefix", "J")],
            canonicalRequestHash:
                "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ]

    @Test(arguments: examples.indices)
    func headerAuthentication(_ index: Int) {
        let example = Self.examples[index]
        let credentials = Credentials(
            accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: Self.secretKey)
        let headers = SigV4.signedByHeaders(
            method: example.method, path: example.path, query: example.query,
            headers: [("Host", "examplebucket.s3.amazonaws.com")] + example.headers,
            payloadHash: example.payloadHash, credentials: credentials, scope: scope)

        let request = SigV4.canonicalRequest(
            method: example.method, path: example.path, query: example.query,
            headers: headers.filter { $0.name != "Authorization" },
            payloadHash: example.payloadHash)
        #expect(SigV4.sha256(request.utf8) == example.canonicalRequestHash, "\(example.name)")
        let authorization = headers.last { $0.name == "Authorization" }?.value
        #expect(authorization?.hasSuffix("Signature=\(example.signature)") == true)
        #expect(
            authorization?.hasPrefix(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                    + "aws4_request, SignedHeaders=") == true)
    }

    @Test func signedPayload() {
        #expect(
            SigV4.sha256("Welcome to Amazon S3.".utf8)
                == "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
        #expect(SigV4.sha256([]) == Self.emptyHash)
    }

    /// "Authenticating Requests: Using Query Parameters".
    @Test func queryAuthentication() {
        let query = SigV4.presignedQuery(
            host: "examplebucket.s3.amazonaws.com", path: "/test.txt", expiresIn: 86_400,
            credentials: Credentials(
                accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: Self.secretKey),
            scope: scope)
        #expect(
            query == "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE"
                + "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
                + "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
                + "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    }

    /// "Examples of how to derive a signing key", AWS General Reference.
    @Test func signingKey() {
        let secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        for (seconds, key) in [
            (
                1_440_938_160.0,
                "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
            ),
            (
                1_329_264_000.0,
                "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
            ),
        ] {
            let scope = SigV4.Scope(
                Date(timeIntervalSince1970: seconds), region: "us-east-1",
                service: "iam")
            #expect(
                Hexadecimal.encode(SigV4.signingKey(secretKey: secretKey, scope: scope)) == key)
        }
    }
}

/// AWS's Signature Version 4 test suite, as botocore carries it.
@Suite struct SigV4TestSuite {
    struct Case: Decodable {
        let name, method, path, body, canonicalRequest, stringToSign, authorization: String
        let query, headers: [[String]]
    }

    @Test func everyStage() throws {
        let cases = try fixture("aws4-testsuite.json", as: [Case].self)
        #expect(cases.count >= 25)
        let scope = SigV4.Scope(
            Date(timeIntervalSince1970: 1_440_938_160),
            region: "us-east-1", service: "service")
        for one in cases {
            let headers = one.headers.map { (name: $0[0], value: $0[1]) }
            let canonical = SigV4.canonicalRequest(
                method: one.method,
                path: PercentEncoding.encode(one.path, keepingSlashes: true),
                query: one.query.map { ($0[0], $0[1]) }, headers: headers,
                payloadHash: SigV4.sha256(one.body.utf8))
            #expect(canonical == one.canonicalRequest, "\(one.name)")
            #expect(
                SigV4.stringToSign(canonical, scope: scope) == one.stringToSign, "\(one.name)")
            let signature = SigV4.signature(
                of: canonical, secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope: scope)
            #expect(one.authorization.hasSuffix("Signature=\(signature)"), "\(one.name)")
            #expect(
                one.authorization.contains(
                    "SignedHeaders=\(SigV4.signedHeaders(headers)),"), "\(one.name)")
        }
    }
}

@Suite struct TimestampTests {
    private func timestamp(_ date: Date) -> String { SigV4.Scope(date, region: "r").timestamp }

    /// Foundation's calendar as the other opinion, over leap years and centuries.
    @Test func agreesWithFoundation() throws {
        for seconds in stride(from: 0.0, to: 253_402_300_799, by: 86_399 * 97.25) {
            let date = Date(timeIntervalSince1970: seconds.rounded(.down))
            let expected = date.formatted(
                .iso8601.dateSeparator(.omitted).timeSeparator(.omitted))
            #expect(timestamp(date) == expected)
        }
    }

    @Test func staysWithinFourDigits() {
        #expect(timestamp(Date(timeIntervalSince1970: -1)) == "19700101T000000Z")
        #expect(timestamp(.distantFuture + 1e13) == "99991231T235959Z")
        #expect(timestamp(Date(timeIntervalSince1970: .infinity)) == "99991231T235959Z")
    }
}
