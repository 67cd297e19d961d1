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

/// How much processor time the control groups of a container leave to this process.
package enum ProcessorQuota {
    /// Processors' worth of time, nil without a limit. Of nested groups the tightest counts.
    ///
    /// Version 2 keeps quota and period in `cpu.max`, version 1 in `cpu.cfs_quota_us` and
    /// `cpu.cfs_period_us` (the kernel's cgroup-v2.rst and sched-bwc.rst).
    /// - Parameters:
    ///   - membership: `/proc/self/cgroup`: lines of `ID:CONTROLLERS:PATH`.
    ///   - root: where control groups are mounted.
    package static func processors(
        membership: String = "/proc/self/cgroup", root: String = "/sys/fs/cgroup"
    ) -> Double? {
        let lines = text(membership)?.split(separator: "\n") ?? []
        return lines.flatMap { line -> [Double] in
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { return [] }
            let controllers = fields[1].split(separator: ",")
            guard controllers.isEmpty || controllers.contains("cpu") else { return [] }
            let mounts = controllers.isEmpty ? [root] : ["\(root)/\(fields[1])", "\(root)/cpu"]
            // Within a container the path may be the host's, which is not mounted: its parents are
            // tried down to the mount itself.
            let path = fields[2].split(separator: "/").map(String.init)
            return (0...path.count).flatMap { count in
                mounts.compactMap { quota(([$0] + path.prefix(count)).joined(separator: "/")) }
            }
        }.min()
    }

    /// One group's.
    private static func quota(_ group: String) -> Double? {
        let fields =
            text("\(group)/cpu.max")?.split(whereSeparator: \.isWhitespace).map(String.init)
            ?? ["cpu.cfs_quota_us", "cpu.cfs_period_us"].compactMap {
                text("\(group)/\($0)")?.split(whereSeparator: \.isWhitespace).first.map(String.init)
            }
        // Without a limit the quota is "max", or −1.
        guard fields.count == 2, let quota = Double(fields[0]), let period = Double(fields[1]),
            quota > 0, period > 0
        else { return nil }
        return quota / period
    }

    private static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}
