import CPostgreSQL

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// One connection to PostgreSQL, through libpq. Every call blocks its thread until the server has
/// answered, so keep it off Swift's cooperative thread pool.
///
/// One thread at a time: libpq allows no more, and the class is not `Sendable`, so the compiler
/// checks it. To use a connection on another thread either open it there, or pass it on for good
/// as a `sending` parameter, or keep it in a `Mutex<PGConnection>` (`Synchronization`), which *is*
/// `Sendable`. Only `canceller` may be used from anywhere at any time.
///
/// After an error of the server the connection stays usable; after `isConnectionLost` it does not
/// come back, open another one.
public final class PGConnection {
    let handle: OpaquePointer
    let scrubber: ConnectionString
    private let notices: NoticeSink
    /// How long the server may keep silent while a statement runs.
    let responseTimeout: Duration?
    /// Set while COPY or a stream of rows runs: no other statement can.
    var isBusy = false
    /// Set when the protocol's state is unknown; the socket is shut down then.
    var isBroken = false
    var statementCount = 0

    /// Cancels the statement that the connection runs; may be used from any thread.
    public let canceller: PGCanceller

    /// Connects and waits until the server takes statements.
    ///
    /// - Parameters:
    ///   - uri: `postgres://…`, `postgresql://…` or `key=value …`, with everything that libpq
    ///     understands: several hosts, `sslmode`, `sslrootcert`, `target_session_attrs`,
    ///     `options`, …. Left-out parts come from libpq's environment variables, its password
    ///     file and its defaults.
    ///   - applicationName: what the server shows in `pg_stat_activity`, unless the string or
    ///     `PGAPPNAME` says something else.
    ///   - connectTimeout: for each address that is tried, from the first packet to the end of
    ///     authentication; `connect_timeout` in the string or `PGCONNECT_TIMEOUT` wins. Looking
    ///     up a host name is the system resolver's and has the resolver's own limit.
    ///   - responseTimeout: how long the server may keep silent while a statement runs; nil for
    ///     as long as it likes. It has to be longer than the longest statement. A server whose
    ///     machine is gone is noticed by TCP keepalives within two minutes anyway.
    ///   - shufflesHosts: whether several hosts of the string are tried in an order of chance instead
    ///     of the string's, so that many clients spread over them.
    ///   - onNotice: gets the server's notices and warnings, on the connection's thread; nothing
    ///     is ever printed.
    /// - Throws: `PGError` of kind `connection`; the password is not in it.
    public init(
        uri: String, applicationName: String = "clip-search",
        connectTimeout: Duration = .seconds(10), responseTimeout: Duration? = nil,
        shufflesHosts: Bool = false,
        onNotice: (@Sendable (PGNotice) -> Void)? = nil
    ) throws(PGError) {
        let string = try ConnectionString(uri)
        let notices = NoticeSink(onNotice)
        let connector = Connector(
            string: string, applicationName: applicationName, notices: notices,
            timeout: connectTimeout, shufflesHosts: shufflesHosts)
        let handle = try connector.connect()
        guard let canceller = PGCanceller(handle) else {
            PQfinish(handle)
            throw PGError(.connection, "out of memory")
        }
        self.handle = handle
        self.canceller = canceller
        self.notices = notices
        self.responseTimeout = responseTimeout
        self.scrubber = string
    }

    deinit { PQfinish(handle) }
}

@available(*, unavailable)
extension PGConnection: Sendable {}

// MARK: - About the connection

extension PGConnection {
    /// False once the connection is lost. True is no promise: only a statement finds out.
    public var isUsable: Bool { !isBroken && PQstatus(handle) == CONNECTION_OK }

    /// Whether a transaction is open, failed or not.
    public var isInTransaction: Bool {
        [PQTRANS_INTRANS, PQTRANS_INERROR].contains(PQtransactionStatus(handle))
    }

    /// 150020 for 15.20: `PQserverVersion`.
    public var serverVersion: Int { Int(PQserverVersion(handle)) }

    /// A setting that the server reports by itself: `server_version`, `TimeZone`,
    /// `in_hot_standby`, ….
    public func parameter(_ name: String) -> String? {
        guard !name.utf8.contains(0) else { return nil }
        return PQparameterStatus(handle, name).map { String(cString: $0) }
    }

