import FoundationEssentials

extension S3Bucket {
    /// Signs and sends a request, again where that may help. Every attempt gets its own signature.
    /// - Parameters:
    ///   - key: nil for a request to the bucket itself.
    ///   - body: takes the answer's.
    /// - Returns: the body; nil where `body.accept` refused it.
    package func send(
        _ method: String = "GET", key: String? = nil, query: [(name: String, value: String)] = [],
        payload: [UInt8]? = nil, into body: BodyCollector = BodyCollector(maximumBytes: 1 << 16)
    ) throws -> BodyCollector.Body? {
        var failures = 0
        var mayMove = true
        var mayRenew = true
        while true {
            let place = self.place.value.withLock { $0 }
            let endpoint = place.movedTo ?? self.endpoint
            let address = address(of: key, at: endpoint)
            let now = clock()
            let used = try credentials.credentials(at: now)
            let queryString = SigV4.canonicalQueryString(query)
            var request = HTTPRequest(
                url: address.origin + address.path + (query.isEmpty ? "" : "?\(queryString)"))
            request.method = method
            request.body = payload
            request.decodesContent = true
            request.headers = [("host", address.host)]
            if requesterPays { request.headers.append(("x-amz-request-payer", "requester")) }
            if let used {
                request.headers = SigV4.signedByHeaders(
                    method: method, path: address.path, query: query, headers: request.headers,
                    payloadHash: SigV4.sha256(payload ?? []), credentials: used,
                    scope: SigV4.Scope(now, region: place.region))
            }

            var body = body
            var retryAfter: Duration?
            let failure: S3Error
            do {
                let head = try transport.perform(request, at: endpoint) {
                    try body.take($1, head: $0)
                }
                if head.isSuccess { return try body.finish(subject(key), key) }
                let told = ServiceError(parsing: body.bytes)
                failure = refusal(head, told, key: key, region: place.region)
                if mayMove, follow(head, told, from: place.region) {
                    mayMove = false
                    continue
                }
                if mayRenew, failure.meansExpired, credentials.expire(used) {
                    mayRenew = false
                    continue
                }
                retryAfter = head.retryAfter
            } catch let error as S3Error {
                failure = error
            }
            failures += 1
            guard failure.isWorthRetrying, !body.hasPassedOn, failures < retries.attempts
            else { throw failure }
            pause(retries.delay(afterFailures: failures, retryAfter: retryAfter))
        }
    }

    /// Remembers the region that the service says the bucket belongs to, unless another thread already did. False where
    /// it names none.
    private func follow(_ head: HTTPHead, _ told: ServiceError, from region: String) -> Bool {
        let movingCodes = ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]
        let named =
            told.region ?? head["x-amz-bucket-region"]
            ?? head["location"].flatMap(Region.derived(fromAmazonURL:))
        guard (300..<400).contains(head.status) || movingCodes.contains(told.code ?? ""),
            let named, named != region, Region.isValid(named)
        else { return false }
        place.value.withLock { place in
            guard place.region != named else { return }
            place.region = named
            // To another host only within AWS, whose hosts' names are known: never to one that
            // an answer names.
            if Region.isAmazonHost(endpoint.host) {
                place.movedTo = Endpoint(https: Region.amazonHost(for: named))
            }
        }
        return true
    }

    // MARK: Errors

    /// The object or the bucket, at the beginning of a sentence.
    private func subject(_ key: String?) -> String {
        key.map { "The object \(quoted($0)) in the bucket \(quoted(bucket))" }
            ?? "The bucket \(quoted(bucket))"
    }

    private func refusal(
        _ head: HTTPHead, _ told: ServiceError, key: String?, region: String
    ) -> S3Error {
        let requestID =
            told.requestID ?? head["x-amz-request-id"].map { printable($0, limit: 100) }
        return S3Error(
            .service(status: head.status, code: told.code, requestID: requestID), key: key,
            sentence(status: head.status, told: told, key: key, region: region)
                + (requestID.map { " (request \($0))" } ?? "") + ".")
    }

    private func sentence(
        status: Int, told: ServiceError, key: String?, region: String
    ) -> String {
        let place = endpoint.origin
        if [403, 404].contains(status), endpoint.holds(bucket: bucket) {
            return Self.bucketInEndpoint(bucket, endpoint)
        }
        let code = told.code.map { " (\($0))" } ?? ""
        let words = told.message.map { ": \($0)" } ?? ""
        // "the object …" or "the bucket …"
        let object = "t" + subject(key).dropFirst()
        switch (told.code, status) {
        case ("NoSuchBucket", _):
            return "There is no bucket \(quoted(bucket)) at \(place)\(code): "
                + "check the bucket's name, the endpoint and the region"
        case ("NoSuchKey", _):
            return "There is no object \(quoted(key ?? "")) in the bucket \(quoted(bucket))\(code)"
        case ("AccessDenied", _), ("AllAccessDisabled", _):
            return "Access to \(object) is denied at \(place)\(code)\(words); "
                + "check the keys and what they are allowed"
        case ("SignatureDoesNotMatch", _):
            return "\(place) refuses the signature\(code): check the secret key "
                + "and the region, which is \(quoted(region))"
        case ("InvalidAccessKeyId", _), ("InvalidToken", _), ("ExpiredToken", _),
            ("TokenRefreshRequired", _):
            return "\(place) does not take the access key or session token\(code)\(words)"
        case ("RequestTimeTooSkewed", _):
            return "The clock of this machine and that of \(place) are too far apart\(code): "
                + "set the clock"
        case ("AuthorizationHeaderMalformed", _), ("PermanentRedirect", _),
            ("TemporaryRedirect", _):
            let other = told.region.map { ", it names \(quoted(printable($0, limit: 63)))" } ?? ""
            return "\(place) does not serve the bucket \(quoted(bucket)) in the region "
                + "\(quoted(region))\(other)\(code)\(words); check the endpoint and the region"
        case (nil, 300..<400):
            return "\(place) answers with a redirect (HTTP status \(status)), which is not "
                + "followed; check the endpoint"
        case (nil, 401), (nil, 403):
            return "Access to \(object) is denied at \(place) (HTTP status \(status)); "
                + "check the keys and what they are allowed"
        case (nil, 404): return "\(subject(key)) does not exist at \(place) (HTTP status 404)"
        default: return "\(subject(key)) at \(place): HTTP status \(status)\(code)\(words)"
        }
    }
}

