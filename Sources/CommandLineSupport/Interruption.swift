import Glibc
import ImageSearch

/// The pipe that the signal handler writes to. Set before the handler is installed.
private nonisolated(unsafe) var signalPipe: Int32 = -1

/// Ctrl-C (SIGINT) and SIGTERM for a tool that can end in order: the first signal asks it to, the second
/// ends it at once.
public enum Interruption {
    private static let received = Monitor<Int32?>(nil)

    /// The exit code after a signal, 128 and its number as in shells: 130 for Ctrl-C, 143 for SIGTERM; nil
    /// when none was received.
    public static var exitCode: Int32? { received.read { $0 }.map { 128 + $0 } }

    /// Handles the signals, except one that the parent process had ignored.
    /// - Parameter handler: called once, on a thread of its own.
    public static func handle(_ handler: @escaping @Sendable () -> Void) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ThreadError() }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        signalPipe = ends[1]
        let reading = ends[0]
        try SystemThread.start {
            let first = next(reading)
            received.update { $0 = first }
            handler()
            _exit(128 + next(reading))
        }
        for number in [SIGINT, SIGTERM] {
            var action = sigaction()
            guard sigaction(number, nil, &action) == 0,
                unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
                    != unsafeBitCast(SIG_IGN, to: Int.self)
            else { continue }
            var new = sigaction()
            new.sa_flags = SA_RESTART
            // The signal may interrupt any thread at any point, so the handler only writes to a pipe.
            new.__sigaction_handler.sa_handler = { number in
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(signalPipe, &byte, 1)
                errno = saved
            }
            sigaction(number, &new, nil)
        }
    }

    /// The number of the next signal.
    private static func next(_ descriptor: Int32) -> Int32 {
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) != 1 {}
        return Int32(byte)
    }
}
