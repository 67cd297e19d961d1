import Bytes
import CCurl
import Glibc
import Synchronization

/// Bounds on one HTTP exchange, and whom to trust.
public struct TransportOptions: Sendable {
    /// For looking up the name, TCP and TLS.
    public var connectTimeout: Duration = .seconds(10)
    /// A transfer slower than 64 bytes a second for this long is given up; whole seconds, at least one.
    public var stallTimeout: Duration = .seconds(30)
    /// For the whole exchange.
    public var totalTimeout: Duration = .seconds(600)
    /// A PEM file of certificate authorities to trust instead of the system's.
    public var certificateAuthorities: String?

    public init() {}
}

package struct HTTPRequest {
    package var method = "GET"
    package var url: String
    package var headers: [(name: String, value: String)] = []
    package var body: [UInt8]?
    /// How many redirects are followed, always to the same scheme. None where there are
    /// credentials in the headers.
    package var maximumRedirects = 0
    /// Whether a body with a `Content-Encoding` of gzip or deflate arrives decoded.
    package var decodesContent = false
    /// Requests to this machine never go through a proxy.
    package var bypassesProxy = false

    package init(url: String) { self.url = url }
}

/// Status and headers of an answer: of the last one, where there were redirects.
package struct HTTPHead: Sendable {
    package var status = 0
    /// Names in lower case.
    package var headers: [(name: String, value: String)] = []
    /// What `Retry-After` asks for, known at the end.
    package var retryAfter: Duration?

    package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }

    var isSuccess: Bool { (200..<300).contains(status) }

    package var contentLength: Int64? {
        self["content-length"].flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }
}

