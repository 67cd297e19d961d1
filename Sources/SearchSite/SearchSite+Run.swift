import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

extension SearchSite {
    /// Serves the site until the process gets SIGINT or SIGTERM; then requests under way get ten
    /// seconds to finish.
    /// - Parameters:
    ///   - host: a name or address of this machine.
    ///   - port: 0 takes a free one.
    ///   - onReady: called once, when requests are answered, with the address to open in a browser.
    /// - Throws: ``ListenError`` when host and port cannot be listened on, ``SiteOptionError`` when
    ///   certificate or key cannot be used.
    public func run(
        host: String, port: Int, onReady: @escaping @Sendable (_ address: String) -> Void
    ) async throws {
        guard (0...65_535).contains(port) else {
            throw ListenError(host: host, port: port, reason: .notAPort)
        }
        let scheme = configuration.tls == nil ? "http" : "https"
        let application = Application(
            responder: responder(),
            server: try server(),
            configuration: .init(
                address: .hostname(host, port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(
                    configuration.maximumConnections)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? port
                onReady(Self.address(scheme: scheme, host: host, port: port))
            },
            logger: logger)
        // The caller reports a failed start; the libraries need not log it too.
        var quiet = logger
        quiet.logLevel = max(.critical, logger.logLevel)
        var configuration = ServiceGroupConfiguration(
            services: [
                .init(service: application, successTerminationBehavior: .gracefullyShutdownGroup)
            ],
            gracefulShutdownSignals: [.sigint, .sigterm],
            logger: quiet)
        configuration.maximumGracefulShutdownDuration = .seconds(10)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch let error as IOError {
            throw ListenError(host: host, port: port, reason: .system(errno: error.errnoCode))
        } catch is SocketAddressError.UnknownHost {
            throw ListenError(host: host, port: port, reason: .unknownHost)
        } catch is CancellationError {
            // The ten seconds were over.
        }
    }

    private func server() throws(SiteOptionError) -> HTTPServerBuilder {
        let limits = configuration.limits
        let plain = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [ConnectionLimits(limits)],
                idleTimeout: .seconds(75),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 64 << 10,
                    maxHeaderFieldCount: 100)))
        guard let files = configuration.tls else { return plain }
        #if TLS
            return try TLSFiles(certificate: files.certificate, key: files.key)
                .server(over: plain, logger: logger)
        #else
            throw SiteOptionError(
                "this web-app was built without TLS, so it cannot use \(files.certificate): let a "
                    + "reverse proxy end TLS, or build it with the package trait TLS")
        #endif
    }

    /// `http://host:port/`; an IPv6 address in brackets (RFC 3986, 3.2.2).
    private static func address(scheme: String, host: String, port: Int) -> String {
        host.contains(":") ? "\(scheme)://[\(host)]:\(port)/" : "\(scheme)://\(host):\(port)/"
    }
}

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
        let why =
            switch reason {
            case .notAPort: "ports go from 0 to 65535"
            case .unknownHost: "no address is known for this host"
            case .system(EADDRINUSE):
                "something is using this port; stop it or choose another one with --port"
            case .system(EACCES), .system(EPERM):
                "this user may not use this port; choose one above 1023 with --port"
            case .system(EADDRNOTAVAIL):
                "this machine has no such address; choose another one with --host"
            case .system(let code): String(cString: strerror(code))
            }
        return "cannot listen on \(host) port \(port): \(why)"
    }
}
