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
            let error: S3Error
            var retryAfter: Duration?
            switch try attempt(call) {
            case .body(let bytes, let isDecoded): return (bytes, isDecoded)
            case .refused: return nil
            case .elsewhere(let region, let failure):
                if mayMove, follow(to: region) {
                    mayMove = false
                    continue
                }
                throw failure
            case .expired(let refused, let failure):
                guard mayRenew, credentials.expire(refused) else { throw failure }
                mayRenew = false
                continue
            case .failed(let failure, worthRetrying: false, _): throw failure
            case .failed(let failure, worthRetrying: true, let after):
                error = failure
                retryAfter = after
            }
            failures += 1
            guard failures < retries.attempts else { throw error }
            pause(
                retries.delay(
                    afterFailures: failures, retryAfter: retryAfter,
                    fraction: Double.random(in: 0...1)))
        }
    }

    private enum Outcome {
        case body([UInt8], isDecoded: Bool)
        case refused
        /// The service says that the bucket belongs to another region.
        case elsewhere(region: String, S3Error)
        /// The store no longer takes these credentials.
        case expired(Credentials?, S3Error)
        case failed(S3Error, worthRetrying: Bool, retryAfter: Duration?)
    }

    private func attempt(_ call: S3Call) throws -> Outcome {
        let place = state.place.withLock { $0 }
        let endpoint = place.movedTo ?? self.endpoint
        let address = address(of: call.key, at: endpoint)
        let now = clock()
        let credentials = try credentials.credentials(at: now)
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
                credentials: credentials,
                scope: SigV4.Scope(timestamp: Timestamp(now), region: place.region))
        }

        var collector = BodyCollector(call)
        let answer: HTTPTransport.Answer
        do {
            answer = try state.transport.perform(request, bypassProxy: endpoint.isLoopback) {
                try collector.take($1, head: $0)
            }
        } catch let fault as TransportFault {
            return .failed(
                S3Error(
                    .connection(fault.fault), key: call.key, connectionSentence(fault, endpoint)),
                worthRetrying: fault.fault.isWorthRetrying && !collector.hasPassedOn,
                retryAfter: nil)
        }
        if (200..<300).contains(answer.head.status) {
            collector.finish()
            switch collector.verdict {
            case .tooLarge:
                throw S3Error(
                    .tooLarge, key: call.key,
                    "\(subject(call.key)) has more than \(collector.isDecoded ? call.maximumDecodedBytes : call.maximumBytes) bytes."
                )
            case .refused: return .refused
            case .good: return .body(collector.bytes, isDecoded: collector.isDecoded)
            }
        }
        let outcome = refusal(answer, body: collector.bytes, call: call, region: place.region)
        if case .failed(let error, _, _) = outcome, error.meansExpired {
            return .expired(credentials, error)
        }
        return outcome
    }

    /// Remembers the region that the service named, unless another thread already did. False where it is not one.
    private func follow(to region: String) -> Bool {
        guard Region.isValid(region) else { return false }
        return state.place.withLock { place in
            let amazon = isAmazonDefault || Region.isAmazonHost(endpoint.host)
            guard place.region != region else { return true }
            place.region = region
            // To another host only within AWS, whose hosts' names are known: never to one that
            // an answer names.
            if amazon { place.movedTo = Endpoint(https: Region.amazonHost(for: region)) }
            return true
        }
    }

    // MARK: Errors

    /// The object or the bucket, at the beginning of a sentence.
    func subject(_ key: String?) -> String {
        key.map { "The object \(quoted($0)) in the bucket \(quoted(bucket))" }
            ?? "The bucket \(quoted(bucket))"
    }

    private func refusal(
        _ answer: HTTPTransport.Answer, body: [UInt8], call: S3Call, region: String
    ) -> Outcome {
        let status = answer.head.status
        let told = ServiceError(parsing: body)
        let requestID =
            told.requestID ?? answer.head["x-amz-request-id"].map { printable($0, limit: 100) }
        let error = S3Error(
            .service(status: status, code: told.code, requestID: requestID), key: call.key,
            sentence(status: status, told: told, key: call.key, region: region)
                + (requestID.map { " (request \($0))" } ?? "") + ".")

        let elsewhere =
            told.region ?? answer.head["x-amz-bucket-region"]
            ?? answer.head["location"].flatMap(Region.derived(fromAmazonURL:))
        let movingCodes = ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]
        if let elsewhere, elsewhere != region,
            (300..<400).contains(status) || movingCodes.contains(told.code ?? "")
        {
            return .elsewhere(region: elsewhere, error)
        }
        let retryable =
            [429, 500, 502, 503, 504].contains(status)
            || ["SlowDown", "RequestTimeout", "Throttling"].contains(told.code ?? "")
        return .failed(error, worthRetrying: retryable, retryAfter: answer.retryAfter)
    }

    private func sentence(
        status: Int, told: ServiceError, key: String?, region: String
    ) -> String {
        let place = endpoint.origin
        if [403, 404].contains(status), endpoint.holds(bucket: bucket) {
            return Self.bucketInEndpoint(bucket, endpoint)
        }
        let code = told.code.map { " (\($0))" } ?? ""
        let words =
            told.message.map { message in
                // The sentence gets its full stop at its end.
                ": " + (message.hasSuffix(".") ? String(message.dropLast()) : message)
            } ?? ""
        switch told.code {
        case "NoSuchBucket":
            return "There is no bucket \(quoted(bucket)) at \(place)\(code): "
                + "check the bucket's name, the endpoint and the region"
        case "NoSuchKey":
            return "There is no object \(quoted(key ?? "")) in the bucket \(quoted(bucket))\(code)"
        case "AccessDenied", "AllAccessDisabled":
            return
                "Access to \(lowercasedFirst(subject(key))) is denied at \(place)\(code)\(words); "
                + "check the keys and what they are allowed"
        case "SignatureDoesNotMatch":
            return "\(place) refuses the signature\(code): check the secret key "
                + "and the region, which is \(quoted(region))"
        case "InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "TokenRefreshRequired":
            return "\(place) does not take the access key or session token\(code)\(words)"
        case "RequestTimeTooSkewed":
            return "The clock of this machine and that of \(place) are too far apart\(code): "
                + "set the clock"
        case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect":
            let other = told.region.map { ", it names \(quoted(printable($0, limit: 63)))" } ?? ""
            return "\(place) does not serve the bucket \(quoted(bucket)) in the region "
                + "\(quoted(region))\(other)\(code)\(words); check the endpoint and the region"
        case .some:
            return "\(subject(key)) at \(place): HTTP status \(status)\(code)\(words)"
        case nil:
            break
        }
        switch status {
        case 300..<400:
            return "\(place) answers with a redirect (HTTP status \(status)), which is not "
                + "followed; check the endpoint"
        case 401, 403:
            return "Access to \(lowercasedFirst(subject(key))) is denied at \(place) "
                + "(HTTP status \(status)); check the keys and what they are allowed"
        case 404:
            return "\(subject(key)) does not exist at \(place) (HTTP status 404)"
        default:
            return "\(subject(key)) at \(place): HTTP status \(status)"
        }
    }

    private func lowercasedFirst(_ text: String) -> String {
        "t" + text.dropFirst()  // "The object", "The bucket"
    }

}

