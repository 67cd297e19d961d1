#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Ctrl-C (SIGINT) and SIGTERM for a tool that can end in order: the first asks it to, the second ends
/// it at once.
public enum Interruption {
    private static let received = Monitor<Int32?>(nil)

    /// Exit code after the signal that was received: 130 for Ctrl-C, 143 for SIGTERM (128 and the
    /// signal's number, as shells have it); nil when there was none.
    public static var exitCode: Int32? { received.read { $0 }.map { 128 + $0 } }

    /// Must be called before any other thread is started: all inherit that they leave the signals to
    /// the thread that waits for them.
    /// - Parameter handler: called once, on a thread of its own.
    public static func handle(_ handler: @escaping @Sendable () -> Void) throws {
        try WorkerThread.blockSignals([SIGINT, SIGTERM])
        try WorkerThread.start {
            let first = WorkerThread.awaitSignal([SIGINT, SIGTERM])
            received.update { $0 = first }
            handler()
            let second = WorkerThread.awaitSignal([SIGINT, SIGTERM])
            _exit(128 + second)
        }
    }
}

extension WorkerThread {
    fileprivate static func blockSignals(_ signals: [Int32]) throws {
        var set = signalSet(signals)
        guard pthread_sigmask(SIG_BLOCK, &set, nil) == 0 else { throw ThreadError() }
    }

    fileprivate static func awaitSignal(_ signals: [Int32]) -> Int32 {
        var set = signalSet(signals)
        var signal: Int32 = 0
        while sigwait(&set, &signal) != 0 {}
        return signal
    }

    private static func signalSet(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}
