import FoundationEssentials
import Synchronization

/// An S3 key pair, with the session token of temporary ones. Descriptions and mirrors hide the secrets.
public struct Credentials: Sendable {
    public let accessKey: String
    package let secretKey: String
    package let sessionToken: String?
    /// When temporary keys expire; nil for others.
    package internal(set) var expiration: Date?

    /// An empty session token counts as none.
    public init(
        accessKey: String, secretKey: String, sessionToken: String? = nil, expiration: Date? = nil
    ) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken?.isEmpty == true ? nil : sessionToken
        self.expiration = expiration
    }

    /// Throws `S3Error` for keys that could not be sent.
    func check() throws {
        for (name, value) in [
            ("access key", accessKey), ("secret key", secretKey),
            ("session token", sessionToken ?? "-"),
        ] {
            guard value.isEmpty == false else {
                throw S3Error(.setting, "The S3 \(name) is empty.")
            }
            guard value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw S3Error(
                    .setting,
                    "The S3 \(name) has a space or another character that keys lack.")
            }
        }
    }
}

extension Credentials: CustomStringConvertible, CustomReflectable {
    public var description: String { "Credentials(accessKey: \(accessKey), secret redacted)" }
    public var customMirror: Mirror {
        Mirror(self, children: ["accessKey": accessKey], displayStyle: .struct)
    }
}

/// Gives credentials, and new ones before temporary ones expire.
public final class CredentialProvider: Sendable {
    private struct State {
        var credentials: Credentials?
        /// After an attempt that gave nothing newer.
        var nextAttempt = Date.distantPast
    }

    private let state: Mutex<State>
    private let fetch: (@Sendable () throws -> Credentials)?

    /// Temporary credentials are replaced this long before they expire, as botocore does.
    static let margin: TimeInterval = 600
    /// Between two attempts while the former credentials still work.
    private static let pause: TimeInterval = 60

    /// - Parameters:
    ///   - credentials: nil leaves requests unsigned, for public buckets.
    ///   - fetch: gives the ones that follow; nil for credentials that stay as they are.
    public init(_ credentials: Credentials?, fetch: (@Sendable () throws -> Credentials)? = nil) {
        state = Mutex(State(credentials: credentials))
        self.fetch = fetch
    }

    /// nil for requests that are not signed. Blocks while new credentials are fetched; an error counts only once the
    /// former ones have expired.
    package func credentials(at now: Date) throws -> Credentials? {
        try state.withLock { state in
            guard let fetch, let end = state.credentials?.expiration,
                end < now + Self.margin, state.nextAttempt <= now
            else { return state.credentials }
            do {
                let new = try fetch()
                try new.check()
                state.credentials = new
            } catch {
                if end <= now { throw error }
            }
            state.nextAttempt = now + Self.pause
            return state.credentials
        }
    }

    /// Fetches new credentials at the next use, because the store no longer takes these.
    /// - Returns: false where there are no others.
    func expire(_ refused: Credentials?) -> Bool {
        guard fetch != nil, let refused else { return false }
        state.withLock { state in
            // Another thread may have replaced them already.
            guard state.credentials?.accessKey == refused.accessKey else { return }
            state.credentials?.expiration = .distantPast
            state.nextAttempt = .distantPast
        }
        return true
    }
}
