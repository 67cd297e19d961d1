import FoundationEssentials
import Glibc

/// The system refused to start a thread.
package struct ThreadError: Error, CustomStringConvertible {
    package init() {}

    package var description: String {
        "cannot create another thread: raise the process's limit or use fewer --workers"
    }
}

/// Threads for blocking work (libpq, curl, BLAS), which must not sit on Swift's cooperative threads.
package enum WorkerThread {
    /// Starts a thread that nobody waits for. Its stack is 8 MiB, whatever the system's default.
    package static func start(_ body: @escaping @Sendable () -> Void) throws(ThreadError) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, 8 << 20)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                // The argument is optional on some platforms and not on others.
                let argument: UnsafeMutableRawPointer? = argument
                Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw ThreadError()
        }
    }

    /// Processors that this process may use.
    package static var processorCount: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }
}
