import Glibc

/// Downloads one large file over HTTP, resuming where an earlier attempt ended.
///
/// Requests only what is not on disk yet (`Range`). Within one run `If-Range` makes sure that the rest belongs to
/// it; across runs nothing does, so check the file's hash. Blocks its thread. Follows ten redirects, never to
/// another scheme.
public struct HTTPDownload: Sendable {
    /// Called with every piece: bytes on disk, those of earlier runs included, and in all, if the server tells.
    public typealias Progress = (_ received: Int64, _ total: Int64?) -> Void

    /// The address without a query, for messages.
    let shownURL: String
    let url: String
    let endpoint: Endpoint
    let headers: [(name: String, value: String)]
    let maximumBytes: Int64
    let transport: HTTPTransport
    let retries: RetryPolicy
    let deadline: Duration?

    /// - Parameters:
    ///   - url: `https://…` or `http://…`.
    ///   - headers: sent with each request; a redirect to another host gets no `Authorization`.
    ///   - maximumBytes: a larger file is an error.
    ///   - transport: bounds on each attempt, except for its total time: a large file may take long, as long as
    ///     something arrives.
    ///   - deadline: for the whole download, all attempts and the waits between them included.
    /// - Throws: `S3Error`, as the calls below.
    package init(
        url: String, headers: [(name: String, value: String)] = [], maximumBytes: Int64,
        transport: TransportOptions = TransportOptions(), retries: RetryPolicy = RetryPolicy(),
        deadline: Duration? = nil
    ) throws {
        shownURL = String(url.prefix { $0 != "?" && $0 != "#" })
        guard let endpoint = try? Endpoint(shownURL) else {
            throw S3Error(
                .setting,
                shownURL.contains("@")
                    ? "A download address must not hold a user name or password."
                    : "The address \(quoted(shownURL)) cannot be downloaded from: "
                        + "it must be https://HOST/PATH or http://HOST/PATH.")
        }
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw S3Error(.setting, "The address \(quoted(shownURL)) is not a URL.")
        }
        self.url = url
        self.endpoint = endpoint
        self.headers = headers
        self.maximumBytes = maximumBytes
        var options = transport
        options.totalTimeout = .seconds(24 * 3600)
        self.transport = HTTPTransport(options: options)
        self.retries = retries
        self.deadline = deadline
    }

    /// Downloads to the regular file at `path`, appending to its contents; links and pipes are refused.
    /// - Returns: the file's size in bytes.
    /// - Throws: `S3Error`; the file then keeps what has arrived, for the next run.
    @discardableResult
    public func run(to path: String, progress: Progress = { _, _ in }) throws -> Int64 {
        let number = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        return try run(PartialFile(number, path: path), progress)
    }

    /// Downloads through a temporary file without a name, which nothing leaves behind.
    public func bytes() throws -> [UInt8] {
        let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(directory)/download-XXXXXX".utf8CString)
        let file = try PartialFile(mkstemp(&template), path: directory)
        unlink(template)
        let size = try run(file, { _, _ in })
        return try OpenedFile(file.descriptor, key: directory).read(at: 0, count: Int(size))
    }

    private func run(_ file: PartialFile, _ progress: Progress) throws -> Int64 {
        let end = deadline.map { ContinuousClock.now + $0 }
        var failures = 0
        while true {
            let before = file.size
            var retryAfter: Duration?
            do {
                try attempt(file, until: end, progress, &retryAfter)
                try file.synchronize()
                return file.size
            } catch let failure as S3Error {
                // Any progress resets the failure count.
                failures = file.size > before ? 1 : failures + 1
                guard failure.isWorthRetrying, failures < retries.attempts else { throw failure }
                let delay = retries.delay(afterFailures: failures, retryAfter: retryAfter)
                if let deadline, let end, ContinuousClock.now + delay >= end {
                    throw S3Error(
                        .connection(.timeout),
                        "\(shownURL) took longer than \(deadline.components.seconds) seconds.")
                }
                blockThread(delay)
            }
        }
    }

    /// Throws `S3Error` unless the file is complete.
    private func attempt(
        _ file: PartialFile, until end: ContinuousClock.Instant?, _ progress: Progress,
        _ retryAfter: inout Duration?
    ) throws {
        var request = HTTPRequest(url: url)
        request.maximumRedirects = 10
        request.headers = headers
        let offset = file.size
        if offset > 0 {
            request.headers.append(("Range", "bytes=\(offset)-"))
            if let tag = file.tag { request.headers.append(("If-Range", tag)) }
        }

        func isContent(_ head: HTTPHead) -> Bool {
            head.status == 200 || (head.status == 206 && offset > 0)
        }
        let tooLarge = S3Error(
            .tooLarge, "\(shownURL) has more than the \(maximumBytes) bytes that are expected.")
        var hasBegun = false
        var total: Int64?
        func begin(_ head: HTTPHead) throws {
            guard !hasBegun else { return }
            hasBegun = true
            if head.status == 206 {
                guard let range = ContentRange(head), range.first == offset else {
                    throw S3Error(
                        .response, "\(shownURL) answers with another part than was asked for.")
                }
                total = range.total
            } else {
                // The whole file: the server knows no ranges, or the file has changed.
                total = head.contentLength
                try file.empty()
            }
            if let tag = head["etag"], tag.hasPrefix("\"") { file.tag = tag }
            if let total, total > maximumBytes { throw tooLarge }
        }

        let head = try transport.perform(
            request, at: endpoint, timeout: end.map { $0 - .now }
        ) { head, piece in
            // The body of an error is not for the file.
            guard isContent(head) else { return false }
            try begin(head)
            guard Int64(piece.count) <= maximumBytes - file.size else { throw tooLarge }
            try file.append(piece)
            progress(file.size, total)
            return true
        }
        if isContent(head) {
            // The body may have been empty.
            try begin(head)
            guard let total, file.size != total else { return }
            throw S3Error(
                .connection(.interrupted),
                "\(shownURL) ended after \(file.size) of \(total) bytes.")
        }
        if head.status == 416, offset > 0 {
            // Nothing follows: the file is complete, or it is another file's beginning.
            if ContentRange(head)?.total == offset { return }
            try file.empty()
            throw S3Error(.connection(.interrupted), "\(shownURL) cannot be resumed.")
        }
        retryAfter = head.retryAfter
        throw S3Error(
            .service(status: head.status, code: nil, requestID: nil),
            "\(shownURL) answers with HTTP status \(head.status).")
    }
}