/// One sentence for a failed connection.
package func connectionSentence(_ fault: TransportFault, _ endpoint: Endpoint) -> String {
    let origin = endpoint.origin
    return switch fault.fault {
    case .nameResolution:
        "The host name \(quoted(endpoint.host)) cannot be resolved: check the address and the network."
    case .connect:
        "Nothing answers at \(origin) (\(fault.detail)): check the address and the network."
    case .tls:
        "The TLS connection to \(origin) is not to be trusted (\(fault.detail))."
    case .timeout:
        "\(origin) did not answer in time (\(fault.detail))."
    case .localLimit:
        "This process has too many open files for a connection to \(origin) (\(fault.detail))."
    case .interrupted:
        "The connection to \(origin) broke off (\(fault.detail))."
    case .other:
        "The request to \(origin) failed (\(fault.detail))."
    }
}

/// Gathers a body within its bounds and shows its beginning to the code that decides about it.
struct BodyCollector {
    enum Verdict { case good, refused, tooLarge }

    private(set) var bytes: [UInt8] = []
    private(set) var verdict = Verdict.good
    private let call: S3Call
    /// Whether the object was stored with a `Content-Encoding`.
    private(set) var isDecoded = false
    private var hasDecided = false
    /// Whether `receive` got any bytes.
    private(set) var hasPassedOn = false

    /// Bytes that `accept` sees at least, if the body has them.
    static let beginning = 32
    /// How much of an error document is kept.
    private static let maximumErrorBytes = 64 << 10

    init(_ call: S3Call) { self.call = call }

    /// Whether to go on.
    mutating func take(_ piece: UnsafeRawBufferPointer, head: HTTPHead) throws -> Bool {
        guard (200..<300).contains(head.status) else {
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
        if bytes.isEmpty, let length = head.contentLength {
            guard length <= call.maximumBytes else {
                verdict = .tooLarge
                return false
            }
            bytes.reserveCapacity(Int(length))
        }
        let limit = isDecoded ? call.maximumDecodedBytes : call.maximumBytes
        guard piece.count <= limit - bytes.count else {
            verdict = .tooLarge
            return false
        }
        bytes.append(contentsOf: piece)
        if bytes.count >= Self.beginning { decide() }
        return verdict == .good
    }

    /// The body is complete: a decision that is still open is made now.
    mutating func finish() {
        if verdict == .good { decide() }
    }

    private mutating func decide() {
        guard let accept = call.accept, !hasDecided else { return }
        hasDecided = true
        if bytes.withUnsafeBytes(accept) == false { verdict = .refused }
    }
}
