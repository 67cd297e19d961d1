import ClipCore
import PGClient
import S3Client

/// From a bucket to the `pictures` table, in stages that overlap:
///
///     list ─▶ fetch (several threads) ─▶ decode, preprocess, encode (a thread a processor) ─▶ store
///
/// Queues of bounded size between the stages keep memory flat, whatever the bucket's size.
public struct Ingest: Sendable {
    /// What may be set; the defaults fit the machine.
    public struct Options: Sendable {
        /// Threads that decode and encode; nil for one a processor.
        public var workers: Int?
        /// Pictures that a worker encodes at once.
        public var batchSize = 16
        /// Objects fetched at the same time. They mostly wait for the network.
        public var fetchers = 16
        /// A larger object is not taken for a picture.
        public var maximumObjectBytes = 128 << 20
        /// Bytes of pictures that may be on their way from the store or wait for a worker.
        public var maximumWaitingBytes = 256 << 20

        public init() {}
    }

    private let store: any ObjectStore
    private let databaseURI: String
    private let modelPath: String
    private let precision: Precision
    private let options: Options

    public init(_ settings: Settings, modelPath: String, options: Options = Options()) throws {
        store = try settings.objectStore()
        databaseURI = try settings.databaseURI()
        precision = try settings.precision()
        self.modelPath = modelPath
        self.options = options
    }

    /// The bucket and where it is, for messages.
    public var storeName: String { store.displayName }

    /// Processes the whole bucket. Blocks the calling thread, on which it calls `report` several
    /// times a second and `onFailure` once for every picture that could not be processed.
    ///
    /// - Throws: the error of an unusable model, table or store before anything was stored, or
    ///   ``IngestInterruption`` when the database or the store is lost on the way.
    public func run(
        report: (IngestProgress) -> Void, onFailure: (IngestFailure) -> Void
    ) throws -> IngestProgress {
        // First what fails fast: the table, and whether the model fits it.
        let table = try PicturesTable(uri: databaseURI, applicationName: "process-images")
        let checkpoint = try Checkpoint(path: modelPath)
        let dimension = try table.dimension()
        guard dimension == checkpoint.configuration.embeddingDimension else {
            throw TableError.differentDimension(
                table: dimension, model: checkpoint.configuration.embeddingDimension)
        }
        try table.checkWritable()
        let pipeline = IngestPipeline(store: store, options: options)
        // The storing thread closes the run, whatever becomes of the others.
        try pipeline.startStoring { [databaseURI] in
            try PicturesTable(uri: databaseURI, applicationName: "process-images")
        }
        do {
            // Listing and fetching go on while the weights are loaded.
            try pipeline.startFetching()
            try pipeline.startEncoding(try ImageEncoder(checkpoint, precision: precision))
        } catch {
            pipeline.stop(error, canStore: false)
        }
        return try pipeline.wait(report: report, onFailure: onFailure)
    }
}
