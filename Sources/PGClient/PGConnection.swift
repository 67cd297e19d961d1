import CPostgreSQL
import Glibc

/// One connection to PostgreSQL, through libpq. Every call blocks its thread until the server has
/// answered, so keep it off Swift's cooperative thread pool.
///
/// libpq allows one thread at a time; the class is not `Sendable`, so the compiler checks it. To use a connection on
/// another thread, open it there, pass it as a `sending` parameter, or keep it in a `Mutex<PGConnection>`.
///
/// The connection stays usable after a server error, but not after one that `isConnectionLost`.
public final class PGConnection {
    let handle: OpaquePointer
    let scrubber: ConnectionString
    private let notices: NoticeSink
    /// How long the server may stay silent while a statement runs.
    private(set) var responseTimeout: Duration?
    /// Set when the protocol state is unknown; the socket is then shut down.
    var isBroken = false

    /// Connects and waits until the server is ready for statements.
    ///
    /// - Parameters:
    ///   - uri: `postgres://…`, `postgresql://…` or `key=value …`, with everything that libpq understands.
    ///     Missing parts come from libpq's environment variables, password file and defaults.
    ///   - applicationName: shown in `pg_stat_activity`, unless the string or `PGAPPNAME` sets another.
    ///   - connectTimeout: limit for each address, authentication included; `connect_timeout` in the string or
    ///     `PGCONNECT_TIMEOUT` takes precedence. The system's resolver has its own limit.
    ///   - responseTimeout: how long the server may stay silent while a statement runs; nil for no limit. TCP
    ///     keepalives notice a vanished machine within two minutes anyway.
    ///   - shufflesHosts: whether to try the hosts of the string in random order, to spread many clients over them.
    ///   - onNotice: receives the server's notices and warnings, on the connection's thread.
    /// - Throws: `PGError` of kind `connection`, without the password.
    public init(
        uri: String, applicationName: String = "clip-search",
        connectTimeout: Duration = .seconds(10), responseTimeout: Duration? = nil,
        shufflesHosts: Bool = false,
        onNotice: (@Sendable (String) -> Void)? = nil
    ) throws(PGError) {
        let string = try ConnectionString(uri)
        let notices = NoticeSink(onNotice)
        let connector = Connector(
            string: string, applicationName: applicationName, notices: notices,
            timeout: connectTimeout, shufflesHosts: shufflesHosts)
        handle = try connector.connect()
        self.notices = notices
        self.responseTimeout = responseTimeout
        self.scrubber = string
    }

    deinit { PQfinish(handle) }

    /// Runs `body` without the limit on the server's silence, for statements that may take hours.
    public func withoutResponseTimeout<T>(_ body: () throws -> T) rethrows -> T {
        let limit = responseTimeout
        responseTimeout = nil
        defer { responseTimeout = limit }
        return try body()
    }
}

@available(*, unavailable)
extension PGConnection: Sendable {}

// MARK: - About the connection

extension PGConnection {
    /// False once the connection is known to be lost; only a statement finds out.
    public var isUsable: Bool { !isBroken && PQstatus(handle) == CONNECTION_OK }

    /// Whether a transaction is open, even a failed one.
    public var isInTransaction: Bool {
        [PQTRANS_INTRANS, PQTRANS_INERROR].contains(PQtransactionStatus(handle))
    }

    /// 150020 for 15.20: `PQserverVersion`.
    public var serverVersion: Int { Int(PQserverVersion(handle)) }

    /// A setting that the server reports on its own: `server_version`, `TimeZone`, `in_hot_standby`, ….
    public func parameter(_ name: String) -> String? {
        PQparameterStatus(handle, name).map { String(cString: $0) }
    }

    public var user: String { PQuser(handle).map { String(cString: $0) } ?? "" }

    /// The server's process, as in `pg_stat_activity`; made up by a pooler (see `isPooled()`).
    public var backendProcessID: Int { Int(PQbackendPID(handle)) }
}

// MARK: - Notices

/// Receives each notice from libpq; lives as long as the connection.
final class NoticeSink {
    private let handler: (@Sendable (String) -> Void)?

    init(_ handler: (@Sendable (String) -> Void)?) { self.handler = handler }

    /// Replaces libpq's own receiver, which prints on stderr. The caller keeps the sink alive as long as the handle.
    func attach(to connection: OpaquePointer) {
        let receiver: PQnoticeReceiver = { sink, result in
            guard let sink, let result else { return }
            Unmanaged<NoticeSink>.fromOpaque(sink).takeUnretainedValue().receive(result)
        }
        _ = PQsetNoticeReceiver(connection, receiver, Unmanaged.passUnretained(self).toOpaque())
    }

    private func receive(_ result: OpaquePointer) {
        let message =
            field("M", of: result) ?? String(cString: PQresultErrorMessage(result))
        handler?(oneLine(message, limit: 1000))
    }
}

/// A field of an error or notice by its code (manual, "Error and Notice Message Fields"): the severity V, which is never
/// translated, the SQLSTATE C, or the primary message M.
func field(_ code: Unicode.Scalar, of result: OpaquePointer) -> String? {
    PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
}
