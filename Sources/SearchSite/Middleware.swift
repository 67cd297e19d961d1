import CZlib
import HTTPTypes
import Hummingbird
import ImageSearch
import Logging
import NIOCore
import Synchronization

/// The outermost middleware: counts and times every request, and logs it.
///
/// An entry has the path without its query, which is what the visitor searched for, and without an
/// uploaded picture's vector.
struct RequestLog: RouterMiddleware {
    let metrics: Metrics
    let clients: ClientAddress
    /// Logs every request at level `info` rather than `debug`.
    let logsRequests: Bool
    /// Logs what is searched for, too.
    let logsQueries: Bool

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        let begin = ContinuousClock.now
        let response = try await next(request, context)
        let milliseconds = (ContinuousClock.now - begin) / .milliseconds(1)
        // The router's own name for what it has no route for.
        let route = context.endpointPath.flatMap { $0 == "NotFound" ? nil : $0 } ?? "none"
        let labels = [
            ("method", Self.methods.contains(request.method) ? request.method.rawValue : "other"),
            ("route", route), ("status", "\(response.status.code)"),
        ]
        metrics.count(.requests, labels)
        metrics.observe(.requestSeconds, since: begin, [("route", route)])
        let level: Logger.Level = logsRequests ? .info : .debug
        guard level >= context.logger.logLevel else { return response }
        var metadata: Logger.Metadata = [
            "method": "\(request.method)", "path": "\(Self.path(request))",
            "status": "\(response.status.code)",
            "milliseconds": "\((milliseconds * 100).rounded() / 100)",
            "client": "\(clients.address(of: request, peer: context.peer)?.text ?? "unknown")",
        ]
        if let length = response.body.contentLength { metadata["bytes"] = "\(length)" }
        if logsQueries, let query = request.uri.query { metadata["query"] = "\(query)" }
        context.logger.log(level: level, "request", metadata: metadata)
        return response
    }

    private static let methods: [HTTPRequest.Method] = [.get, .head, .post, .options]

    /// The path, without an uploaded picture in it.
    static func path(_ request: Request) -> Substring {
        let path = request.uri.path
        return path.hasPrefix("/search/") ? "/search/…" : path.prefix(1_024)
    }
}

/// Headers of every answer that restrict what a browser does with it, and no body for HEAD.
struct ResponseHeaders: RouterMiddleware {
    /// Whether the site answers over TLS itself.
    let isSecure: Bool

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        var headers = response.headers
        headers[.xContentTypeOptions] = "nosniff"
        // A page's address holds what was searched for, which the store of the pictures must not learn.
        headers[.referrerPolicy] = "no-referrer"
        headers[.xFrameOptions] = "DENY"
        headers[.crossOriginOpenerPolicy] = "same-origin"
        headers[.crossOriginResourcePolicy] = "same-origin"
        headers[.permissionsPolicy] = "camera=(), geolocation=(), microphone=()"
        if headers[.contentSecurityPolicy] == nil {
            headers[.contentSecurityPolicy] = "default-src 'none'; frame-ancestors 'none'; sandbox"
        }
        if isSecure { headers[.strictTransportSecurity] = "max-age=31536000" }
        response.headers = headers
        // A 304 and an answer to HEAD keep their Content-Length but have no body (RFC 9110, 8.6).
        return request.method == .head ? response.createHeadResponse() : response
    }
}

extension HTTPField.Name {
    static let crossOriginOpenerPolicy = Self("Cross-Origin-Opener-Policy")!
    static let crossOriginResourcePolicy = Self("Cross-Origin-Resource-Policy")!
    /// What the script sends.
    static let fragment = Self("X-Fragment")!
    static let permissionsPolicy = Self("Permissions-Policy")!
    static let referrerPolicy = Self("Referrer-Policy")!
    static let secFetchSite = Self("Sec-Fetch-Site")!
    static let xForwardedFor = Self("X-Forwarded-For")!
    static let xFrameOptions = Self("X-Frame-Options")!
}

/// Turns what routes throw into pages, into a fragment for the script, or into a problem document for
/// programs.
struct ErrorPages: RouterMiddleware {
    let pages: Pages
    let showsReasons: Bool

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            let failure: SiteFailure
            if let known = SiteFailure(error, showsReasons: showsReasons) {
                failure = known
            } else if (error as? any HTTPResponseError)?.status == .notFound {
                // Only the router throws this.
                failure = unrouted(request)
            } else {
                failure = .internalError
                context.logger.error(
                    "\(request.method) \(RequestLog.path(request)) failed: \(error)")
            }
            if case PictureSourceError.unavailable(let reason) = error {
                context.logger.error("The store did not hand out a picture: \(reason)")
            }
            return request.isByProgram ? failure.problem : pages.failure(failure, for: request)
        }
    }

    private func unrouted(_ request: Request) -> SiteFailure {
        let path = request.uri.path
        if let allowed = SearchSite.allowedMethods[path] {
            return .methodNotAllowed(allowed: allowed)
        }
        let reads = request.method == .get || request.method == .head
        let prefixes = PicturePath.allCases.map(\.rawValue) + ["/search/"]
        if !reads, prefixes.contains(where: { path.utf8.starts(with: $0.utf8) }) {
            return .methodNotAllowed(allowed: "GET, HEAD")
        }
        return .notFound
    }
}

extension Request {
    /// Whether a program asks rather than a browser's visitor.
    var isByProgram: Bool {
        ["/api/", "/health", "/ready", "/metrics", "/openapi.json"]
            .contains { uri.path.utf8.starts(with: $0.utf8) }
    }
}