/// Gathers a body within its bounds and shows its beginning to the code that decides about it.
package struct BodyCollector {
    package typealias Body = (bytes: [UInt8], isDecoded: Bool)

    /// A body with more bytes is an error.
    private let maximumBytes: Int
    /// The same for one that was stored encoded and arrives decoded.
    private let maximumDecodedBytes: Int
    /// Sees the first bytes; see `ObjectStore.object`.
    private let accept: ((UnsafeRawBufferPointer) -> Bool)?
    /// Takes the pieces of a successful answer's body, which are then not held.
    private let receive: ((ObjectHead, UnsafeRawBufferPointer) throws -> Void)?

    private(set) var bytes: [UInt8] = []
    private enum Verdict { case good, refused, tooLarge }
    private var verdict = Verdict.good
    /// Whether the object was stored with a `Content-Encoding`.
    private var isDecoded = false
    private var hasDecided = false
    /// Whether `receive` got any bytes.
    private(set) var hasPassedOn = false

    /// Bytes that `accept` sees at least, if the body has them.
    static let beginning = 32
    /// How much of an error document is kept.
    private static let maximumErrorBytes = 64 << 10

    package init(
        maximumBytes: Int, maximumDecodedBytes: Int? = nil,
        accept: ((UnsafeRawBufferPointer) -> Bool)? = nil,
        receive: ((ObjectHead, UnsafeRawBufferPointer) throws -> Void)? = nil
    ) {
        self.maximumBytes = maximumBytes
        self.maximumDecodedBytes = maximumDecodedBytes ?? maximumBytes
        self.accept = accept
        self.receive = receive
    }

    private var limit: Int { isDecoded ? maximumDecodedBytes : maximumBytes }

    /// Whether to go on.
    mutating func take(_ piece: UnsafeRawBufferPointer, head: HTTPHead) throws -> Bool {
        guard head.isSuccess else {
            let room = Self.maximumErrorBytes - bytes.count
            bytes.append(contentsOf: piece.prefix(room))
            return piece.count < room
        }
        isDecoded = head["content-encoding"].map { $0 != "identity" } ?? false
        if let receive {
            hasPassedOn = true
            let etag = head["etag"].flatMap(entityTag)
            // The length is that of the encoded bytes.
            let size = isDecoded ? nil : head.contentLength
            try receive(ObjectHead(size: size, etag: etag), piece)
            return true
        }
        let length = bytes.isEmpty ? Int(clamping: head.contentLength ?? 0) : 0
        guard length <= maximumBytes, piece.count <= limit - bytes.count else {
            verdict = .tooLarge
            return false
        }
        bytes.reserveCapacity(length)
        bytes.append(contentsOf: piece)
        if bytes.count >= Self.beginning { decide() }
        return verdict == .good
    }

    /// The body is complete: a decision that is still open is made now.
    /// - Parameter subject: the object, at the beginning of a sentence.
    /// - Returns: nil where `accept` refused the body.
    mutating func finish(_ subject: String, _ key: String?) throws -> Body? {
        if verdict == .good { decide() }
        switch verdict {
        case .good: return (bytes, isDecoded)
        case .refused: return nil
        case .tooLarge:
            throw S3Error(.tooLarge, key: key, "\(subject) has more than \(limit) bytes.")
        }
    }

    private mutating func decide() {
        guard let accept, !hasDecided else { return }
        hasDecided = true
        if bytes.withUnsafeBytes(accept) == false { verdict = .refused }
    }
}
