/// What went wrong with a bucket or a download, as one sentence that names the thing and the fault.
///
/// Never holds a secret key, a session token, an `Authorization` header or a presigned query.
public struct S3Error: Error, Sendable, CustomStringConvertible {
    public enum Reason: Sendable, Equatable {
        /// An endpoint, address, region, bucket name or option that cannot be used.
        case setting
        /// A key that this store cannot have.
        case key
        /// The store refused: HTTP status, S3's error code where it told one, its request id.
        case service(status: Int, code: String?, requestID: String?)
        /// The request or its answer did not get through.
        case connection(ConnectionFault)
        /// The store's answer is not what S3 answers.
        case response
        /// The object is larger than the caller takes.
        case tooLarge
        /// A directory, a pipe or the like is in the object's place.
        case notAFile
        /// The file system refused; the number is `errno`.
        case file(Int32)
    }

    public let reason: Reason
    public let key: String?
    public let description: String

    package init(_ reason: Reason, key: String? = nil, _ description: String) {
        self.reason = reason
        self.key = key
        self.description = description
    }

    /// Whether the object that was asked for does not exist (and nothing else is wrong).
    public var isMissingObject: Bool {
        switch reason {
        case .service(let status, let code, _):
            code == "NoSuchKey" || (status == 404 && code == nil && key != nil)
        case .file(let number): SystemFailure(number).meansGone && key != nil
        default: false
        }
    }

    /// Whether the store does not know the request.
    var meansNotImplemented: Bool {
        guard case .service(let status, let code, _) = reason else { return false }
        return status == 501 || code == "NotImplemented"
    }

    /// Whether the store no longer takes temporary credentials.
    var meansExpired: Bool {
        guard case .service(_, let code?, _) = reason else { return false }
        return ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"].contains(code)
    }

    /// Whether the same request may work a little later: the store is away, slow or overloaded, or this process has
    /// too many files open.
    package var isWorthRetrying: Bool {
        switch reason {
        case .file: isLocalLimit
        case .connection(let fault): fault != .tls && fault != .other
        case .service(let status, let code, _):
            status == 429 || (status >= 500 && status != 501)
                || ["SlowDown", "RequestTimeout", "Throttling"].contains(code)
        default: false
        }
    }

    /// Whether this process or machine has run out of file descriptors or memory, which says nothing about the object.
    public var isLocalLimit: Bool {
        switch reason {
        case .file(let number): SystemFailure(number).isLocalLimit
        case .connection(let fault): fault == .localLimit
        default: false
        }
    }
}

/// How a connection failed.
public enum ConnectionFault: Sendable, Equatable {
    case nameResolution
    /// Refused, unreachable, or not even begun.
    case connect
    /// The server's certificate or TLS version is refused.
    case tls
    case timeout
    /// Cut off, or shorter than announced.
    case interrupted
    /// This process or machine has no descriptor left for a socket.
    case localLimit
    case other
}

/// `text` in quotes, safe for a terminal, cut after 1,100 characters.
package func quoted(_ text: String) -> String { "\"\(printable(text, limit: 1_100))\"" }

/// `text` on one line, control characters replaced by `\u{…}`, cut after `limit` characters.
package func printable(_ text: String, limit: Int = 300) -> String {
    var line = ""
    var count = 0
    for scalar in text.unicodeScalars {
        count += 1
        if count > limit { return line + "…" }
        switch scalar.properties.generalCategory {
        // U+200D joins the parts of an emoji.
        case .control, .lineSeparator, .paragraphSeparator,
            .format where scalar != "\u{200D}":
            line += "\\u{\(String(scalar.value, radix: 16))}"
        default: line.unicodeScalars.append(scalar)
        }
    }
    return line
}
