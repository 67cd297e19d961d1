import Foundation
import S3Client
import Testing

/// URLs and signatures next to those of boto3 (Fixtures/make_boto3_presigned.py), byte for byte.
@Suite struct Boto3Comparison {
    struct Golden: Decodable {
        let now: Double
        let secret, token: String
        let presigned: [Presigned]
        let listed: [Listed]
    }

    struct Presigned: Decodable {
        let endpoint, region, bucket, style, query: String
        let token: Bool
        let expires: Int
        /// Key, URL up to the query, signature.
        let entries: [[String]]
    }

    struct Listed: Decodable {
        let endpoint, region, bucket, style, path, authorization: String
        let token: Bool
        let query: [[String]]
    }

    private func bucket(
        _ golden: Golden, _ endpoint: String, _ region: String, _ bucket: String, token: Bool,
        virtualHost: Bool? = nil
    ) throws -> S3Bucket {
        var bucket = try S3Bucket(
            endpoint: endpoint, bucket: bucket, region: region,
            credentials: Credentials(
                accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: golden.secret,
                sessionToken: token ? golden.token : nil))
        if let virtualHost { bucket.usesVirtualHost = virtualHost }
        return bucket
    }

    @Test func presignedURLs() throws {
        let golden = try fixture("boto3-presigned.json", as: Golden.self)
        let now = Date(timeIntervalSince1970: golden.now)
        var count = 0
        for one in golden.presigned {
            // On AWS itself "automatic" must come to what boto3 was told to do; for an explicit
            // endpoint it must be what boto3 does by default.
            let forced = one.endpoint.isEmpty == false && one.style == "virtual"
            let bucket = try bucket(
                golden, one.endpoint, one.region, one.bucket, token: one.token,
                virtualHost: forced ? true : nil)
            for entry in one.entries {
                let url = try bucket.presignedURL(
                    for: entry[0], expiresIn: one.expires, at: now)
                let expected = "\(entry[1])?\(one.query)&X-Amz-Signature=\(entry[2])"
                #expect(sameBytes(url, expected), "\(entry[0].debugDescription): \(url)")
                count += 1
            }
        }
        #expect(count > 700)
    }

    @Test func signedListings() throws {
        let golden = try fixture("boto3-presigned.json", as: Golden.self)
        let now = Date(timeIntervalSince1970: golden.now)
        #expect(golden.listed.count >= 12)
        for one in golden.listed {
            let host =
                one.endpoint.isEmpty
                ? "\(one.bucket).s3.\(one.region).amazonaws.com"
                : try Endpoint(one.endpoint).hostHeader
            let headers = SigV4.signedByHeaders(
                method: "GET", path: one.path, query: one.query.map { ($0[0], $0[1]) },
                headers: [("host", host)], payloadHash: SigV4.sha256([]),
                credentials: Credentials(
                    accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: golden.secret,
                    sessionToken: one.token ? golden.token : nil),
                scope: SigV4.Scope(now, region: one.region))
            #expect(headers.last?.value == one.authorization)
        }
    }
}

@Suite struct PresignedURLTests {
    let bucket: S3Bucket

    init() throws {
        bucket = try S3Bucket(
            endpoint: "https://s3.example.com", bucket: "pictures",
            credentials: Credentials(accessKey: "access", secretKey: "Geheimnis"))
    }

    @Test(arguments: [0, -1, 604_801, .max, .min])
    func refusesLife(_ seconds: Int) {
        #expect(throws: S3Error.self) { try bucket.presignedURL(for: "k", expiresIn: seconds) }
    }

    @Test(arguments: ["", String(repeating: "a", count: 1_025)])
    func refusesKey(_ key: String) {
        let error = #expect(throws: S3Error.self) { try bucket.presignedURL(for: key) }
        #expect(error?.reason == .key)
    }

    @Test func anHourUnlessToldOtherwise() throws {
        #expect(try bucket.presignedURL(for: "k").contains("&X-Amz-Expires=3600&"))
    }

    @Test func secretsDoNotShow() throws {
        let credentials = Credentials(
            accessKey: "access", secretKey: "Geheimnis", sessionToken: "Marke")
        let provider = CredentialProvider(credentials)
        var dumped = ""
        dump(credentials, to: &dumped)
        dump(provider, to: &dumped)
        dump(bucket, to: &dumped)
        for text in [
            "\(credentials)", String(reflecting: credentials), "\(provider)",
            String(reflecting: provider), "\(bucket)", String(reflecting: bucket),
            bucket.displayName, dumped,
        ] {
            #expect(text.contains("Geheimnis") == false)
            #expect(text.contains("Marke") == false)
        }
    }
}
