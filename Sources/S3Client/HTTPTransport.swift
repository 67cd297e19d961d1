import Bytes
import CCurl
import Glibc
import Synchronization

/// Bounds on one HTTP exchange, and whom to trust.
public struct TransportOptions: Sendable {
    /// For looking up the name, TCP and TLS.
    public var connectTimeout: Duration = .seconds(10)
    /// A transfer slower than `stallSpeed` for this long is given up; whole seconds, at least one.
    public var stallTimeout: Duration = .seconds(30)
    /// In bytes a second.
    public var stallSpeed: Int = 64
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

    package init(url: String) { self.url = url }
}

/// Status and headers of an answer: of the last one, where there were redirects.
package struct HTTPHead: Sendable {
    package var status = 0
    /// Names in lower case.
    package var headers: [(name: String, value: String)] = []

    package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }

    package var contentLength: Int64? {
        self["content-length"].flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }
}

/// A failed exchange, without its address.
package struct TransportFault: Error {
    package let fault: ConnectionFault
    /// libcurl's message.
    package let detail: String
}

/// HTTP over libcurl. Keeps idle handles with their open connections; runs as many requests at a time as threads call.
package final class HTTPTransport: Sendable {
    package struct Answer {
        package let head: HTTPHead
        /// Whether the receiver stopped the transfer before its end.
        package let stopped: Bool
        /// What `Retry-After` asks for.
        package let retryAfter: Duration?
    }

    private let options: TransportOptions
    private let idle = Mutex<[CurlHandle]>([])
    private static let maximumIdle = 64
    private static let globalCode: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    package init(options: TransportOptions) { self.options = options }

    /// Sends `request`; `receive` gets the head with each piece of the body, and stops the transfer by returning false or
    /// by throwing, which is rethrown.
    /// - Parameter timeout: if shorter than the options' total.
    /// - Throws: `TransportFault` for an incomplete answer.
    package func perform(
        _ request: HTTPRequest, bypassProxy: Bool, timeout: Duration? = nil,
        receive: (HTTPHead, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> Answer {
        guard Self.globalCode == CURLE_OK else {
            throw TransportFault(fault: .other, detail: "libcurl cannot be initialised")
        }
        var options = options
        if let timeout { options.totalTimeout = min(options.totalTimeout, timeout) }
        let handle = try idle.withLock { $0.popLast() } ?? CurlHandle()
        defer {
            idle.withLock { if $0.count < Self.maximumIdle { $0.append(handle) } }
        }
        return try withoutActuallyEscaping(receive) { [options] receive in
            let exchange = Exchange(receive: receive)
            defer { exchange.receive = nil }
            let code = try handle.perform(
                request, options: options, bypassProxy: bypassProxy, exchange: exchange)
            if let error = exchange.error { throw error }
            if code != CURLE_OK && exchange.stopped == false {
                throw handle.fault(code)
            }
            return Answer(
                head: exchange.head, stopped: exchange.stopped, retryAfter: handle.retryAfter)
        }
    }
}

/// What libcurl's callbacks write to during one exchange.
private final class Exchange {
    var head = HTTPHead()
    var headerBytes = 0
    var stopped = false
    var error: (any Error)?
    var receive: ((HTTPHead, UnsafeRawBufferPointer) throws -> Bool)?

    static let maximumHeaderBytes = 256 * 1024

    init(receive: @escaping (HTTPHead, UnsafeRawBufferPointer) throws -> Bool) {
        self.receive = receive
    }

    func takeHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
        headerBytes += bytes.count
        guard headerBytes <= Self.maximumHeaderBytes else { return false }
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // A new answer: after a redirect, or after 100 Continue.
            let fields = line.split(separator: " ", maxSplits: 2)
            head = HTTPHead()
            head.status = fields.count > 1 ? Int(fields[1].trimmed()) ?? 0 : 0
        } else if let colon = line.firstIndex(of: ":") {
            head.headers.append(
                (lowercasedASCII(line[..<colon]), line[line.index(after: colon)...].trimmed()))
        }
        return true
    }

    func takeBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do {
            if try receive?(head, bytes) == true { return true }
            stopped = true
        } catch {
            self.error = error
        }
        return false
    }
}

/// A libcurl easy handle. One thread at a time uses it: the pool hands it to one request.
private final class CurlHandle: @unchecked Sendable {
    private let curl: UnsafeMutableRawPointer
    private let errorBuffer: UnsafeMutablePointer<CChar>

    init() throws {
        guard let curl = curl_easy_init() else {
            throw TransportFault(fault: .other, detail: "libcurl has no memory for a handle")
        }
        self.curl = curl
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(curl)
        errorBuffer.deallocate()
    }

