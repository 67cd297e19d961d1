import PGClient
import S3Client

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// This process among all that fill the same table: its number, its sign of life, its claims.
final class Worker: Sendable {
    /// A machine that is lost is taken for dead after this time; see `PicturesTable+Claims.swift`.
    static let lease = Duration.seconds(60)
    private static let renewal = Duration.seconds(5)

    /// The connection that holds the worker's lock, for everything but storing.
    let table: PatientTable
    /// The worker's number; 0 until ``enrol()``.
    private let number: Monitor<Int>
    private let isGone = Monitor(false)

    init(connect: @escaping @Sendable () throws -> PicturesTable, patience: Patience) {
        let number = Monitor(0)
        self.number = number
        table = PatientTable(patience: patience, connect: connect) { table in
            let known = number.read { $0 }
            guard known > 0 else { return }
            _ = try table.enrol(Self.name, lease: Self.lease, known: known)
        }
    }

    var id: Int { number.read { $0 } }

    /// Host and process, for people who look into `picture_workers`.
    private static var name: String {
        var host = [CChar](repeating: 0, count: 256)
        let isKnown = gethostname(&host, host.count - 1) == 0
        let text = host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return "\(isKnown ? String(decoding: text, as: UTF8.self) : "unknown"):\(getpid())"
    }

    /// Takes a number and begins to give signs of life.
    func enrol() throws {
        let taken = try table.run { table in
            try table.forgetTheDead()
            return try table.enrol(Self.name, lease: Self.lease)
        }
        number.update { $0 = taken }
        try WorkerThread.start { [self] in
            let milliseconds = Int(Self.renewal / .milliseconds(1))
            while isGone.wait(milliseconds: milliseconds, { $0 ? true : nil }) == nil {
                // Without a database there is nothing to renew; whoever works finds out, too.
                try? table.run { try $0.renew(id, name: Self.name, lease: Self.lease) }
            }
        }
    }

    /// Gives back what is still claimed. A failure does no harm: the claims end with the process.
    func dismiss() {
        isGone.update { $0 = true }
        guard id > 0 else { return }
        try? table.run { try $0.dismiss(id) }
        table.close()
    }
}
