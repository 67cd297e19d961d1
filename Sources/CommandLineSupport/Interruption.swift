import Dispatch
import Glibc
import ImageSearch

/// Ctrl-C (SIGINT) and SIGTERM for a tool that can end in order: the first signal asks it to, the second
/// ends it at once.
public enum Interruption {
    private static let received = Monitor<Int32?>(nil)

    /// The exit code after a signal, 128 and its number as in shells: 130 for Ctrl-C, 143 for SIGTERM; nil
    /// when none was received.
    public static var exitCode: Int32? { received.read { $0 }.map { 128 + $0 } }

    /// Handles the signals, except one that the parent process had ignored.
    /// - Parameter handler: called once, on a thread of its own.
    public static func handle(_ handler: @escaping @Sendable () -> Void) {
        let queue = DispatchQueue(label: "signals")
        for number in [SIGINT, SIGTERM] {
            // The source takes the place of the signal's own action.
            let former = signal(number, SIG_IGN)
            if unsafeBitCast(former, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                continue
            }
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                // The reference to itself keeps the source.
                if exitCode != nil || source.data > 1 { _exit(128 + number) }
                received.update { $0 = number }
                handler()
            }
            source.activate()
        }
    }
}
