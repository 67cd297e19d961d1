import S3Client

/// How far an ingest is. Numbers are objects of the bucket.
public struct IngestProgress: Sendable, Equatable {
    /// Objects listed so far, without those that the run's scope leaves out.
    public var listed = 0
    /// Objects that an exclusion leaves out.
    public var excluded = 0
    /// Whether the listing is complete, so that `listed` is the total.
    public var isListingComplete = false
    /// Pictures whose embeddings this run has put into the database.
    public var stored = 0
    /// Pictures whose rows this run has brought up to date without embedding them again.
    public var refreshed = 0
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
    /// Of these, pictures that an earlier run has reported.
    public var knownFailures = 0
    /// Of `failed`, by the format that a file's first bytes tell: `HEIC`.
    public var failedFormats: [String: Int] = [:]
    /// What a dry run would fetch.
    public var changed = 0
    /// Bytes that this run's previews will take in the database, about; nil until the listing is complete.
    public var expectedPreviewBytes: Int?
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
    public var done: Int {
        stored + refreshed + unchanged + elsewhere + skipped + failed + changed
    }

    mutating func count(_ failure: IngestFailure) {
        failed += 1
        if failure.isKnown { knownFailures += 1 }
        if let format = failure.format { failedFormats[format, default: 0] += 1 }
    }

    /// Adds what an earlier pass over the same bucket did.
    mutating func add(_ earlier: IngestProgress) {
        stored += earlier.stored
        encoded += earlier.encoded
        refreshed += earlier.refreshed
        // What this run has refused before is not what an earlier run has reported.
        if earlier.listed > 0 { knownFailures = min(knownFailures, earlier.knownFailures) }
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
    /// nil where the first bytes do not show it.
    public internal(set) var format: String?
    /// Whether an earlier run has reported it, for the same object.
    public internal(set) var isKnown = false
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
        "stopped: what was done is stored; run process-images again to continue with the rest"
    }
}