/// HTTP over libcurl. Keeps idle handles with their open connections; runs as many requests at a time as threads call.
package final class HTTPTransport: Sendable {
    private let options: TransportOptions
    private let idle = Mutex<[CurlHandle]>([])
    private static let maximumIdle = 64
    private static let globalCode: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    package init(options: TransportOptions) { self.options = options }

    /// Sends `request`; `receive` gets the head with each piece of the body, and stops the transfer by returning false or
    /// by throwing, which is rethrown.
    /// - Parameters:
    ///   - endpoint: where the request goes, for messages.
    ///   - timeout: if shorter than the options' total.
    /// - Throws: `S3Error` with a connection's fault for an incomplete answer.
    package func perform(
        _ request: HTTPRequest, at endpoint: Endpoint, timeout: Duration? = nil,
        receive: (HTTPHead, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> HTTPHead {
        var (request, options) = (request, options)
        if endpoint.isLoopback { request.bypassesProxy = true }
        if let timeout { options.totalTimeout = min(options.totalTimeout, timeout) }
        do {
            guard Self.globalCode == CURLE_OK,
                let handle = idle.withLock({ $0.popLast() }) ?? CurlHandle()
            else { throw TransportFault(.other, "libcurl cannot be initialised") }
            defer {
                idle.withLock { if $0.count < Self.maximumIdle { $0.append(handle) } }
            }
            return try withoutActuallyEscaping(receive) { [request, options] receive in
                try handle.perform(request, options, receive)
            }
        } catch let fault as TransportFault {
            throw S3Error(.connection(fault.fault), fault.sentence(endpoint))
        }
    }
}

private struct TransportFault: Error {
    let fault: ConnectionFault
    /// libcurl's message.
    let detail: String

    init(_ fault: ConnectionFault, _ detail: String) { (self.fault, self.detail) = (fault, detail) }

    func sentence(_ endpoint: Endpoint) -> String {
        let origin = endpoint.origin
        return switch fault {
        case .nameResolution:
            "The host name \(quoted(endpoint.host)) cannot be resolved: check the address and the network."
        case .connect:
            "Nothing answers at \(origin) (\(detail)): check the address and the network."
        case .tls: "The TLS connection to \(origin) is not to be trusted (\(detail))."
        case .timeout: "\(origin) did not answer in time (\(detail))."
        case .localLimit:
            "This process has too many open files for a connection to \(origin) (\(detail))."
        case .interrupted: "The connection to \(origin) broke off (\(detail))."
        case .other: "The request to \(origin) failed (\(detail))."
        }
    }
}

/// A libcurl easy handle, and what its callbacks write to during one exchange. One thread at a time uses it: the pool
/// hands it to one request.
private final class CurlHandle: @unchecked Sendable {
    typealias Receive = (HTTPHead, UnsafeRawBufferPointer) throws -> Bool

    private let curl: UnsafeMutableRawPointer
    private let errorBuffer: UnsafeMutablePointer<CChar>
    private var head = HTTPHead()
    private var headerBytes = 0
    private var receive: Receive?
    /// How `receive` stopped the transfer.
    private var stop: Result<Void, any Error>?

    private static let maximumHeaderBytes = 256 * 1024

    init?() {
        guard let curl = curl_easy_init() else { return nil }
        self.curl = curl
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(curl)
        errorBuffer.deallocate()
    }

    func perform(
        _ request: HTTPRequest, _ options: TransportOptions, _ receive: @escaping Receive
    ) throws -> HTTPHead {
        (head, headerBytes, stop, self.receive) = (HTTPHead(), 0, nil, receive)
        defer { self.receive = nil }
        // Forgets the options of the last request; connections stay open.
        curl_easy_reset(curl)
        errorBuffer[0] = 0
        try check(ccurl_set_pointer(curl, CURLOPT_ERRORBUFFER, errorBuffer))
        try set(CURLOPT_NOSIGNAL, 1)
        try set(CURLOPT_URL, request.url)
        // S3 keys may have `.`, `..` and `//` in them, which libcurl would tidy away.
        try set(CURLOPT_PATH_AS_IS, 1)
        let scheme = request.url.hasPrefix("https:") ? "https" : "http"
        try set(CURLOPT_PROTOCOLS_STR, scheme)
        try set(CURLOPT_REDIR_PROTOCOLS_STR, scheme)
        try set(CURLOPT_FOLLOWLOCATION, request.maximumRedirects > 0 ? 1 : 0)
        try set(CURLOPT_MAXREDIRS, request.maximumRedirects)
        // Without HTTP/2 a connection is one transfer, and its length is checked as such.
        try set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        try set(CURLOPT_SSL_VERIFYPEER, 1)
        try set(CURLOPT_SSL_VERIFYHOST, 2)
        if let authorities = options.certificateAuthorities {
            try set(CURLOPT_CAINFO, authorities)
        }
        if request.bypassesProxy { try set(CURLOPT_PROXY, "") }
        try set(CURLOPT_USERAGENT, "clip-search")
        try set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options.connectTimeout))
        try set(CURLOPT_TIMEOUT_MS, milliseconds(options.totalTimeout))
        try set(CURLOPT_LOW_SPEED_LIMIT, 64)
        try set(
            CURLOPT_LOW_SPEED_TIME, max(1, Int(clamping: options.stallTimeout.components.seconds)))
        // Many small requests on one connection: do not wait to fill packets.
        try set(CURLOPT_TCP_NODELAY, 1)
        if request.method == "HEAD" {
            try set(CURLOPT_NOBODY, 1)
        } else if request.method != "GET" {
            try set(CURLOPT_CUSTOMREQUEST, request.method)
        }

        var headers = request.headers.map { "\($0.name): \($0.value)" }
        if request.decodesContent {
            try set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate")
            // Only what is stored encoded arrives encoded.
            headers.append("Accept-Encoding: identity")
        }
        if let body = request.body {
            // The size comes first: COPYPOSTFIELDS copies that many bytes. An empty array has no address.
            try set(CURLOPT_POSTFIELDSIZE, body.count)
            try check(ccurl_set_pointer(curl, CURLOPT_COPYPOSTFIELDS, body + [0]))
            // Headers that libcurl adds to a body.
            headers.append("Expect:")
            if !request.headers.contains(where: { $0.name == "Content-Type" }) {
                headers.append("Content-Type:")
            }
        }
        var list: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(list) }
        for header in headers {
            guard header.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }),
                let longer = curl_slist_append(list, header)
            else {
                throw TransportFault(.other, "a header has a character that HTTP cannot carry")
            }
            list = longer
        }
        try check(ccurl_set_pointer(curl, CURLOPT_HTTPHEADER, list))

        let context = Unmanaged.passUnretained(self).toOpaque()
        try check(ccurl_set_pointer(curl, CURLOPT_HEADERDATA, context))
        try check(
            ccurl_set_callback(curl, CURLOPT_HEADERFUNCTION) { data, size, count, context in
                let bytes = UnsafeRawBufferPointer(start: data, count: size * count)
                return CurlHandle.at(context).takeHeader(bytes) ? bytes.count : 0
            })
        try check(ccurl_set_pointer(curl, CURLOPT_WRITEDATA, context))
        try check(
            ccurl_set_callback(curl, CURLOPT_WRITEFUNCTION) { data, size, count, context in
                let bytes = UnsafeRawBufferPointer(start: data, count: size * count)
                return CurlHandle.at(context).takeBody(bytes) ? bytes.count : 0
            })
        let code = curl_easy_perform(curl)
        try stop?.get()
        guard code == CURLE_OK || stop != nil else { throw fault(code) }
        head.retryAfter = retryAfter
        return head
    }

    private static func at(_ context: UnsafeMutableRawPointer?) -> CurlHandle {
        Unmanaged<CurlHandle>.fromOpaque(context!).takeUnretainedValue()
    }

    private func takeHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
        headerBytes += bytes.count
        guard headerBytes <= Self.maximumHeaderBytes else { return false }
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // A new answer: after a redirect, or after 100 Continue.
            let fields = line.split(separator: " ", maxSplits: 2)
            head = HTTPHead(status: fields.count > 1 ? Int(fields[1].trimmed()) ?? 0 : 0)
        } else if let colon = line.firstIndex(of: ":") {
            head.headers.append(
                (lowercasedASCII(line[..<colon]), line[line.index(after: colon)...].trimmed()))
        }
        return true
    }

    private func takeBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do {
            if try receive?(head, bytes) == true { return true }
            stop = .success(())
        } catch {
            stop = .failure(error)
        }
        return false
    }

    private func fault(_ code: CURLcode) -> TransportFault {
        let fault: ConnectionFault =
            switch code {
            case _ where hasNoDescriptor: .localLimit
            case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .nameResolution
            case CURLE_COULDNT_CONNECT: .connect
            case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION,
                CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
                CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
                .tls
            case CURLE_OPERATION_TIMEDOUT: .timeout
            case CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR,
                CURLE_BAD_CONTENT_ENCODING:
                .interrupted
            default: .other
            }
        let words = String(cString: errorBuffer)
        return TransportFault(
            fault, printable(words.isEmpty ? String(cString: curl_easy_strerror(code)) : words))
    }

    /// libcurl does not report that it could open neither a socket nor a file of certificates.
    private var hasNoDescriptor: Bool {
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        guard probe < 0 else {
            close(probe)
            return false
        }
        return SystemFailure().isLocalLimit
    }

    /// `Retry-After` in either of its forms, worked out by libcurl.
    private var retryAfter: Duration? {
        var seconds: curl_off_t = 0
        let code = ccurl_get_offset(curl, CURLINFO_RETRY_AFTER, &seconds)
        return code == CURLE_OK && seconds > 0 ? .seconds(seconds) : nil
    }

    private func set(_ option: CURLoption, _ value: Int) throws {
        try check(ccurl_set_long(curl, option, value))
    }

    private func set(_ option: CURLoption, _ value: String) throws {
        try check(ccurl_set_pointer(curl, option, value))
    }

    private func check(_ code: CURLcode) throws {
        guard code == CURLE_OK else {
            throw TransportFault(.other, String(cString: curl_easy_strerror(code)))
        }
    }

    /// At least one: to libcurl, zero is no limit.
    private func milliseconds(_ duration: Duration) -> Int {
        Int(min(max(duration / .milliseconds(1), 1), 1e9))
    }
}

/// How often a request is tried, and how long to wait in between: exponential back-off with full
/// jitter ("Exponential Backoff And Jitter", AWS Architecture Blog), or what `Retry-After` asks.
public struct RetryPolicy: Sendable {
    /// How often in all, the first time included.
    public var attempts: Int
    /// The longest wait before the second attempt; it doubles with each further one.
    public var firstDelay: Duration
    /// No wait is longer, whatever a server asks for.
    private let maximumDelay = Duration.seconds(20)

    public init(attempts: Int = 5, firstDelay: Duration = .milliseconds(250)) {
        self.attempts = attempts
        self.firstDelay = firstDelay
    }

    /// The wait after a number of failed attempts: at least half of the full one.
    func delay(afterFailures failures: Int, retryAfter: Duration?) -> Duration {
        if let retryAfter { return min(retryAfter, maximumDelay) }
        let full = min(firstDelay * (1 << min(failures - 1, 20)), maximumDelay)
        return full * Double.random(in: 0.5...1)
    }
}

/// Blocks this thread.
package func blockThread(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return }
    var left = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    var rest = timespec()
    while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
}
