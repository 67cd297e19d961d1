import FoundationEssentials

/// One S3 request, before it is signed.
package struct S3Call {
    package var method = "GET"
    /// nil for a request to the bucket itself.
    package var key: String?
    package var query: [(name: String, value: String)] = []
    package var payload: [UInt8]?
    /// An answer with more bytes is an error.
    package var maximumBytes: Int
    /// The same for an answer that was stored encoded and arrives decoded.
    package var maximumDecodedBytes: Int
    /// Sees the first bytes; see `ObjectStore.object`.
    package var accept: ((UnsafeRawBufferPointer) -> Bool)?
    /// Takes the pieces of a successful answer's body, which are then not held.
    package var receive: ((ObjectHead, UnsafeRawBufferPointer) throws -> Void)?

    package init(
        method: String = "GET", key: String? = nil, query: [(name: String, value: String)] = [],
        payload: [UInt8]? = nil, maximumBytes: Int
    ) {
        self.method = method
        self.key = key
        self.query = query
        self.payload = payload
        self.maximumBytes = maximumBytes
        maximumDecodedBytes = maximumBytes
    }
}

extension S3Bucket {
    /// Signs and sends `call`, again where that may help, and gives back the body; nil where
    /// `call.accept` refused it. Every attempt gets its own signature.
    package func send(_ call: S3Call) throws -> (bytes: [UInt8], isDecoded: Bool)? {
        var failures = 0
        var mayMove = true
        var mayRenew = true
        while true {
            let place = self.place.value.withLock { $0 }
            let endpoint = place.movedTo ?? self.endpoint
            let address = address(of: call.key, at: endpoint)
            let now = clock()
            let used = try credentials.credentials(at: now)
            var collector = BodyCollector(call)
            var retryAfter: Duration?
            let failure: S3Error
            do {
                let head = try transport.perform(
                    request(call, at: address, used, SigV4.Scope(now, region: place.region)),
                    at: endpoint
                ) { try collector.take($1, head: $0) }
                if head.isSuccess { return try collector.finish(subject(call.key)) }
                let told = ServiceError(parsing: collector.bytes)
                failure = refusal(head, told, key: call.key, region: place.region)
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
            guard failure.isWorthRetrying, !collector.hasPassedOn, failures < retries.attempts
            else { throw failure }
            pause(retries.delay(afterFailures: failures, retryAfter: retryAfter))
        }
    }

    private func request(
        _ call: S3Call, at address: Address, _ credentials: Credentials?, _ scope: SigV4.Scope
    ) -> HTTPRequest {
        let query = SigV4.canonicalQueryString(call.query)
        var request = HTTPRequest(
            url: address.origin + address.path + (query.isEmpty ? "" : "?\(query)"))
        request.method = call.method
        request.body = call.payload
        request.decodesContent = true
        request.headers = [("host", address.hostHeader)]
        if requesterPays { request.headers.append(("x-amz-request-payer", "requester")) }
        if let credentials {
            request.headers = SigV4.signedByHeaders(
                SigV4.Request(
                    method: call.method, path: address.path, query: call.query,
                    headers: request.headers, payloadHash: SigV4.sha256(call.payload ?? [])),
                credentials: credentials, scope: scope)
        }
        return request
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
struct BodyCollector {
    private enum Verdict { case good, refused, tooLarge }

    private(set) var bytes: [UInt8] = []
    private var verdict = Verdict.good
    private let call: S3Call
    /// Whether the object was stored with a `Content-Encoding`.
    private var isDecoded = false
    private var hasDecided = false
    /// Whether `receive` got any bytes.
    private(set) var hasPassedOn = false

    /// Bytes that `accept` sees at least, if the body has them.
    static let beginning = 32
    /// How much of an error document is kept.
    private static let maximumErrorBytes = 64 << 10

    init(_ call: S3Call) { self.call = call }

    private var limit: Int { isDecoded ? call.maximumDecodedBytes : call.maximumBytes }

    /// Whether to go on.
    mutating func take(_ piece: UnsafeRawBufferPointer, head: HTTPHead) throws -> Bool {
        guard head.isSuccess else {
            let room = Self.maximumErrorBytes - bytes.count
            bytes.append(contentsOf: piece.prefix(room))
            return piece.count < room
        }
        isDecoded = head["content-encoding"].map { $0 != "identity" } ?? false
        if let receive = call.receive {
            hasPassedOn = true
            let etag = head["etag"].flatMap(entityTag)
            // The length is that of the encoded bytes.
            let size = isDecoded ? nil : head.contentLength
            try receive(ObjectHead(size: size, etag: etag), piece)
            return true
        }
        let length = bytes.isEmpty ? Int(clamping: head.contentLength ?? 0) : 0
        guard length <= call.maximumBytes, piece.count <= limit - bytes.count else {
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
    mutating func finish(_ subject: String) throws -> (bytes: [UInt8], isDecoded: Bool)? {
        if verdict == .good { decide() }
        switch verdict {
        case .good: return (bytes, isDecoded)
        case .refused: return nil
        case .tooLarge:
            throw S3Error(.tooLarge, key: call.key, "\(subject) has more than \(limit) bytes.")
        }
    }

    private mutating func decide() {
        guard let accept = call.accept, !hasDecided else { return }
        hasDecided = true
        if bytes.withUnsafeBytes(accept) == false { verdict = .refused }
    }
}
