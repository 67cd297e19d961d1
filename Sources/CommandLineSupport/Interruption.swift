import Glibc
import ImageSearch

/// Where the signal handler writes what came. Only set before the handler is there.
private nonisolated(unsafe) var signalPipe: Int32 = -1

/// Ctrl-C (SIGINT) and SIGTERM for a tool that can end in order: the first asks it to, the second ends
/// it at once.
public enum Interruption {
    private static let received = Monitor<Int32?>(nil)

    /// Exit code after the signal that was received: 130 for Ctrl-C, 143 for SIGTERM (128 and the
    /// signal's number, as shells have it); nil when there was none.
    public static var exitCode: Int32? { received.read { $0 }.map { 128 + $0 } }

    /// Takes the signals over, except one that whoever started the program wants ignored.
    /// - Parameter handler: called once, on a thread of its own.
    public static func handle(_ handler: @escaping @Sendable () -> Void) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ThreadError() }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        signalPipe = ends[1]
        let reading = ends[0]
        try WorkerThread.start {
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
            // Any thread may get the signal (libraries have threads of their own), in the middle of
            // anything: writing to a pipe is all that can be done there.
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
