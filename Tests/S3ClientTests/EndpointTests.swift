import S3Client
import Testing

@Suite struct EndpointTests {
    @Test func takesApart() throws {
        let plain = try Endpoint("https://S3.Example.com")
        #expect(plain.hostHeader == "s3.example.com")
        #expect(plain.origin == "https://S3.Example.com")
        #expect(plain.pathPrefix == "")
        #expect(try Endpoint("HTTP://h:80").hostHeader == "h")
        #expect(try Endpoint("https://h:80").hostHeader == "h:80")
        #expect(try Endpoint("http://h:9000/a/b//").pathPrefix == "/a/b")
        let six = try Endpoint("http://[2001:DB8::1]:9000/x")
        #expect(six.hostHeader == "[2001:db8::1]:9000")
        #expect(six.isAddress)
        #expect(try Endpoint("http://127.0.0.1:9").isLoopback)
        #expect(try Endpoint("http://[::1]").isLoopback)
        #expect(try Endpoint("http://127.example.com").isLoopback == false)
    }

    @Test(arguments: [
        "", "s3.example.com", "example", "//h", "ftp://h", "https://", "https:///x",
        "https://h?a=b",
        "https://h/#x", "https://h:0", "https://h:65536", "https://h:+1", "https://h:",
        "https://h:x",
        "https://h h", "https://h\n", "https://é.com", "https://[::1", "https://[::g]",
        "https://[]",
        "https://[::1]x", "https://h/a b", "https://h\\x", "https://a/<b>", "https://h\u{0}",
    ])
    func refuses(_ text: String) {
        let error = #expect(throws: S3Error.self) { try Endpoint(text) }
        #expect(error?.reason == .setting)
        #expect(error?.description.hasPrefix("The S3 endpoint ") == true)
    }

    @Test func passwordsAndQueriesAreNotRepeated() {
        for text in ["https://me:Geheimnis@h/", "ftp://me:Geheimnis@h", "https://h/?x=Geheimnis"] {
            let error = #expect(throws: S3Error.self) { try Endpoint(text) }
            #expect(error?.description.contains("Geheimnis") == false)
        }
    }

    /// Host names as the services' own documentation writes them.
    @Test(
        arguments: [
            ("s3.amazonaws.com", "us-east-1"), ("s3.eu-west-3.amazonaws.com", "eu-west-3"),
            ("s3-eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3.dualstack.eu-central-1.amazonaws.com", "eu-central-1"),
            ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("bucket.s3.ap-south-1.amazonaws.com", "ap-south-1"),
            ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("s3.gra.io.cloud.ovh.net", "gra"), ("s3.us-east-va.io.cloud.ovh.us", "us-east-va"),
            ("s3.rbx.perf.cloud.ovh.net", "rbx"), ("S3.FR-PAR.scw.cloud", "fr-par"),
            ("s3.eu-central-2.wasabisys.com", "eu-central-2"), ("s3.wasabisys.com", nil),
            ("s3.us-west-004.backblazeb2.com", "us-west-004"),
            ("nyc3.digitaloceanspaces.com", "nyc3"), ("bucket.fra1.digitaloceanspaces.com", "fra1"),
            ("0123abc.r2.cloudflarestorage.com", "auto"),
            ("0123abc.eu.r2.cloudflarestorage.com", "auto"),
            ("s3.example.com", nil), ("minio.local", nil), ("localhost", nil), ("127.0.0.1", nil),
            ("digitaloceanspaces.com", nil), ("s3-accelerate.amazonaws.com", nil),
            ("ec2.eu-west-3.amazonaws.com", nil), ("", nil),
        ] as [(String, String?)])
    func regionOfHost(_ host: String, _ region: String?) {
        #expect(Region.derived(fromHost: host) == region)
    }

    @Test func regionOfBucket() throws {
        func region(_ endpoint: String, _ given: String?) throws -> String {
            try S3Bucket(
                endpoint: endpoint, bucket: "pictures", region: given,
                credentials: Credentials(accessKey: "a", secretKey: "b")
            ).region
        }
        #expect(try region("https://s3.gra.io.cloud.ovh.net", nil) == "gra")
        #expect(try region("https://s3.gra.io.cloud.ovh.net", "sbg") == "sbg")
        #expect(try region("http://127.0.0.1:9000", "") == "us-east-1")
        #expect(try region("", nil) == "us-east-1")
        #expect(throws: S3Error.self) { try region("", "eu.evil.com/") }
    }

    @Test(arguments: ["", "a/b", "..", "a b", "é", "a?b", String(repeating: "a", count: 256)])
    func refusesBucket(_ name: String) {
        #expect(throws: S3Error.self) {
            try S3Bucket(
                endpoint: "http://h", bucket: name,
                credentials: Credentials(accessKey: "a", secretKey: "b"))
        }
    }

    @Test func refusesKeysThatHeadersCannotCarry() {
        for (access, secret, token) in [
            ("", "b", nil), ("a", "", nil), ("a\r\nX: y", "b", nil), ("a", "b", "c\n"),
        ] as [(String, String, String?)] {
            let error = #expect(throws: S3Error.self) {
                try S3Bucket(
                    endpoint: "http://h", bucket: "pictures",
                    credentials: Credentials(
                        accessKey: access, secretKey: secret, sessionToken: token))
            }
            #expect(error?.reason == .setting)
        }
    }

    @Test func opensWhatTheEndpointSays() throws {
        func open(_ endpoint: String) throws -> any ObjectStore {
            try openObjectStore(endpoint: endpoint, bucket: "tmp") {
                CredentialProvider(Credentials(accessKey: "a", secretKey: "b"))
            }
        }
        #expect(try open("https://s3.example.com") is S3Bucket)
        #expect(try open("").displayName == "tmp at https://s3.us-east-1.amazonaws.com")
        #expect(try open("file:///") is DirectoryBucket)
        #expect(try open("FILE://localhost/") is DirectoryBucket)
        for bad in [
            "file:/x", "file:x", "file://host/x", "file://", "file:///?x", "file:///%00",
            "file:///there/is/no/such",
        ] {
            #expect(throws: S3Error.self) { try open(bad) }
        }
    }
}
