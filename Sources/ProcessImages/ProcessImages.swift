import ArgumentParser
import CommandLineSupport
import ImageSearch

@main
struct ProcessImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process-images",
        abstract: "Compute CLIP embeddings of all pictures in a bucket and store them.",
        discussion: """
            Reads the settings of the bucket and the database from the environment or from .env; see \
            .env_example. Pictures that have not changed since an earlier run are not fetched again. \
            Other files, films and sidecars are skipped; pictures that cannot be read are reported and the \
            run continues. Any number of process-images, on any machines, may share one bucket and one \
            database. Ctrl-C finishes and stores what is in hand, a second one ends at once. Exit code 0: \
            all done, or --watch was stopped; 2: done, but some pictures failed; 1: ended early; 130: \
            stopped by Ctrl-C.
            """,
        version: Console.version)

    @Argument(
        help:
            "A folder of pictures to use instead of a bucket; it needs no S3 settings, and the other tools find it by the database.",
        completion: .directory)
    var folder: String?

    @Option(help: "Only objects whose keys begin with this.")
    var prefix = ""

    @Option(
        help: ArgumentHelp(
            "Without objects whose whole key matches; * stands for any characters, / included, and ? for one: 'thumbs/*', '*/avatars/*'. May be given several times.",
            valueName: "pattern"))
    var exclude: [String] = []

    @Option(help: "Threads that decode and encode (default: one per processor).")
    var workers: Int?

    @Option(help: "Pictures that a thread encodes at once.")
    var batchSize = Ingest.Options().batchSize

    @Option(help: "Do not decode pictures with more pixels.")
    var maxPixels = Ingest.Options().limits.maximumPixels

    @Option(help: "Do not fetch larger objects.")
    var maxBytes = Ingest.Options().maximumObjectBytes

    @Option(
        help: ArgumentHelp(
            "How long to keep retrying when the database or the store is unavailable: 90s, 5m, 1h, or 0.",
            valueName: "time"))
    var retryFor = Seconds(300)

    @Option(
        help: ArgumentHelp(
            "Write pictures that failed to a file, one JSON object per line.", valueName: "file"),
        completion: .file())
    var failed: String?

    @Flag(
        help:
            "Exit code 0 when all pictures that failed were reported by an earlier run and have not changed."
    )
    var knownFailuresOk = false

    @Flag(
        help:
            "Finally remove the rows of pictures that are no longer in the bucket, as far as --prefix and --exclude reach."
    )
    var prune = false

    @Flag(
        help:
            "Also fetch unchanged pictures whose rows lack size, date or preview, or were decoded by another rule (CLIP_ORIENTATION, --fast-decode); embed again only pictures that the rule changes."
    )
    var refresh = false

    @Flag(
        inversion: .prefixedNo,
        help:
            "Decode large JPEGs at a smaller scale: faster, with embeddings that differ slightly. The first run decides for the table, --refresh changes it (default: as the table says, a new one exactly)."
    )
    var fastDecode: Bool?

    @Option(help: "Store a small copy of each picture in the database.")
    var previews = Previews.small

    @Flag(
        help: """
            With --prune: remove them also when it looks like a mistake: more than a fifth of the rows, an \
            empty bucket, or the first run that records the table's bucket.
            """)
    var force = false

    @Flag(help: "Accept S3_ENDPOINT as another address of the table's bucket, from now on.")
    var addEndpoint = false

    @Flag(
        help:
            "Say what would be done, and change nothing. New objects of a bucket are judged by their keys, files of a folder by their first bytes."
    )
    var dryRun = false

    @Flag(
        help: """
            Embed everything with another model than the table's; searches use the former one's \
            embeddings until all are there.
            """)
    var replaceModel = false

    @Option(
        defaultAsFlag: "10m", parsing: .next,
        help: ArgumentHelp(
            "Stay, and look for changes at this interval until stopped: 30s, 10m, 1h.",
            valueName: "interval"))
    var watch: String?

    @Option(
        help: ArgumentHelp("Keep a JSON file that says what the process does.", valueName: "file"),
        completion: .file())
    var statusFile: String?

    @Option(
        help: ArgumentHelp(
            "Keep a file of metrics for Prometheus's textfile collector; its name must end in .prom there.",
            valueName: "file"),
        completion: .file())
    var metricsFile: String?

    @Flag(help: "No progress on stderr, only failures.")
    var quiet = false

    @Flag(help: "Print the summary as one JSON object.")
    var json = false

    @OptionGroup var shared: SettingsOptions

    func validate() throws {
        try check("--workers", workers, in: 1...1_024)
        try check("--batch-size", batchSize, in: 1...256)
        try check("--max-pixels", maxPixels, in: 1...1 << 32)
        try check("--max-bytes", maxBytes, in: 1...1 << 40)
        guard prefix.utf8.count <= 1_024,
            !([prefix] + exclude).contains(where: { $0.utf8.contains(0) })
        else {
            throw ValidationError("No key begins with that --prefix or matches that --exclude.")
        }
        guard !exclude.contains("") else { throw ValidationError("--exclude needs a pattern.") }
        guard !replaceModel || (prefix.isEmpty && exclude.isEmpty) else {
            throw ValidationError(
                "--replace-model needs the whole bucket, without --prefix and --exclude.")
        }
        guard prune || !force else { throw ValidationError("--force is for --prune.") }
        if let watch, interval?.count ?? 0 == 0 {
            throw ValidationError(
                "--watch \(watch): give an interval such as 30s, 10m or 1h, or none for 10m.")
        }
        guard watch == nil || !(dryRun || replaceModel || force) else {
            throw ValidationError(
                "--watch goes with neither --dry-run nor --replace-model nor --force.")
        }
        guard !addEndpoint || !dryRun else {
            throw ValidationError("--add-endpoint changes the database, --dry-run does not.")
        }
    }

    func run() {
        Console.run("process-images") {
            _ = try OpenFileLimit.raise(minimum: 64)
            let given = try shared.read(for: "process-images")
            try given.limitInstructionSet()
            if !quiet { try Console.notePrecision(given) }
            let settings =
                try folder.map { try given.withFolder($0) }
                ?? given.withRecordedFolder(applicationName: "process-images")
            let log = try failed.map { try FailureLog(path: $0) }
            let ingest = try Ingest(
                settings, modelPath: try findModel(settings), options: options)
            let service = try ServiceManager(stallLimit: .seconds(900 + retryFor.count))
            let status = try IngestStatus(
                statusFile: statusFile, metricsFile: metricsFile, service: service)
            Interruption.handle {
                service.stopping()
                ingest.stop()
            }
            service.ready()
            defer { status.end() }
            do {
                if let interval {
                    try watch(ingest, log, status, every: .seconds(interval.count))
                    return 0
                }
                var told: Set<Int>?
                return try pass(ingest, log, status, told: &told)
            } catch {
                if let interruption = error as? IngestInterruption, interruption.isStop,
                    let code = Interruption.exitCode
                {
                    Console.note("process-images: \(interruption)")
                    return code
                }
                status.failPass(error)
                throw error
            }
        }
    }

    /// A database that cannot be used shows before a model is downloaded. A process that stays waits for it instead.
    private func findModel(_ settings: Settings) throws -> String {
        if interval == nil {
            let table = try PicturesTable(
                uri: settings.databaseURI(), schema: settings.schema(),
                applicationName: "process-images")
            _ = try table.dimension()
        }
        return try Console.locateModel(settings)
    }

    /// Makes passes until it is stopped.
    private func watch(
        _ ingest: Ingest, _ log: FailureLog?, _ status: IngestStatus, every interval: Duration
    ) throws {
        var told: Set<Int>?
        var log = log
        try ingest.watch(every: interval) {
            // Each pass has a list of its own.
            if log == nil { log = try failed.map { try FailureLog(path: $0) } }
            defer { log = nil }
            _ = try pass(ingest, log, status, told: &told)
        } onFailure: {
            status.failPass($0)
            Console.note("process-images: \($0)")
        } onWait: {
            status.wait($0)
        }
    }

    private var interval: Seconds? { watch.flatMap { Seconds(argument: $0) } }

    private var options: Ingest.Options {
        var options = Ingest.Options()
        options.encoders = workers
        options.batchSize = batchSize
        options.limits.maximumPixels = maxPixels
        options.maximumObjectBytes = maxBytes
        options.retryFor = .seconds(retryFor.count)
        options.scope = ObjectScope(prefix: prefix, excluded: exclude)
        options.refreshes = refresh
        options.decodesFast = fastDecode
        options.makesPreviews = previews == .small
        options.replacesModel = replaceModel
        options.addsEndpoint = addEndpoint
        return options
    }

    /// - Parameter told: hashes of failures that earlier passes have told, which are not told again; nil in
    ///   the first pass, which always prints a summary. Others do when something has changed.
    /// - Returns: the exit code.
    private func pass(
        _ ingest: Ingest, _ log: FailureLog?, _ status: IngestStatus, told: inout Set<Int>?
    ) throws -> Int32 {
        var seen = told ?? []
        var hasNews = told == nil
        defer { told = seen }
        var line = ProgressLine(isQuiet: quiet)
        func tell(_ failure: IngestFailure) {
            if seen.insert([failure.key, failure.reason].hashValue).inserted {
                hasNews = true
                line.note("\(Console.printable(failure.key)): \(Console.printable(failure.reason))")
            }
            log?.add(failure)
            // What is embedded is kept, but without the list the run is not complete.
            if log?.error != nil { ingest.stop() }
        }
        var saidSpace = false
        func show(_ progress: IngestProgress) {
            if let bytes = progress.expectedPreviewBytes, bytes >= 1_000_000, !saidSpace, !quiet {
                saidSpace = true
                line.note(
                    "process-images: previews will take about \(bytes / 1_000_000) MB in the database (--previews none leaves them out)"
                )
            }
            if progress.listed > 0 { log?.begin() }
            line.show(progress)
            status.update(progress)
        }
        func summarize(_ progress: IngestProgress, isComplete: Bool) {
            line.clear()
            let isChanged = progress.stored + progress.refreshed + (progress.pruned ?? 0) > 0
            guard hasNews || isChanged else { return }
            if json {
                Console.line(
                    ProgressLine.json(
                        progress, seconds: line.seconds, isComplete: isComplete, isDryRun: dryRun))
            } else if progress.listed == 0 {
                // After an error, zeros would only hide it.
                if isComplete {
                    let removed = progress.pruned.map { ", removed \($0)" } ?? ""
                    let isEmpty =
                        prefix.isEmpty && progress.excluded == 0
                        ? "is empty" : "has no object that --prefix and --exclude leave"
                    Console.line("The bucket \(ingest.storeName) \(isEmpty)\(removed).")
                }
            } else if dryRun {
                Console.line(ProgressLine.drySummary(progress))
            } else {
                Console.line(ProgressLine.summary(progress, seconds: line.seconds))
            }
        }
        status.beginPass()
        do {
            let progress = try process(
                ingest, status, report: show, tell, note: { line.note("process-images: \($0)") })
            log?.finish()
            let isComplete = log?.error == nil && !progress.hidesKeys
            summarize(progress, isComplete: isComplete)
            status.endPass(progress, isComplete: isComplete)
            if let error = log?.error { throw error }
            if progress.hasRefusedToPrune {
                line.note("process-images: nothing was removed, because the listing is incomplete")
            }
            let excused = knownFailuresOk ? progress.knownFailures : 0
            return progress.failed > excused || progress.hasRefusedToPrune ? 2 : 0
        } catch {
            guard let interruption = error as? IngestInterruption else { throw error }
            if interruption.progress.listed > 0 { log?.finish() }
            summarize(interruption.progress, isComplete: false)
            throw log?.error ?? interruption
        }
    }

    private func process(
        _ ingest: Ingest, _ status: IngestStatus, report: (IngestProgress) -> Void,
        _ tell: (IngestFailure) -> Void, note: (String) -> Void
    ) throws -> IngestProgress {
        if dryRun {
            return try ingest.survey(
                prunes: prune, report: report, onFailure: tell,
                onNote: { if !force { note($0) } })
        }
        let progress = try ingest.run(report: report, onFailure: tell, onNote: note)
        if progress.hasReplacedModel { note("searches use the new model's embeddings now") }
        guard prune else { return progress }
        return try ingest.prune(
            after: progress, force: force, onPage: status.madeProgress, onNote: note)
    }
}

enum Previews: String, ExpressibleByArgument, CaseIterable {
    case small, none
}

/// A time on the command line: `90`, `90s`, `5m`, `1h`.
struct Seconds: ExpressibleByArgument, CustomStringConvertible {
    let count: Int

    init(_ count: Int) { self.count = count }

    init?(argument: String) {
        let factors: [Character: Int] = ["s": 1, "m": 60, "h": 3_600]
        let factor = argument.last.flatMap { factors[$0] }
        let digits = factor == nil ? argument[...] : argument.dropLast()
        guard let number = Int(digits), (0...1_000_000).contains(number) else { return nil }
        count = number * (factor ?? 1)
    }

    var description: String { count > 0 && count % 60 == 0 ? "\(count / 60)m" : "\(count)s" }
    var defaultValueDescription: String { description }
}
