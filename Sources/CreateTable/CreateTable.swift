import ArgumentParser
import CommandLineSupport
import ImageSearch

@main
struct CreateTable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create-table",
        abstract: "Enable pgvector in PostgreSQL and create the table of pictures.",
        discussion: """
            Reads PG_SERVICE_URI from the environment or from .env; see .env_example. A table of an \
            earlier version or of the Python demo gets the columns it lacks; its rows stay as they are. \
            Running it again changes nothing.
            """,
        version: Console.version)

    @Option(
        help:
            "Length of the model's embeddings: 512 for ViT-B/32 and B/16, 768 for ViT-L/14. (default: the table's own; \(PicturesTable.defaultDimension) for a new one)"
    )
    var dimension: Int?

    @Option(
        help:
            "Spread the rows of a new table over this many partitions, each with its own index."
    )
    var partitions: Int?

    @Flag(help: "Spread the table over the servers of a Citus cluster, also one that has rows.")
    var distributed = false

    @Option(
        help: ArgumentHelp(
            "Build the index that makes searches fast: hnsw, auto (hnsw from \(IndexOptions.worthAnIndex) pictures on), or none to drop it. Searching and storing go on. Needs a direct connection, not a pool.",
            valueName: "kind"))
    var index: IndexOptions.Kind?

    @Option(
        help:
            "Memory that the server may use to build the index, such as 2GB; hnsw takes about 1.6 kB per picture."
    )
    var memory: String?

    @Option(help: "Server processes that help to build the index.")
    var indexWorkers: Int?

    @Flag(
        help: """
            Give up an unfinished process-images --replace-model: drop the new model's embeddings.
            """)
    var cancelReplacement = false

    @Flag(help: "Print the state of the table and its index, and change nothing.")
    var status = false

    @Option(
        help: ArgumentHelp(
            "Measure with this many text queries how much of the exact answers the index finds, and how fast; changes nothing.",
            valueName: "queries"))
    var recall: Int?

    @Flag(help: "Print --status and --recall as one JSON object per line.")
    var json = false

    @OptionGroup var shared: SettingsOptions

    func validate() throws {
        try check("--dimension", dimension, in: 1...PicturesTable.maximumDimension)
        try check("--partitions", partitions, in: 1...PicturesTable.maximumPartitions)
        guard memory.map({ IndexOptions.bytes($0) != nil }) ?? true else {
            throw ValidationError("--memory must be a size such as 512MB or 2GB.")
        }
        try check("--index-workers", indexWorkers, in: 0...1_024)
        try check("--recall", recall, in: 1...RecallQueries.maximumCount)
        guard index != .ivfflat else {
            throw ValidationError(
                "IVFFlat indexes are no longer built (an existing one is still used): use --index hnsw."
            )
        }
        guard index != nil || (memory == nil && indexWorkers == nil) else {
            throw ValidationError("--memory and --index-workers belong to --index.")
        }
        guard !distributed || partitions == nil else {
            throw ValidationError("--distributed and --partitions exclude each other.")
        }
        let reads = status || recall != nil
        let changes = index != nil || partitions != nil || distributed
        guard !cancelReplacement || (!changes && !reads) else {
            throw ValidationError("--cancel-replacement is used alone.")
        }
        guard !reads || !changes else {
            throw ValidationError("--status and --recall change nothing: leave the others out.")
        }
        guard reads || !json else {
            throw ValidationError("--json belongs to --status or --recall.")
        }
    }

    func run() {
        Console.run("create-table") {
            let settings = try shared.read(for: "create-table")
            if status || recall != nil {
                let table = try open(settings, responseTimeout: nil)
                if status { try show(try table.status()) }
                if let recall { try measure(table, settings, queries: recall) }
                return 0
            }
            if cancelReplacement {
                let model = try open(settings).cancelReplacement()
                let name = Console.printable(model?.name ?? "")
                Console.line(
                    model == nil
                        ? "No model is being replaced." : "The embeddings of \(name) were dropped.")
                return 0
            }
            try create(try open(settings))
            if let index { try change(index, settings) }
            return 0
        }
    }

    /// Connects, and refuses the table of another bucket.
    private func open(
        _ settings: Settings, responseTimeout: Duration? = .seconds(120)
    ) throws -> PicturesTable {
        let table = try PicturesTable(
            uri: settings.databaseURI(), schema: settings.schema(),
            applicationName: "create-table", responseTimeout: responseTimeout)
        if let bucket = try settings.bucketIdentity() { try table.check(bucket) }
        return table
    }

    private func create(_ table: PicturesTable) throws {
        if distributed { try table.checkDistributable() }
        let creation = try table.create(dimension: dimension, partitions: partitions)
        let extensionName = "pgvector \(creation.extensionVersion)"
        Console.line(
            creation.createdExtension
                ? "\(extensionName) was enabled." : "\(extensionName) was enabled already.")
        let tableName = "The table pictures (embeddings of dimension \(creation.dimension))"
        Console.line(
            creation.createdTable
                ? "\(tableName) was created."
                : creation.upgradedTable
                    ? "\(tableName) was there already, and was brought up to this version."
                    : "\(tableName) was there already.")
        if distributed {
            Console.line(
                try table.distribute()
                    ? "The table was distributed over the servers of the Citus cluster."
                    : "The table was distributed already.")
        }
        if let warning = TableStatus.warning(aboutExtension: creation.extensionVersion) {
            Console.note("create-table: \(warning)")
        }
    }

    private func change(_ kind: IndexOptions.Kind, _ settings: Settings) throws {
        let uri = try settings.databaseURI()
        let table = try PicturesTable(
            uri: uri, schema: settings.schema(), applicationName: "create-table",
            responseTimeout: nil
        ) { notice in
            Console.note("create-table: PostgreSQL says: \(notice)")
        }
        let options = IndexOptions(
            kind, memory: memory.flatMap(IndexOptions.bytes), workers: indexWorkers)
        let line = IndexProgressLine()
        let change = try table.changeIndex(options, uri: uri) { line.show($0) }
        Console.rewriteLine("")
        if change.removedInvalid {
            Console.line("An invalid index of an interrupted build was removed.")
        }
        Console.line(StatusFormat.text(change))
    }

    private func show(_ status: TableStatus) throws {
        Console.line(json ? StatusFormat.json(status) : StatusFormat.text(status))
        for warning in status.warnings { Console.note("create-table: \(warning)") }
    }

    private func measure(_ table: PicturesTable, _ settings: Settings, queries: Int) throws {
        let embedder = try QueryEmbedder(
            modelPath: try Console.locateModel(settings), activation: try settings.activation())
        let vectors = try RecallQueries.texts(queries).map { try embedder.embed($0).vector }
        let recall = try table.recall(of: vectors) { done in
            Console.rewriteLine("\(done)/\(queries) queries")
        }
        Console.rewriteLine("")
        Console.line(json ? StatusFormat.json(recall) : StatusFormat.text(recall))
    }
}

extension IndexOptions.Kind: ExpressibleByArgument {}