    /// The host that was connected to: a name, an address, or a Unix socket's directory.
    public var host: String { Self.string(PQhost(handle)) }
    public var port: Int { Int(Self.string(PQport(handle))) ?? 0 }
    public var database: String { Self.string(PQdb(handle)) }
    public var user: String { Self.string(PQuser(handle)) }
    public var isEncrypted: Bool { PQsslInUse(handle) == 1 }
    /// The server's process, as in `pg_stat_activity`.
    public var backendProcessID: Int { Int(PQbackendPID(handle)) }

    private static func string(_ pointer: UnsafePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? ""
    }

    private static func string(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? ""
    }
}

extension PGConnection: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        "PostgreSQL connection to database \"\(database)\" at \(host), port \(port), "
            + "as \"\(user)\""
    }
    public var debugDescription: String { description }
    public var customMirror: Mirror {
        Mirror(
            self,
            children: ["host": host, "port": port, "database": database, "user": user],
            displayStyle: .class)
    }
}

// MARK: - Cancelling

/// Asks the server to cancel what a connection is running. Usable from any thread, and harmless
/// when nothing runs any more or the connection is closed.
///
/// Sendable: PQcancel reads the handle without changing it (manual, "Canceling Queries in
/// Progress": safe in another thread), the handle is private, and `deinit` runs once.
public final class PGCanceller: @unchecked Sendable {
    private let handle: OpaquePointer

    init?(_ connection: OpaquePointer) {
        guard let handle = PQgetCancel(connection) else { return nil }
        self.handle = handle
    }

    deinit { PQfreeCancel(handle) }

    /// Sends the request on a connection of its own, without TLS, and returns when the server has
    /// taken it. The statement then fails with kind `cancelled`, unless it was faster.
    public func cancel() throws(PGError) {
        var message = [CChar](repeating: 0, count: 256)
        let done = PQcancel(handle, &message, Int32(message.count))
        guard done == 1 else {
            let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw PGError(
                .connection, "the cancel request failed: " + String(decoding: text, as: UTF8.self))
        }
    }
}

// MARK: - Notices

/// A NOTICE, WARNING or other message that is no error.
public struct PGNotice: Sendable, CustomStringConvertible {
    public let severity: String
    public let sqlState: String?
    public let message: String

    public var description: String { "\(severity): \(message)" }
}

/// What libpq calls with each notice; lives as long as the connection.
final class NoticeSink {
    private let handler: (@Sendable (PGNotice) -> Void)?

    init(_ handler: (@Sendable (PGNotice) -> Void)?) { self.handler = handler }

    /// Takes the place of libpq's own receiver, which prints on stderr. The caller keeps the sink
    /// alive for as long as the handle.
    func attach(to connection: OpaquePointer) {
        let receiver: PQnoticeReceiver = { sink, result in
            guard let sink, let result else { return }
            Unmanaged<NoticeSink>.fromOpaque(sink).takeUnretainedValue().receive(result)
        }
        _ = PQsetNoticeReceiver(connection, receiver, Unmanaged.passUnretained(self).toOpaque())
    }

    private func receive(_ result: OpaquePointer) {
        guard let handler else { return }
        let message =
            field(.message, of: result)
            ?? String(cString: PQresultErrorMessage(result))
        handler(
            PGNotice(
                severity: field(.severity, of: result) ?? "NOTICE",
                sqlState: field(.sqlState, of: result),
                message: oneLine(message, limit: 1000)))
    }
}

/// The fields of an error or notice by their codes (manual, "Error and Notice Message Fields").
enum MessageField: Unicode.Scalar {
    case severity = "V"  // never translated
    case sqlState = "C"
    case message = "M"
    case detail = "D"
    case hint = "H"
    case position = "P"
    case schema = "s"
    case table = "t"
    case column = "c"
    case dataType = "d"
    case constraint = "n"
}

func field(_ field: MessageField, of result: OpaquePointer) -> String? {
    PQresultErrorField(result, Int32(field.rawValue.value)).map { String(cString: $0) }
}
