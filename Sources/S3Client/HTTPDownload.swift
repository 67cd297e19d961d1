import Glibc

/// Downloads one large file over HTTP, resuming where an earlier attempt ended.
///
/// Requests only what is not on disk yet (`Range`). Within one run `If-Range` makes sure that the rest belongs to
/// it; across runs nothing does, so check the file's hash. Blocks its thread. Follows ten redirects, never to
/// another scheme.
public struct HTTPDownload: Sendable {
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public enum Reason: Sendable, Equatable {
            case url
            case status(Int)
            case connection(ConnectionFault)
            /// The server's answer contradicts itself or the request.
            case response
            case tooLarge
            /// The file system refused; the number is `errno`.
            case file(Int32)
            /// `progress` returned false.
            case cancelled
        }

        public let reason: Reason
        public let description: String
    }

    public struct Progress: Sendable {
        /// Bytes on disk, those of earlier runs included.
        public let received: Int64
        /// nil where the server does not tell.
        public let total: Int64?
    }

    /// The address without a query, for messages.
    let shownURL: String
    let url: String
    let endpoint: Endpoint
    let headers: [(name: String, value: String)]
    let maximumBytes: Int64
    let transport: HTTPTransport
    let retries: RetryPolicy
    let deadline: Duration?
    let pause: @Sendable (Duration) -> Void

    /// - Parameters:
    ///   - url: `https://…` or `http://…`.
    ///   - headers: sent with each request; a redirect to another host gets no `Authorization`.
    ///   - maximumBytes: a larger file is an error.
    ///   - transport: bounds on each attempt, except for its total time: a large file may take long, as long as
    ///     something arrives.
    ///   - deadline: for the whole download, all attempts and the waits between them included.
    package init(
        url: String, headers: [(name: String, value: String)] = [], maximumBytes: Int64,
        transport: TransportOptions = TransportOptions(), retries: RetryPolicy = RetryPolicy(),
        deadline: Duration? = nil,
        pause: @escaping @Sendable (Duration) -> Void = blockThread
    ) throws {
        let shown = url.prefix { $0 != "?" && $0 != "#" }
        do {
            endpoint = try Endpoint(String(shown))
        } catch {
            throw Failure(
                reason: .url,
                description: shown.contains("@")
                    ? "A download address must not hold a user name or password."
                    : "The address \(quoted(String(shown))) cannot be downloaded from: "
                        + "it must be https://HOST/PATH or http://HOST/PATH.")
        }
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw Failure(
                reason: .url, description: "The address \(quoted(String(shown))) is not a URL.")
        }
        shownURL = String(shown)
        self.url = url
        self.headers = headers
        self.maximumBytes = maximumBytes
        var options = transport
        options.totalTimeout = .seconds(24 * 3600)
        self.transport = HTTPTransport(options: options)
        self.retries = retries
        self.deadline = deadline
        self.pause = pause
    }

    /// Downloads to the regular file at `path`, appending to its contents; links and pipes are refused. `progress`
    /// is called with every piece and cancels by returning false.
    /// - Returns: the file's size in bytes.
    /// - Throws: `Failure`; the file then keeps what has arrived, for the next run.
    @discardableResult
    public func run(to path: String, progress: (Progress) -> Bool = { _ in true }) throws -> Int64 {
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        guard file >= 0 else { throw fileFailure(path) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw fileFailure(path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(
                reason: .file(EINVAL),
                description: "The file \(quoted(path)) cannot be written: it is not a regular file."
            )
        }
        return try run(Partial(file: file, path: path, size: 0), progress)
    }

    /// Downloads through a temporary file without a name, which nothing leaves behind. Throws `Failure`.
    public func bytes() throws -> [UInt8] {
        let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(directory)/download-XXXXXX".utf8CString)
        let number = mkstemp(&template)
        guard number >= 0 else { throw fileFailure(directory) }
        unlink(template)
        guard let file = OpenedFile(Descriptor(number), key: directory) else {
            throw fileFailure(directory)
        }
        let size = try run(Partial(file: number, path: directory, size: 0), { _ in true })
        return try file.read(at: 0, count: Int(size))
    }

    private func run(_ partial: Partial, _ progress: (Progress) -> Bool) throws -> Int64 {
        var partial = partial
        partial.size = Int64(lseek(partial.file, 0, SEEK_END))
        guard partial.size >= 0 else { throw fileFailure(partial.path) }
        let end = deadline.map { ContinuousClock.now + $0 }

        var failures = 0
        while true {
            let before = partial.size
            let failure: Failure
            var retryAfter: Duration?
            switch try attempt(&partial, until: end, progress) {
            case .done:
                guard fsync(partial.file) == 0 else { throw fileFailure(partial.path) }
                return partial.size
            case .again:
                // The file was emptied to start over, which helps only once.
                failure = Failure(
                    reason: .response, description: "\(shownURL) cannot be resumed.")
                retryAfter = .zero
            case .failed(let what, worthRetrying: let retry, let after):
                guard retry else { throw what }
                failure = what
                retryAfter = after
            }
            // Any progress resets the failure count.
            failures = partial.size > before ? 1 : failures + 1
            guard failures < retries.attempts else { throw failure }
            let delay = retries.delay(
                afterFailures: failures, retryAfter: retryAfter,
                fraction: Double.random(in: 0...1))
            if let end, ContinuousClock.now + delay >= end {
                throw Failure(
                    reason: .connection(.timeout),
                    description:
                        "\(shownURL) took longer than \(deadline!.components.seconds) seconds.")
            }
            pause(delay)
        }
    }

    private enum Outcome {
        case done
        case again
        case failed(Failure, worthRetrying: Bool, retryAfter: Duration?)
    }

    /// The file on disk as it grows.
    private struct Partial {
        let file: Int32
        let path: String
        var size: Int64
        /// The strong entity tag of what this run has written.
        var tag: String?

        /// Cuts the file off at `size`.
        mutating func cut(to size: Int64) -> Bool {
            guard ftruncate(file, off_t(size)) == 0, lseek(file, off_t(size), SEEK_SET) == size
            else { return false }
            self.size = size
            return true
        }

        mutating func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
            var rest = bytes[...]
            while rest.isEmpty == false {
                let piece = UnsafeRawBufferPointer(rebasing: rest)
                let count = write(file, piece.baseAddress, piece.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                size += Int64(count)
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    private func attempt(
        _ partial: inout Partial, until end: ContinuousClock.Instant?,
        _ progress: (Progress) -> Bool
    ) throws -> Outcome {
        var request = HTTPRequest(url: url)
        request.maximumRedirects = 10
        request.headers = headers
        let offset = partial.size
        if offset > 0 {
            request.headers.append(("Range", "bytes=\(offset)-"))
            if let tag = partial.tag { request.headers.append(("If-Range", tag)) }
        }

        var begun = false
        var total: Int64?
        var sawBody = false
        func begin(_ head: HTTPHead) throws {
            begun = true
            if let tag = head["etag"], tag.hasPrefix("\"") { partial.tag = tag }
            if head.status == 206 {
                guard let range = ContentRange(head["content-range"]), range.first == offset else {
                    throw Failure(
                        reason: .response,
                        description: "\(shownURL) answers with another part than was asked for.")
                }
                total = range.total
            } else {
                // The whole file: the server knows no ranges, or the file has changed.
                total = head.contentLength
                guard partial.cut(to: 0) else { throw fileFailure(partial.path) }
            }
            if let total, total > maximumBytes { throw tooLarge() }
        }

        let answer: HTTPTransport.Answer
        do {
            answer = try transport.perform(
                request, bypassProxy: endpoint.isLoopback, timeout: end.map { $0 - .now }
            ) { head, piece in
                // The body of an error is not for the file.
                guard head.status == 200 || (head.status == 206 && offset > 0) else { return false }
                sawBody = true
                if begun == false { try begin(head) }
                guard Int64(piece.count) <= maximumBytes - partial.size else { throw tooLarge() }
                guard partial.append(piece) else { throw fileFailure(partial.path) }
                guard progress(Progress(received: partial.size, total: total)) else {
                    throw Failure(
                        reason: .cancelled, description: "The download of \(shownURL) was stopped.")
                }
                return true
            }
        } catch let fault as TransportFault {
            return .failed(
                Failure(
                    reason: .connection(fault.fault),
                    description: connectionSentence(fault, endpoint)),
                worthRetrying: fault.fault.isWorthRetrying, retryAfter: nil)
        }

        switch answer.head.status {
        case 200,
            206 where offset > 0:
            if sawBody == false { try begin(answer.head) }
            guard total == nil || partial.size == total else {
                return .failed(
                    Failure(
                        reason: .response,
                        description: "\(shownURL) ended after \(partial.size) of "
                            + "\(total ?? 0) bytes."),
                    worthRetrying: true, retryAfter: nil)
            }
            return .done
        case 416 where offset > 0:
            // Nothing follows: the file is complete, or it is another file's beginning.
            if let total = ContentRange(answer.head["content-range"])?.total, total == offset {
                return .done
            }
            guard partial.cut(to: 0) else { throw fileFailure(partial.path) }
            partial.tag = nil
            return .again
        case let status:
            return .failed(
                Failure(
                    reason: .status(status),
                    description: "\(shownURL) answers with HTTP status \(status)."),
                worthRetrying: [429, 500, 502, 503, 504].contains(status),
                retryAfter: answer.retryAfter)
        }
    }

    private func tooLarge() -> Failure {
        Failure(
            reason: .tooLarge,
            description: "\(shownURL) has more than the \(maximumBytes) bytes that are expected.")
    }

    private func fileFailure(_ path: String) -> Failure {
        let number = errno
        return Failure(
            reason: .file(number),
            description: "The file \(quoted(path)) cannot be written: "
                + "\(DirectoryBucket.words(number)).")
    }
}

/// `Content-Range: bytes 5-9/10`, `bytes 5-9/*` or `bytes */10` (RFC 9110, section 14.4).
struct ContentRange {
    /// nil where there is no range, only a total.
    let first: Int64?
    let total: Int64?

    init?(_ value: String?) {
        guard let value, lowercasedASCII(value.prefix(6)) == "bytes " else { return nil }
        let parts = value.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        total = parts[1] == "*" ? nil : Int64(parts[1])
        if parts[0] == "*" {
            first = nil
        } else {
            let bounds = parts[0].split(separator: "-", omittingEmptySubsequences: false)
            guard bounds.count == 2, let first = Int64(bounds[0]), first >= 0,
                let last = Int64(bounds[1]), last >= first
            else { return nil }
            if let total, last >= total { return nil }
            self.first = first
        }
    }
}
