import Hummingbird
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
    /// - Throws: ``ListenError`` when host and port cannot be listened on.
    public func run(
        host: String, port: Int, onReady: @escaping @Sendable (_ address: String) -> Void
    ) async throws {
        guard (0...65_535).contains(port) else {
            throw ListenError(host: host, port: port, reason: .notAPort)
        }
        let application = Application(
            responder: responder(),
            server: .http1(configuration: .init(idleTimeout: .seconds(75))),
            configuration: .init(address: .hostname(host, port: port)),
            onServerRunning: { channel in
                onReady(Self.address(host: host, port: channel.localAddress?.port ?? port))
            },
            logger: logger)
        // What a failed start throws is told by the caller; the libraries need not log it as well.
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

    /// `http://host:port/`; an IPv6 address in brackets (RFC 3986, 3.2.2).
    private static func address(host: String, port: Int) -> String {
        host.contains(":") ? "http://[\(host)]:\(port)/" : "http://\(host):\(port)/"
    }
}
