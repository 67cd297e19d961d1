import ArgumentParser
import CommandLineSupport
import ImageSearch

@main
struct ProcessImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process-images",
        abstract: "Compute CLIP embeddings of all pictures in a bucket and store them.",
        discussion: """
            Reads the bucket's and the database's settings from the environment or from .env; see \
            .env_example. What is unchanged since an earlier run is not fetched again. Objects that \
            are no pictures are skipped; a picture that is broken is named and the run goes on. Any \
            number of process-images, on any machines, may share one bucket and one database. \
            Ctrl-C finishes and stores what is in hand, a second one ends at once. Exit code 0: all \
            done; 2: done, but some pictures failed; 1: ended early; 130: stopped by Ctrl-C.
            """,
        version: Console.version)

    @Option(help: "Threads that decode and encode (default: one a processor).")
    var workers: Int?

    @Option(help: "Pictures that a thread encodes at once.")
    var batchSize = Ingest.Options().batchSize

    @Option(help: "A picture of more pixels is not decoded.")
    var maxPixels = Ingest.Options().limits.maximumPixels

    @Option(help: "A larger object is not fetched.")
    var maxBytes = Ingest.Options().maximumObjectBytes

    @Option(
        help: ArgumentHelp(
            "How long to bear the loss of the database or the store: 90s, 5m, 1h, or 0.",
            valueName: "time"))
    var retryFor = Seconds(300)

    @Option(
        help: ArgumentHelp(
            "Write pictures that failed to a file, one JSON object a line.", valueName: "file"))
    var failed: String?

    @Flag(help: "Then remove the rows of pictures that are no longer in the bucket.")
    var prune = false

    @Flag(help: "With --prune: also if the bucket lists nothing at all.")
    var force = false

    @Flag(help: "Say what would be done, and change nothing.")
    var dryRun = false

    @Flag(
        help: """
            Embed everything with another model than the table's; searches use the former one's \
            embeddings until all are there.
            """)
    var replaceModel = false

    @Flag(help: "No progress on stderr, only failures.")
    var quiet = false

    @Flag(help: "Print the summary as one JSON object.")
    var json = false

    func validate() throws {
        guard (1...1_024).contains(workers ?? 1) else {
            throw ValidationError("--workers must be 1 to 1024.")
        }
        guard (1...256).contains(batchSize) else {
            throw ValidationError("--batch-size must be 1 to 256.")
        }
        guard (1...1 << 32).contains(maxPixels) else {
            throw ValidationError("--max-pixels must be 1 to 4294967296.")
        }
        guard (1...1 << 40).contains(maxBytes) else {
            throw ValidationError("--max-bytes must be 1 to 1099511627776.")
        }
        guard prune || !force else { throw ValidationError("--force is for --prune.") }
    }

    func run() {
        Console.run("process-images") {
            _ = try OpenFileLimit.raise(minimum: 64)
            let settings = try Settings()
            let log = try failed.map { try FailureLog(path: $0) }
            let ingest = try Ingest(
                settings, modelPath: try Console.locateModel(settings), options: options)
            try Interruption.handle { ingest.stop() }
            return try run(ingest, log)
        }
    }

    private var options: Ingest.Options {
        var options = Ingest.Options()
        options.workers = workers
        options.batchSize = batchSize
        options.limits.maximumPixels = maxPixels
        options.maximumObjectBytes = maxBytes
        options.retryFor = .seconds(retryFor.count)
        options.replacesModel = replaceModel
        return options
    }

    private func run(_ ingest: Ingest, _ log: FailureLog?) throws -> Int32 {
        var line = ProgressLine(isQuiet: quiet)
        var logError: (any Error)?
        func tell(_ failure: IngestFailure) {
            line.note("\(Console.printable(failure.key)): \(Console.printable(failure.reason))")
            do {
                try log?.add(failure)
            } catch {
                // The pictures are worth more than the list: it ends the run in order.
                logError = logError ?? error
                ingest.stop()
            }
        }
        func summarize(_ progress: IngestProgress, isComplete: Bool) {
            line.clear()
            if json {
                Console.line(
                    ProgressLine.json(
                        progress, seconds: line.seconds, isComplete: isComplete, isDryRun: dryRun))
            } else if dryRun {
                Console.line(ProgressLine.drySummary(progress))
            } else {
                Console.line(ProgressLine.summary(progress, seconds: line.seconds))
            }
        }
        do {
            let progress = try process(
                ingest, report: { line.show($0) }, tell, note: { line.note($0) })
            summarize(progress, isComplete: true)
            return progress.failed > 0 ? 2 : 0
        } catch let interruption as IngestInterruption {
            summarize(interruption.progress, isComplete: false)
            if let logError { throw logError }
            guard interruption.isStop, let code = Interruption.exitCode else { throw interruption }
            Console.note("process-images: \(interruption)")
            return code
        }
    }

    private func process(
        _ ingest: Ingest, report: (IngestProgress) -> Void, _ tell: (IngestFailure) -> Void,
        note: (String) -> Void
    ) throws -> IngestProgress {
        if dryRun {
            return try ingest.survey(prunes: prune, force: force, report: report, onFailure: tell)
        }
        var progress = try ingest.run(
            report: report, onFailure: tell, onNote: { note("process-images: \($0)") })
        if progress.hasReplacedModel {
            note("process-images: searches use the new model's embeddings now")
        }
        if prune {
            progress = try ingest.prune(
                after: progress, force: force, onNote: { note("process-images: \($0)") })
        }
        return progress
    }
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
