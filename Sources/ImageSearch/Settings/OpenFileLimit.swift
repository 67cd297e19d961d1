import Glibc

/// How many files and sockets this process may have open at once (`RLIMIT_NOFILE`).
public enum OpenFileLimit {
    public struct TooLow: Error, CustomStringConvertible {
        public let description: String
    }

    /// More would only make the kernel's tables larger.
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
