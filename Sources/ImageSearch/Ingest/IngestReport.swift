/// How far an ingest is. Numbers are objects of the bucket.
public struct IngestProgress: Sendable, Equatable {
    /// Objects listed so far.
    public var listed = 0
    /// Whether the listing is complete, so that `listed` is the total.
    public var isListingComplete = false
    /// Pictures whose rows this run has put into the database.
    public var stored = 0
    /// Pictures that this run has put through the model.
    public var encoded = 0
    /// Pictures whose rows were up to date.
    public var unchanged = 0
    /// Pictures that other workers have in hand or have done meanwhile.
    public var elsewhere = 0
    /// Objects that are no pictures.
    public var skipped = 0
    /// Pictures that could not be processed.
    public var failed = 0
    /// What a dry run would embed.
    public var changed = 0
    /// Rows that were removed because their objects are gone, or would be.
    public var pruned: Int?
    /// Whether this run let another model's embeddings take the place of the former ones.
    public var hasReplacedModel = false

    public init() {}

    /// Objects that are dealt with.
    public var done: Int { stored + unchanged + elsewhere + skipped + failed + changed }
}

/// A picture that could not be processed.
public struct IngestFailure: Sendable, Equatable {
    public let key: String
    /// One sentence.
    public let reason: String
}

/// An ingest that ended early. What was stored until then stays stored.
public struct IngestInterruption: Error, CustomStringConvertible {
    public let progress: IngestProgress
    public let cause: any Error

    /// Whether ``Ingest/stop()`` was the cause.
    public var isStop: Bool { cause is IngestStop }

    public var description: String { "\(cause)" }
}

/// Why a run that was stopped ended.
struct IngestStop: Error, CustomStringConvertible {
    var description: String {
        "stopped: what was done is stored; run process-images again to go on with the rest"
    }
}
