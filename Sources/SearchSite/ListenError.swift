import Glibc

/// Why the site could not listen on a host and port.
public struct ListenError: Error, Equatable, CustomStringConvertible {
    /// What stood in the way.
    public enum Reason: Sendable, Equatable {
        /// The port is not within 0 to 65535.
        case notAPort
        /// No address is known for the host.
        case unknownHost
        /// The operating system refused.
        case system(errno: Int32)
    }

    public let host: String
    public let port: Int
    public let reason: Reason

    package init(host: String, port: Int, reason: Reason) {
        self.host = host
        self.port = port
        self.reason = reason
    }

    public var description: String {
        switch reason {
        case .notAPort:
            "cannot listen on \(host) port \(port): ports go from 0 to 65535"
        case .unknownHost:
            "cannot listen on \(host) port \(port): no address is known for this host"
        case .system(EADDRINUSE):
            "cannot listen on \(host) port \(port): something is using this port; "
                + "stop it or choose another one with --port"
        case .system(EACCES), .system(EPERM):
            "cannot listen on \(host) port \(port): this user may not use this port; "
                + "choose one above 1023 with --port"
        case .system(EADDRNOTAVAIL):
            "cannot listen on \(host) port \(port): this machine has no such address; "
                + "choose another one with --host"
        case .system(let code):
            "cannot listen on \(host) port \(port): \(String(cString: strerror(code)))"
        }
    }
}
