import S3Client

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
    /// Pictures that other workers have stored meanwhile.
    public var elsewhere = 0
    /// Objects that are not pictures.
    public var skipped = 0
    /// Pictures that could not be processed.
    public var failed = 0
    /// What a dry run would embed.
    public var changed = 0
    /// Rows that were removed because their objects are gone, or would be.
    public var pruned: Int?
    /// Whether objects that exist may be missing from the listing.
    public var hidesKeys = false
    /// Whether nothing was pruned because the listing was incomplete.
    public var hasRefusedToPrune = false
    /// Whether the table had rows, but no bucket, before this run.
    public var isAdopting = false
    /// Whether this run replaced the former model's embeddings with another's.
    public var hasReplacedModel = false
    /// Rows that other programs stored during the run, and that lack the new model's embeddings.
    var missing = 0

    public init() {}

    /// Objects that are dealt with.
    public var done: Int { stored + unchanged + elsewhere + skipped + failed + changed }

    /// Adds what an earlier pass over the same bucket did.
    mutating func add(_ earlier: IngestProgress) {
        stored += earlier.stored
        encoded += earlier.encoded
        unchanged = max(0, unchanged - earlier.stored)
        isAdopting = earlier.isAdopting
    }

    /// Takes in what a listing could not list.
    mutating func add(_ listing: ListingReport, _ onFailure: (IngestFailure) -> Void) {
        for problem in listing.problems {
            onFailure(IngestFailure(key: problem.name, reason: problem.reason))
        }
        listed += listing.problemCount
        failed += listing.problemCount
        isListingComplete = true
        hidesKeys = !listing.isComplete
    }
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
