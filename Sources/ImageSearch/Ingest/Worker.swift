import Glibc
import PGClient
import S3Client

/// This process among all that fill the same table: the name that its claims carry, and their renewal.
///
/// A claim is a lease. Its owner renews it every few seconds; when the owner dies or loses the database,
/// the lease ends and others may take the picture. All times are the database's. Nothing depends on a
/// session, so the connection may come from a pool.
final class Worker: Sendable {
    static let lease = Duration.seconds(20)
    private static let renewal = Duration.seconds(5)

    /// The connection for everything except storing.
    let table: RetryingTable
    /// Host, process and a random number: unique, and readable for people who look into the table.
    let owner: String
    private let isGone = Monitor(false)
    private let started = Monitor(0.0)

    init(connect: @escaping @Sendable () throws -> PicturesTable, budget: RetryBudget) {
        table = RetryingTable(budget: budget, connect: connect)
        owner = "\(Self.hostName):\(getpid()):\(String(UInt32.random(in: 0 ... .max), radix: 16))"
    }

    private static var hostName: String {
        var host = [CChar](repeating: 0, count: 256)
        guard gethostname(&host, host.count - 1) == 0 else { return "unknown" }
        return String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// When ``start()`` was called, by the database's clock, in seconds since 1970.
    var startTime: Double { started.read { $0 } }

    /// Begins to renew claims.
    func start() throws {
        let now = try table.run { table in
            try table.forgetEndedClaims()
            return try table.now()
        }
        started.update { $0 = now }
        try SystemThread.start { [self] in
            let milliseconds = Int(Self.renewal / .milliseconds(1))
            while isGone.wait(milliseconds: milliseconds, { $0 ? true : nil }) == nil {
                // Without a database there is nothing to renew, and the other threads notice too.
                try? table.run { try $0.renewClaims(of: owner, lease: Self.lease) }
            }
        }
    }

    /// Gives back what is still claimed. If that fails, the leases end by themselves.
    func stop() {
        isGone.update { $0 = true }
        try? table.run { try $0.releaseAll(of: owner) }
        table.close()
    }
}
