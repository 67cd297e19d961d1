import PGClient

/// The servers that searches may ask.
struct SearchRoute: Sendable {
    /// Streaming replicas, several hosts allowed; nil without any.
    let replicas: String?
    /// Asked when no replica answers.
    let primary: String
    /// The bucket whose pictures are searched.
    let bucket: BucketIdentity?
}

/// One thread's connection: opened on first use, replaced after it was lost. It prefers a replica and
/// falls back to the primary.
final class SearchConnection {
    typealias Connect = @Sendable (_ uri: String, _ isReplica: Bool) throws -> PicturesTable

    private let route: SearchRoute
    private let now: @Sendable () -> ContinuousClock.Instant
    private let connect: Connect
    private var table: PicturesTable?
    /// Whether `table` is at the primary because no replica answered.
    private var isFallback = false
    /// Replicas are not tried before this time.
    private var replicasMissedUntil: ContinuousClock.Instant?

    /// How long replicas that did not answer are left alone.
    private static let pause = Duration.seconds(30)
    /// How long to wait for a replica, unless the connection string has a `connect_timeout`.
    private static let longestConnecting = Duration.seconds(2)
    /// A lost connection and its replacement may each have been to a server that is shutting down.
    private static let attempts = 3

    init(
        _ route: SearchRoute, now: @escaping @Sendable () -> ContinuousClock.Instant,
        connect: @escaping Connect
    ) {
        self.route = route
        self.now = now
        self.connect = connect
    }

    /// Connects to a real server.
    static func connect(applicationName: String, responseTimeout: Duration) -> Connect {
        { uri, isReplica in
            let table = try PicturesTable(
                PGConnection(
                    uri: uri, applicationName: applicationName,
                    connectTimeout: isReplica ? longestConnecting : .seconds(10),
                    responseTimeout: responseTimeout, shufflesHosts: isReplica))
            // The server cancels a statement before the client stops waiting for it, so that no
            // statement outlives its search.
            table.limitStatements(to: responseTimeout - .milliseconds(500))
            return table
        }
    }

    /// Runs a query. A lost connection is replaced and the query repeated, so that a restart of the
    /// server fails no later search.
    func withTable<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        for _ in 1..<Self.attempts {
            let isNew = table?.isUsable != true
            let table = try usableTable()
            do {
                return try body(table)
            } catch let error as PGError where error.isConnectionLost {
                self.table = nil
                // A server that is up but silent would be silent again.
                if error.kind == .timeout { throw error }
                // Without replicas there is no other server to try after a second loss.
                if isNew, route.replicas == nil { throw error }
            } catch let error as PGError where error.isSerializationFailure && !isFallback {
                // A replica cancels queries that conflict with its recovery.
                self.table = try primary()
                replicasMissedUntil = now() + Self.pause
            }
        }
        return try body(usableTable())
    }

    private func usableTable() throws -> PicturesTable {
        let mayTryReplicas = replicasMissedUntil.map { $0 <= now() } ?? true
        if let table, table.isUsable, !(isFallback && mayTryReplicas) { return table }
        if let replicas = route.replicas, mayTryReplicas {
            do {
                let found = try open(replicas, isReplica: true)
                replicasMissedUntil = nil
                (table, isFallback) = (found, false)
                return found
            } catch let error as PGError {
                // A mistake in the settings must not be hidden by the fallback.
                if error.kind == .invalidUse || error.isAuthenticationFailure { throw error }
                replicasMissedUntil = now() + Self.pause
                if let table, table.isUsable { return table }
            }
        }
        let found = try primary()
        table = found
        return found
    }

    private func primary() throws -> PicturesTable {
        let found = try open(route.primary, isReplica: false)
        isFallback = route.replicas != nil
        return found
    }

    private func open(_ uri: String, isReplica: Bool) throws -> PicturesTable {
        var table = try connect(uri, isReplica)
        table.searchBucket = route.bucket
        return table
    }
}
