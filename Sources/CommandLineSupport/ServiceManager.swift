import Glibc
import ImageSearch

/// Notifications to systemd about a process that it has started (`sd_notify(3)`): datagrams of lines
/// `NAME=VALUE` to the socket that `NOTIFY_SOCKET` names. Without one nothing is sent.
public final class ServiceManager: Sendable {
    /// A socket and the address that datagrams are sent to.
    private typealias Destination = (socket: Int32, address: sockaddr_un, length: socklen_t)

    private let destination: Destination?
    /// Microseconds within which systemd expects a sign of life; nil when it expects none.
    private let watchdog: Int?
    private let lastProgress = Monitor(ContinuousClock.now)
    /// The longest time without progress that still counts as alive.
    private let stallLimit: Duration

    /// Begins to send signs of life, as often as `WATCHDOG_USEC` asks for, as long as there is progress.
    /// - Parameter stallLimit: how long the process may be without progress.
    public init(stallLimit: Duration) throws {
        self.stallLimit = stallLimit
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        destination = variable("NOTIFY_SOCKET").flatMap(Self.destination)
        let isMeant = variable("WATCHDOG_PID").map { $0 == "\(getpid())" } ?? true
        let interval = variable("WATCHDOG_USEC").flatMap { Int($0) } ?? 0
        watchdog = isMeant && interval > 0 ? interval : nil
        guard destination != nil, let watchdog else { return }
        try SystemThread.start { [weak self] in
            let never = Monitor(())
            while let self {
                if self.isAlive(at: .now) { self.send("WATCHDOG=1") }
                // Twice as often as expected, as sd_watchdog_enabled(3) recommends.
                _ = never.wait(milliseconds: max(1, watchdog / 2_000)) { _ in Optional<Bool>.none }
            }
        }
    }

    deinit {
        if let destination { close(destination.socket) }
    }

    /// The process has started and does its work.
    public func ready() { send("READY=1") }

    /// Says in one line what the process does.
    public func status(_ text: String) { send("STATUS=" + text) }

    /// The process is about to end.
    public func stopping() { send("STOPPING=1") }

    /// Something has been done, or there is nothing to do.
    public func madeProgress() {
        if watchdog != nil { lastProgress.update { $0 = .now } }
    }

    package func isAlive(at now: ContinuousClock.Instant) -> Bool {
        now - lastProgress.read { $0 } < stallLimit
    }

    private func send(_ line: String) {
        guard let destination else { return }
        let text = Array(line.utf8)
        var address = destination.address
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                // A service manager that is away is not this process's trouble.
                sendto(
                    destination.socket, text, text.count, Int32(MSG_NOSIGNAL), $0,
                    destination.length)
            }
        }
    }

    /// - Parameter name: the path of a socket, or `@` and the name of an abstract one.
    private static func destination(_ name: String) -> Destination? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path = Array(name.utf8)
        guard let first = path.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@"),
            path.count < MemoryLayout.size(ofValue: address.sun_path)
        else { return nil }
        if first == UInt8(ascii: "@") { path[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0)
        guard socket >= 0 else { return nil }
        let length = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + path.count
        return (socket, address, socklen_t(length))
    }
}
