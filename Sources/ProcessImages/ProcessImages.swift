import ArgumentParser
import ImageSearch

@main
struct ProcessImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process-images",
        abstract: "Compute CLIP embeddings of all pictures in a bucket and store them.",
        discussion: """
            Reads the bucket's and the database's settings from the environment or from .env; see \
            .env_example. Objects that are no pictures are skipped; a picture that is broken is \
            named and the run goes on. Exit code 0: all done; 2: done, but some pictures failed; \
            1: ended early.
            """)

    @Option(help: "Threads that decode and encode (default: one a processor).")
    var workers: Int?

    @Option(help: "Pictures that a thread encodes at once.")
    var batchSize = Ingest.Options().batchSize

    func validate() throws {
        guard (1...1_024).contains(workers ?? 1) else {
            throw ValidationError("--workers must be 1 to 1024.")
        }
        guard (1...256).contains(batchSize) else {
            throw ValidationError("--batch-size must be 1 to 256.")
        }
    }

    func run() {
        Console.run("process-images") {
            let settings = try Settings()
            var options = Ingest.Options()
            options.workers = workers
            options.batchSize = batchSize
            let ingest = try Ingest(
                settings, modelPath: try Console.locateModel(settings), options: options)

            var line = ProgressLine()
            do {
                let progress = try ingest.run {
                    line.show($0)
                } onFailure: { failure in
                    line.clear()
                    Console.note("\(Console.printable(failure.key)): \(failure.reason)")
                }
                line.clear()
                Console.line(ProgressLine.summary(progress, seconds: line.seconds))
                return progress.failed > 0 ? 2 : 0
            } catch let interruption as IngestInterruption {
                line.clear()
                Console.line(ProgressLine.summary(interruption.progress, seconds: line.seconds))
                throw interruption
            }
        }
    }
}