extension SiteFailure {
    /// The failure as programs read it: `application/problem+json` (RFC 9457).
    var problem: Response {
        let members = JSON.members([
            "title": .string(heading), "status": .integer(status.code), "detail": .string(message),
            "reason": operatorDetail.map(JSON.string),
        ])
        var response = Response(
            JSON.object(members).text, "application/problem+json", status: status)
        response.headers.append(contentsOf: headers)
        return response
    }

    /// What an error means for a visitor.
    /// - Returns: nil for a fault of the installation, which only its operator can understand.
    init?(_ error: any Error, showsReasons: Bool) {
        switch error {
        case let failure as SiteFailure: self = failure
        // Cancelled: the visitor left, or the server is shutting down.
        case is Overload, is CancellationError: self = .overloaded
        case is Searcher.NotReady: self = .starting
        case let error as PictureSourceError: self.init(error)
        case let error as SearchError: self.init(error, showsReasons: showsReasons)
        default: return nil
        }
    }

    /// What a search threw.
    init(_ error: SearchError, showsReasons: Bool) {
        switch error {
        case .invalid(let reason):
            self = .badAddress("The search cannot be made: \(reason).")
        case .termsCancelOut:
            self = SiteFailure(
                status: .badRequest, heading: "These words cancel each other out",
                message: "Nothing is left to search for. Leave out one of them.")
        case .unsupportedPicture:
            self = SiteFailure(
                status: .unsupportedMediaType, heading: "This is not a picture that can be read",
                message: "Please choose another file, such as a JPEG.")
        case .damagedPicture:
            self = SiteFailure(
                status: .unprocessableContent, heading: "This picture cannot be read",
                message: "The file is damaged, cut off, or has far too many pixels.")
        case .pictureTooLarge(_, let limit): self = .tooLarge(limit: limit)
        case .unknownKey:
            self = SiteFailure(
                status: .notFound, heading: "There is no such picture",
                message: "No picture with that key is in the index. It may have been removed.")
        case .overloaded: self = .overloaded
        case .databaseUnavailable(let reason), .modelMismatch(let reason):
            self = .searchUnavailable(reason: showsReasons ? reason : nil)
        }
    }
}

/// Compresses pages, scripts and JSON for clients that take gzip (RFC 9110, 12.5.3). Pictures are compressed
/// already. No page holds a secret that its compressed length could give away.
struct Compression: RouterMiddleware {
    /// Below this, the bytes saved are fewer than a packet.
    private static let leastBytes = 1_000
    private static let types = ["text/", "application/json", "application/problem", "image/svg"]

    func handle(
        _ request: Request, context: SiteContext,
        next: (Request, SiteContext) async throws -> Response
    ) async throws -> Response {
        try await Self.compressed(try await next(request, context), for: request)
    }

    /// The response itself where there is nothing to gain, or it is compressed already.
    static func compressed(_ response: Response, for request: Request) async throws -> Response {
        let type = response.headers[.contentType] ?? ""
        guard types.contains(where: type.hasPrefix), response.headers[.contentEncoding] == nil,
            let count = response.body.contentLength, count >= leastBytes
        else { return response }
        var response = response
        let vary = response.headers[.vary].map { [$0] } ?? []
        if !vary.contains(where: { $0.hasSuffix("Accept-Encoding") }) {
            response.headers[.vary] = (vary + ["Accept-Encoding"]).joined(separator: ", ")
        }
        guard accepts(request.headers[values: .acceptEncoding].joined(separator: ",")) else {
            return response
        }
        let body = CollectedBody()
        try await response.body.write(body)
        let compressed = gzip(body.bytes.withLock { $0 })
        response.headers[.contentEncoding] = "gzip"
        response.body = ResponseBody(byteBuffer: ByteBuffer(bytes: compressed))
        return response
    }

    /// Whether an `Accept-Encoding` field allows gzip.
    private static func accepts(_ field: String) -> Bool {
        field.split(separator: ",").contains { coding in
            let parts = coding.split(separator: ";").map { $0.filter { $0 != " " }.lowercased() }
            guard let name = parts.first, name == "gzip" || name == "*" else { return false }
            return !parts.dropFirst().contains {
                $0.hasPrefix("q=") && Double($0.dropFirst(2)) ?? 1 == 0
            }
        }
    }

    /// - Returns: a gzip file (RFC 1952).
    private static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        let gzipFormat: Int32 = 16
        let status = deflateInit2_(
            &stream, 5, Z_DEFLATED, MAX_WBITS + gzipFormat, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY,
            ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib has no memory")
        defer { deflateEnd(&stream) }
        var input = bytes
        return [UInt8](unsafeUninitializedCapacity: Int(deflateBound(&stream, UInt(bytes.count)))) {
            output, count in
            input.withUnsafeMutableBufferPointer { input in
                (stream.next_in, stream.avail_in) = (input.baseAddress, UInt32(input.count))
                (stream.next_out, stream.avail_out) = (output.baseAddress, UInt32(output.count))
                // The bound is enough for all of it at once.
                let status = deflate(&stream, Z_FINISH)
                precondition(status == Z_STREAM_END, "the bound of zlib holds")
            }
            count = Int(stream.total_out)
        }
    }
}

private final class CollectedBody: ResponseBodyWriter, Sendable {
    let bytes = Mutex<[UInt8]>([])

    func write(_ buffer: ByteBuffer) async throws {
        bytes.withLock { $0 += buffer.readableBytesView }
    }

    func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
