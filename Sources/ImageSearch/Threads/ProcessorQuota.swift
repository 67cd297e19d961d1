import FoundationEssentials

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
        guard let lines = text(membership)?.split(separator: "\n") else { return nil }
        var lowest: Double?
        for line in lines {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",")
            guard controllers.isEmpty || controllers.contains("cpu") else { continue }
            let mounts = controllers.isEmpty ? [root] : ["\(root)/\(fields[1])", "\(root)/cpu"]
            // Within a container the path may be the host's, which is not mounted: its parents are
            // tried down to the mount itself.
            var path = fields[2].split(separator: "/")
            while true {
                for mount in mounts {
                    if let quota = quota(([mount] + path.map(String.init)).joined(separator: "/")) {
                        lowest = min(lowest ?? quota, quota)
                    }
                }
                if path.popLast() == nil { break }
            }
        }
        return lowest
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
