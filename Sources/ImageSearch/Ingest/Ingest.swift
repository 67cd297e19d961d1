import ClipCore
import PGClient
import S3Client

/// From a bucket to the `pictures` table, in stages that overlap:
///
///     list, compare ─▶ claim ─▶ fetch (several threads) ─▶ decode, preprocess, encode (a thread per
///     processor) ─▶ store
///
/// Queues of bounded size between the stages keep memory flat, whatever the bucket's size. Any number
/// of processes may fill one table from one bucket at the same time; `docs/ingest.md` says how.
public struct Ingest: Sendable {
    /// What may be set; the defaults fit the machine.
    public struct Options: Sendable {
        /// Threads that decode and encode; nil for one per processor.
        public var encoders: Int?
        /// Pictures that a thread encodes at once.
        public var batchSize = 16
        /// Objects fetched at the same time. They mostly wait for the network.
        public var fetchers = 16
        /// A larger object is not fetched.
        public var maximumObjectBytes = 128 << 20
        /// What decoding one picture may cost.
        public var limits = ImageLimits()
        /// Bytes of pictures that may be on their way from the store or wait to be encoded.
        public var maximumWaitingBytes = 256 << 20
        /// How long to keep retrying when the database or the store is unavailable.
        public var retryFor = Duration.seconds(300)
        /// How long the database may be silent while a statement runs, building an index apart.
        package var responseTimeout = Duration.seconds(120)
        /// Which objects of the bucket to process.
        public var scope = ObjectScope()
        /// Whether large JPEGs are decoded at a smaller scale; nil leaves it to the collection.
        public var decodesFast: Bool?
        /// Whether to fill in what rows of unchanged pictures lack, and to decode them by another rule.
        public var refreshes = false
        /// Whether to store a small copy of each picture.
        public var makesPreviews = true
        /// Whether to embed everything with another model than the table's, in columns of its own that
        /// take the place of the former ones when they are complete.
        public var replacesModel = false
        /// Whether the endpoint becomes another address of the table's bucket.
        public var addsEndpoint = false

        public init() {}

        /// What a refresh fills in; nil for an ordinary run.
        func needs(_ rule: @autoclosure () throws -> ImageDecoder.Rule) rethrows -> RefreshNeeds? {
            guard refreshes else { return nil }
            return RefreshNeeds(decoding: try rule().description, needsPreviews: makesPreviews)
        }
    }

    var store: any ObjectStore { openedStore.read { $0 } }
    private let openStore: @Sendable () throws -> any ObjectStore
    private let openedStore: Monitor<any ObjectStore>
    let bucket: BucketIdentity
    let connect: @Sendable () throws -> PicturesTable
    let modelPath: String
    let activation: Activation?
    let precision: Precision
    let decoding: WantedDecoding
    let options: Options
    /// Set by ``stop()``.
    let isStopping = Monitor(false)

    private let model = Monitor<(identity: ModelIdentity, encoder: LazyEncoder)?>(nil)
    private let hasNotedFormerRule = Monitor(false)

    /// - Parameter modelPath: the model's path, asked for when the settings are known to be usable: finding it may
    ///   take as long as a download.
    public init(
        _ settings: Settings, modelPath: @autoclosure () throws -> String,
        options: Options = Options()
    ) throws {
        openStore = { try settings.objectStore() }
        openedStore = Monitor(try openStore())
        bucket = try BucketIdentity(
            endpoint: settings.required("S3_ENDPOINT"), bucket: settings.required("S3_BUCKET_NAME"))
        let (uri, schema) = (try settings.databaseURI(), try settings.schema())
        connect = {
            try PicturesTable(
                uri: uri, schema: schema, applicationName: "process-images",
                responseTimeout: options.responseTimeout)
        }
        precision = try settings.precision()
        decoding = WantedDecoding(
            orientation: try settings.orientation(), isFast: options.decodesFast)
        activation = try settings.activation()
        self.options = options
        self.modelPath = try modelPath()
    }

    /// The bucket and where it is, for messages.
    public var storeName: String { store.displayName }

    /// Ends a run early but in order: pictures in hand are embedded and stored, the rest is left to others
    /// or to the next run. May be called from any thread; a later run ends at once.
    public func stop() {
        isStopping.update { $0 = true }
    }

    /// The decoder's version and limits: what others refused is tried again. A refusal adds the reader that it lacked.
    var rules: String {
        "\(ImageDecoder.version);\(options.limits.maximumPixels);\(options.maximumObjectBytes);"
    }

