/// An S3 key pair, and the session token that temporary ones come with.
///
/// The secret and the token show in no description, debug description or mirror.
public struct Credentials: Sendable {
    public let accessKey: String
    package let secretKey: String
    package let sessionToken: String?

    /// An empty session token counts as none.
    public init(accessKey: String, secretKey: String, sessionToken: String? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken?.isEmpty == true ? nil : sessionToken
    }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "Credentials(accessKey: \(accessKey), secret redacted)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror {
        Mirror(self, children: ["accessKey": accessKey], displayStyle: .struct)
    }
}