/// A regular file as it grows. All calls throw `S3Error`.
private final class PartialFile {
    let descriptor: Descriptor
    private let path: String
    private(set) var size: Int64 = 0
    /// The strong entity tag of what this run has written.
    var tag: String?

    /// - Parameter number: an open file, or -1 with `errno` set.
    init(_ number: Int32, path: String) throws {
        descriptor = Descriptor(number)
        self.path = path
        var status = stat()
        try check(number >= 0 && fstat(number, &status) == 0)
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw S3Error(
                .file(EINVAL),
                "The file \(quoted(path)) cannot be written: it is not a regular file.")
        }
        size = Int64(lseek(number, 0, SEEK_END))
        try check(size >= 0)
    }

    func empty() throws {
        tag = nil
        try check(descriptor.use { ftruncate($0, 0) == 0 && lseek($0, 0, SEEK_SET) == 0 })
        size = 0
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = descriptor.use { write($0, rest.baseAddress, rest.count) }
            if count < 0, errno == EINTR { continue }
            try check(count > 0)
            size += Int64(count)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    func synchronize() throws { try check(descriptor.use { fsync($0) == 0 }) }

    private func check(_ isDone: Bool) throws {
        guard isDone else {
            throw SystemFailure().error("The file \(quoted(path)) cannot be written")
        }
    }
}

/// `Content-Range: bytes 5-9/10`, `bytes 5-9/*` or `bytes */10` (RFC 9110, section 14.4).
private struct ContentRange {
    /// nil where there is no range, only a total.
    let first: Int64?
    let total: Int64?

    init?(_ head: HTTPHead) {
        let pattern = #/bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)/#.ignoresCase()
        guard let match = head["content-range"]?.wholeMatch(of: pattern) else { return nil }
        first = match.1.flatMap { Int64($0) }
        total = match.3.flatMap { Int64($0) }
        let last = match.2.flatMap { Int64($0) }
        if let first { guard let last, first <= last, last < total ?? .max else { return nil } }
    }
}