    /// Processes the whole bucket. Blocks the calling thread, and calls there `report` several times a second,
    /// `onFailure` for every picture that could not be processed, and `onNote` with sentences for people.
    ///
    /// - Throws: the error of an unusable model, table or store before anything was stored, or ``IngestInterruption``
    ///   when the database or the store was unavailable for too long, or the run was stopped.
    public func run(
        report: (IngestProgress) -> Void, onFailure: (IngestFailure) -> Void,
        onNote: (String) -> Void = { _ in }
    ) throws -> IngestProgress {
        let loaded = try loadedModel()
        let collection = try prepare(for: loaded.identity)
        if collection.decoding.isFormer, hasNotedFormerRule.set() {
            onNote(
                "an earlier version embedded this table's pictures as they are stored, some of them sideways; new ones are embedded alike until process-images --refresh turns them upright"
            )
        }
        var earlier = IngestProgress()
        earlier.isAdopting = collection.isAdopting
        var told: Set<String> = []
        // Other programs may store pictures while the model is replaced: then the bucket is listed again.
        for _ in 0..<Self.maximumPasses {
            let pipeline = try IngestPipeline(
                self, model: collection.model, encoder: loaded.encoder,
                rule: collection.decoding.rule, isPooled: collection.isPooled)
            try pipeline.start()
            earlier = try pipeline.wait(
                adding: earlier, report: report,
                onFailure: { failure in
                    if !options.replacesModel || told.insert(failure.key).inserted {
                        onFailure(failure)
                    }
                }, onNote: onNote)
            guard earlier.missing > 0 else { return earlier }
            onNote("other programs have stored \(earlier.missing) more pictures, which follow now")
        }
        throw IngestInterruption(
            progress: earlier, cause: TableError.rowsKeepComing(rows: earlier.missing))
    }

    /// A directory that was mounted again is another one.
    func openStoreAgain() throws {
        let store = try openStore()
        openedStore.update { $0 = store }
    }

    /// The model, whose file is opened once.
    func loadedModel() throws -> (identity: ModelIdentity, encoder: LazyEncoder) {
        try model.value {
            let checkpoint = try Checkpoint(path: modelPath, activation: activation)
            return (
                try ModelIdentity(checkpoint, precision: precision),
                LazyEncoder(checkpoint, precision)
            )
        }
    }

    /// Checks the table, its bucket and its model. The connection is closed afterwards.
    private func prepare(
        for identity: ModelIdentity
    ) throws -> (model: Int, decoding: CollectionDecoding, isAdopting: Bool, isPooled: Bool) {
        let table = try connect()
        _ = try table.dimension()
        try table.checkWritable()
        try table.upgrade()
        try table.checkSideTables()
        // A bucket that does not exist, or refuses the keys, must not become the table's.
        if try table.buckets().isEmpty { _ = try store.firstPage() }
        let isAdopting =
            try table.adopt(bucket, addsEndpoint: options.addsEndpoint) && table.hasPictures()
        let model =
            options.replacesModel
            ? try table.prepareReplacement(by: identity) : try table.adopt(identity)
        let rule = try table.adopt(decoding, isRefreshing: options.refreshes)
        return (model, rule, isAdopting, table.isPooled)
    }

    /// Passes over the bucket while other programs store pictures.
    private static let maximumPasses = 10
}

private struct Listed: Error { let page: [ObjectSummary] }

extension ObjectStore {
    /// The first page of a listing, empty without objects.
    /// - Throws: the store's error when the bucket cannot be listed.
    func firstPage(prefix: String = "") throws -> [ObjectSummary] {
        do {
            try list(prefix: prefix, after: nil) { throw Listed(page: $0) }
        } catch let first as Listed {
            return first.page
        }
        return []
    }
}

/// The image tower, whose weights are converted when the first picture needs them: a run that finds
/// everything unchanged never does.
final class LazyEncoder: Sendable {
    private let checkpoint: Checkpoint
    private let precision: Precision
    private let result = Monitor<Result<ImageEncoder, any Error>?>(nil)

    var preprocessor: ImagePreprocessor { ImagePreprocessor(checkpoint.configuration) }

    init(_ checkpoint: Checkpoint, _ precision: Precision) {
        self.checkpoint = checkpoint
        self.precision = precision
    }

    /// Converts the weights on first use; concurrent callers wait.
    func get() throws -> ImageEncoder {
        try result.value {
            Result {
                // A model that cannot embed texts is of no use: find out before any image is stored.
                _ = try QueryEmbedder(checkpoint).embed("a photo")
                return try ImageEncoder(checkpoint, precision: precision)
            }
        }.get()
    }
}
