import FoundationEssentials
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
    /// When this worker began, by the database's clock, in seconds since 1970.
    let startTime: Double
    private let isGone = Monitor(false)

    /// Begins to renew claims.
    init(connect: @escaping @Sendable () throws -> PicturesTable, budget: RetryBudget) throws {
        table = RetryingTable(budget: budget, connect: connect)
        let (process, number) = (ProcessInfo.processInfo, UInt32.random(in: 0 ... .max))
        owner =
            "\(process.hostName):\(process.processIdentifier):\(String(number, radix: 16))"
        startTime = try table.run { table in
            try table.forgetEndedClaims()
            return try table.now()
        }
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
