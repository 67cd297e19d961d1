import Bytes
import FoundationEssentials
import Synchronization

/// A bucket of an S3 service, by SigV4 over libcurl. Copies share their connections; any number of
/// threads may use it at the same time.
public struct S3Bucket: ObjectStore {
    /// How many keys a listing's page holds; S3's own limit is 1,000.
    public var pageSize = 1_000
    /// Whether the requester pays, as the owners of some buckets demand.
    public var requesterPays = false

    package let endpoint: Endpoint
    public let bucket: String
    let credentials: CredentialProvider
    /// Whether addresses are `https://BUCKET.HOST/KEY` instead of `https://HOST/BUCKET/KEY`. As with boto3: on
    /// AWS itself, for names that can be a host's label.
    package var usesVirtualHost: Bool
    let retries: RetryPolicy
    let transport: HTTPTransport
    let place: Place
    let clock: @Sendable () -> Date
    let pause: @Sendable (Duration) -> Void

    /// - Parameters:
    ///   - endpoint: `https://HOST[:PORT][/PREFIX]`; nil or empty for AWS.
    ///   - region: nil or empty for the one that the endpoint's host name tells, or `us-east-1`.
    package init(
        endpoint: String?, bucket: String, region: String? = nil, credentials: CredentialProvider,
        transport: TransportOptions = TransportOptions(), retries: RetryPolicy = RetryPolicy(),
        clock: @escaping @Sendable () -> Date = { Date() },
        pause: @escaping @Sendable (Duration) -> Void = blockThread
    ) throws {
        func refusal(_ text: String) -> S3Error { S3Error(.setting, text) }

        // botocore's rule for names, without its ARNs.
        guard (1...255).contains(bucket.utf8.count), bucket != ".", bucket != "..",
            bucket.utf8.allSatisfy({ PercentEncoding.isUnreserved($0) && $0 != UInt8(ascii: "~") })
        else {
            throw refusal(
                "The bucket name \(quoted(bucket)) is not one that S3 allows: "
                    + "1 to 255 letters, digits, dots, hyphens and underscores.")
        }
        // A time in the past fetches no new credentials.
        try credentials.credentials(at: .distantPast)?.check()
        let region = region.flatMap { $0.isEmpty ? nil : $0 }
        if let region, Region.isValid(region) == false {
            throw refusal("The S3 region \(quoted(region)) is not letters, digits and hyphens.")
        }

        let given = try endpoint.flatMap { $0.isEmpty ? nil : try Endpoint($0) }
        let signed =
            region ?? given.flatMap { Region.derived(fromHost: $0.host) } ?? Region.fallback
        self.endpoint = given ?? Endpoint(https: Region.amazonHost(for: signed))
        self.bucket = bucket
        self.credentials = credentials
        usesVirtualHost = given == nil && Self.canBeHostLabel(bucket)
        self.retries = retries
        self.clock = clock
        self.pause = pause
        self.transport = HTTPTransport(options: transport)
        place = Place(region: signed)

        if self.endpoint.holds(bucket: bucket), Region.isAmazonHost(self.endpoint.host) {
            throw refusal(Self.bucketInEndpoint(bucket, self.endpoint) + ".")
        }
    }

    /// What to do about an endpoint that contains the bucket's name.
    static func bucketInEndpoint(_ bucket: String, _ endpoint: Endpoint) -> String {
        "The endpoint \(endpoint.origin)\(endpoint.pathPrefix) already contains the bucket \(quoted(bucket)): "
            + "leave the bucket out of the endpoint"
    }

    public var displayName: String { "\(bucket) at \(endpoint.origin)" }

    /// The region that requests are signed for: the configured or derived one, until the service
    /// names another.
    public var region: String { place.value.withLock { $0.region } }

    /// Shared by copies of the bucket.
    final class Place: Sendable {
        /// A region, and another host if the service said that the bucket is there.
        let value: Mutex<(region: String, movedTo: Endpoint?)>

        init(region: String) { value = Mutex((region, nil)) }
    }

    // MARK: Addresses

    /// Where an object (or with no key the bucket) is. `host` is for the header; `path` is percent-encoded once and never
    /// normalised: S3's keys may hold `//`, `.` and `..`.
    func address(
        of key: String?, at endpoint: Endpoint
    ) -> (origin: String, host: String, path: String) {
        let object = key.map { "/" + PercentEncoding.encode($0, keepingSlashes: true) }
        guard usesVirtualHost else {
            let path = "\(endpoint.pathPrefix)/\(bucket)\(object ?? "")"
            return (endpoint.origin, endpoint.hostHeader, path)
        }
        return (
            "\(endpoint.scheme.rawValue)://\(bucket).\(endpoint.authority)",
            endpoint.hostHeader(prefixedBy: "\(bucket)."), endpoint.pathPrefix + (object ?? "/")
        )
    }

    /// `aws.isVirtualHostableS3Bucket` of AWS's endpoint rules: 3 to 63 lower-case letters, digits
    /// and hyphens, none at the ends. No dots, since a certificate's wildcard covers one label.
    static func canBeHostLabel(_ bucket: String) -> Bool {
        let allowed = "abcdefghijklmnopqrstuvwxyz0123456789-".utf8
        return (3...63).contains(bucket.utf8.count) && bucket.utf8.allSatisfy(allowed.contains)
            && !bucket.hasPrefix("-") && !bucket.hasSuffix("-")
    }

    // MARK: Presigned URLs

    public func presignedURL(for key: String, expiresIn seconds: Int, at now: Date) throws -> String
    {
        try check(key)
        try checkPresignedLife(seconds, key: key)
        let place = self.place.value.withLock { $0 }
        let address = address(of: key, at: place.movedTo ?? endpoint)
        let url = address.origin + address.path
        guard let credentials = try credentials.credentials(at: now) else { return url }
        let query = SigV4.presignedQuery(
            host: address.host, path: address.path, expiresIn: seconds,
            credentials: credentials, requesterPays: requesterPays,
            scope: SigV4.Scope(now, region: place.region))
        return "\(url)?\(query)"
    }

    func check(_ key: String) throws {
        guard (1...1_024).contains(key.utf8.count) else {
            throw S3Error(
                .key, key: key,
                "An S3 key has 1 to 1,024 bytes; \(quoted(key)) has \(key.utf8.count).")
        }
    }
}