    func perform(
        _ request: HTTPRequest, options: TransportOptions, bypassProxy: Bool, exchange: Exchange
    ) throws -> CURLcode {
        // Forgets the options of the last request; connections stay open.
        curl_easy_reset(curl)
        errorBuffer[0] = 0
        try check(ccurl_set_error_buffer(curl, errorBuffer))
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
        if bypassProxy { try set(CURLOPT_PROXY, "") }
        try set(CURLOPT_USERAGENT, "clip-search")
        try set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options.connectTimeout))
        try set(CURLOPT_TIMEOUT_MS, milliseconds(options.totalTimeout))
        try set(CURLOPT_LOW_SPEED_LIMIT, max(1, options.stallSpeed))
        try set(
            CURLOPT_LOW_SPEED_TIME, max(1, Int(clamping: options.stallTimeout.components.seconds)))
        // Many small requests on one connection: do not wait to fill packets.
        try set(CURLOPT_TCP_NODELAY, 1)

        if request.method == "HEAD" {
            try set(CURLOPT_NOBODY, 1)
        } else if request.method != "GET" {
            try set(CURLOPT_CUSTOMREQUEST, request.method)
        }
        if request.decodesContent {
            try set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate")
        }
        if let body = request.body {
            try body.withUnsafeBytes {
                // An empty array has no address, and libcurl wants one.
                let address = $0.baseAddress ?? UnsafeRawPointer(curl)
                try check(ccurl_set_body(curl, address, Int64($0.count)))
            }
        }
        var list: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(list) }
        // Headers that libcurl adds to a body.
        var unwanted = request.body == nil ? [] : ["Expect:"]
        if request.body != nil,
            request.headers.contains(where: { $0.name == "Content-Type" }) == false
        {
            unwanted.append("Content-Type:")
        }
        // Only what is stored encoded arrives encoded.
        if request.decodesContent { unwanted.append("Accept-Encoding: identity") }
        for header in unwanted + request.headers.map({ "\($0.name): \($0.value)" }) {
            guard header.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }),
                let longer = curl_slist_append(list, header)
            else {
                throw TransportFault(
                    fault: .other, detail: "a header has a character that HTTP cannot carry")
            }
            list = longer
        }
        try check(ccurl_set_list(curl, CURLOPT_HTTPHEADER, list))
        defer { _ = ccurl_set_list(curl, CURLOPT_HTTPHEADER, nil) }

        let context = Unmanaged.passUnretained(exchange).toOpaque()
        try check(
            ccurl_set_header_callback(
                curl,
                { data, size, count, context in
                    receive(data, size, count, context) { $0.takeHeader($1) }
                }, context))
        try check(
            ccurl_set_write_callback(
                curl,
                { data, size, count, context in
                    receive(data, size, count, context) { $0.takeBody($1) }
                }, context))
        return withExtendedLifetime(exchange) { curl_easy_perform(curl) }
    }

    func fault(_ code: CURLcode) -> TransportFault {
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
            fault: fault,
            detail: printable(words.isEmpty ? String(cString: curl_easy_strerror(code)) : words))
    }

    /// libcurl does not report that it could open neither a socket nor a file of certificates.
    private var hasNoDescriptor: Bool {
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        guard probe < 0 else {
            close(probe)
            return false
        }
        return SystemFailure(number: errno).isLocalLimit
    }

    /// `Retry-After` in either of its forms, worked out by libcurl.
    var retryAfter: Duration? {
        var seconds: Int64 = 0
        guard ccurl_get_offset(curl, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK, seconds > 0
        else { return nil }
        return .seconds(seconds)
    }

    private func set(_ option: CURLoption, _ value: Int) throws {
        try check(ccurl_set_long(curl, option, value))
    }

    private func set(_ option: CURLoption, _ value: String) throws {
        try check(ccurl_set_string(curl, option, value))
    }

    private func check(_ code: CURLcode) throws {
        guard code == CURLE_OK else {
            throw TransportFault(fault: .other, detail: String(cString: curl_easy_strerror(code)))
        }
    }

    /// At least one: to libcurl, zero is no limit.
    private func milliseconds(_ duration: Duration) -> Int {
        let (seconds, attoseconds) = duration.components
        guard seconds < 1_000_000 else { return 1_000_000_000 }
        return max(1, Int(seconds) * 1_000 + Int(attoseconds / 1_000_000_000_000_000))
    }
}

/// What libcurl's two data callbacks share: any result but the whole size ends the transfer.
private func receive(
    _ data: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int,
    _ context: UnsafeMutableRawPointer?,
    _ take: (Exchange, UnsafeRawBufferPointer) -> Bool
) -> Int {
    let total = size * count
    guard let context else { return 0 }
    let exchange = Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
    if total == 0 { return 0 }
    return take(exchange, UnsafeRawBufferPointer(start: data, count: total)) ? total : 0
}

/// How often a request is tried, and how long to wait in between: exponential back-off with full
/// jitter ("Exponential Backoff And Jitter", AWS Architecture Blog), or what `Retry-After` asks.
public struct RetryPolicy: Sendable {
    /// How often in all, the first time included.
    public var attempts: Int
    /// The longest wait before the second attempt; it doubles with each further one.
    public var firstDelay: Duration
    /// No wait is longer, whatever a server asks for.
    public var maximumDelay: Duration

    public init(
        attempts: Int = 5, firstDelay: Duration = .milliseconds(250),
        maximumDelay: Duration = .seconds(20)
    ) {
        self.attempts = attempts
        self.firstDelay = firstDelay
        self.maximumDelay = maximumDelay
    }

    /// Before attempt number `attempt` + 1, where `attempt` of them failed. `fraction` is random in
    /// 0 to 1; at least half of the full wait is kept.
    package func delay(
        afterFailures failures: Int, retryAfter: Duration?, fraction: Double
    ) -> Duration {
        if let retryAfter { return min(retryAfter, maximumDelay) }
        let full = min(firstDelay * (1 << min(max(failures - 1, 0), 20)), maximumDelay)
        return full * (0.5 + 0.5 * min(max(fraction, 0), 1))
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
