#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A thread of its own for blocking work (libpq, curl, BLAS), which must not sit on Swift's
/// cooperative threads.
final class WorkerThread: Sendable {
    private let thread: pthread_t

    /// Starts a thread. Its stack is 8 MiB, whatever the system's default.
    init(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 8 << 20)
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                // The argument is optional on some platforms and not on others.
                let argument: UnsafeMutableRawPointer? = argument
                Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        precondition(code == 0, "the system gives no more threads")
        self.thread = thread
    }

    /// Waits until the thread has ended. To be called once.
    func join() {
        pthread_join(thread, nil)
    }

    /// Processors that this process may use.
    static var processorCount: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }
}
