import FoundationEssentials
import Glibc

/// The system refuses to start a thread.
package struct ThreadError: Error, CustomStringConvertible {
    package init() {}

    package var description: String {
        "cannot create another thread: raise the process's limit or use fewer --workers"
    }
}

/// Threads for blocking work, which must not run on Swift's cooperative threads.
package enum SystemThread {
    /// Starts a detached thread with a stack of 8 MiB.
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
                // `pthread_create` passes on what it was given, which is never nil.
                let box = Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue()
                box.body()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw ThreadError()
        }
    }

    /// Processors that this process may use, by its affinity and its container's quota.
    package static let processorCount: Int = {
        let processors = ProcessInfo.processInfo.activeProcessorCount
        let quota = ProcessorQuota.processors().map { Int($0.rounded(.up)) }
        return max(1, min(processors, quota ?? processors))
    }()
}

/// How many files and sockets this process may have open at once (`RLIMIT_NOFILE`).
public enum OpenFileLimit {
    public struct TooLow: Error, CustomStringConvertible {
        public let description: String
    }

    /// More only enlarges the kernel's tables.
    private static let useful: rlim_t = 65_536

    /// Raises the soft limit towards the hard limit.
    /// - Returns: the limit that is now in force.
    /// - Throws: ``TooLow`` if it is still below `minimum`.
    public static func raise(minimum: Int) throws(TooLow) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return minimum
        }
        if limit.rlim_cur < min(limit.rlim_max, useful) {
            var raised = limit
            raised.rlim_cur = min(limit.rlim_max, useful)
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 {
                limit = raised
            }
        }
        guard limit.rlim_cur >= rlim_t(minimum) else {
            throw TooLow(
                description: "this process may open only \(limit.rlim_cur) files at once and needs "
                    + "\(minimum): raise the limit (ulimit -n, or LimitNOFILE= in a systemd unit)")
        }
        return Int(clamping: limit.rlim_cur)
    }
}
