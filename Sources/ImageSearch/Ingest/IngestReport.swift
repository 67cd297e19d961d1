/// How far an ingest is. Numbers are objects of the bucket.
public struct IngestProgress: Sendable, Equatable {
    /// Objects listed so far.
    public var listed = 0
    /// Whether the listing is complete, so that `listed` is the total.
    public var isListingComplete = false
    /// Pictures whose rows are in the database.
    public var stored = 0
    /// Objects that are no pictures.
    public var skipped = 0
    /// Pictures that could not be processed.
    public var failed = 0

    /// Objects that are dealt with.
    public var done: Int { stored + skipped + failed }
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

    public var description: String { "\(cause)" }
}
