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

/// One thread's connection: opened when first needed, opened anew after it was lost, to a replica
/// if there are any and to the primary if none answers.
final class SearchConnection {
    private let route: SearchRoute
    private let applicationName: String
    private let responseTimeout: Duration
    private var table: PicturesTable?
    /// Whether `table` is at the primary for want of a replica.
    private var isFallback = false
    /// The replicas are left alone until then.
    private var replicasMissedUntil: ContinuousClock.Instant?

    /// Replicas that did not answer are asked again after so long.
    private static let pause = Duration.seconds(30)
    /// A replica that does not answer within this is passed over; `connect_timeout` in the string
    /// says otherwise.
    private static let longestConnecting = Duration.seconds(2)
    /// The server gives a query up so much earlier than its answer is waited for, so that it does not go on
    /// for nobody.
    private static let lead = Duration.milliseconds(500)
    /// A lost connection and its replacement may each have been at a server that is being stopped.
    private static let attempts = 3

    init(_ route: SearchRoute, applicationName: String, responseTimeout: Duration) {
        self.route = route
        self.applicationName = applicationName
        self.responseTimeout = responseTimeout
    }

    /// Runs a query. A connection that turns out to be dead is replaced and the query run once more,
    /// so that a restart of the server costs no search that comes after it.
    func withTable<T>(_ body: (PicturesTable) throws -> T) throws -> T {
        for _ in 1..<Self.attempts {
            let isNew = table?.isUsable != true
            let table = try usableTable()
            do {
                return try body(table)
            } catch let error as PGError where error.isConnectionLost {
                self.table = nil
                // A server that is there but silent would be silent again.
                if error.kind == .timeout { throw error }
                // Without replicas there is no other server to find behind a second loss.
                if isNew, route.replicas == nil { throw error }
            } catch let error as PGError where error.isSerializationFailure && !isFallback {
                // A replica gives a query up that stands in the way of what it has to replay.
                self.table = try primary()
                replicasMissedUntil = .now + Self.pause
            }
        }
        return try body(usableTable())
    }

    private func usableTable() throws -> PicturesTable {
        if let table, table.isUsable, !(isFallback && mayAskReplicas) { return table }
        if let replicas = route.replicas, mayAskReplicas {
            do {
                var found = try PicturesTable(
                    PGConnection(
                        uri: replicas, applicationName: applicationName,
                        connectTimeout: Self.longestConnecting, responseTimeout: responseTimeout,
                        shufflesHosts: true))
                found.searchBucket = route.bucket
                found.limitStatements(to: responseTimeout - Self.lead)
                replicasMissedUntil = nil
                (table, isFallback) = (found, false)
                return found
            } catch let error as PGError {
                // What is written wrongly stays wrong, and would be found out by nobody.
                if error.kind == .invalidUse || error.isAuthenticationFailure { throw error }
                replicasMissedUntil = .now + Self.pause
                if let table, table.isUsable { return table }
            }
        }
        let found = try primary()
        table = found
        return found
    }

    private func primary() throws -> PicturesTable {
        var found = try PicturesTable(
            PGConnection(
                uri: route.primary, applicationName: applicationName,
                responseTimeout: responseTimeout))
        found.searchBucket = route.bucket
        found.limitStatements(to: responseTimeout - Self.lead)
        isFallback = route.replicas != nil
        return found
    }

    private var mayAskReplicas: Bool {
        guard route.replicas != nil else { return false }
        return replicasMissedUntil.map { $0 <= .now } ?? true
    }
}
