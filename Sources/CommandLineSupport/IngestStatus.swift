import FoundationEssentials
import Glibc
import ImageSearch

/// What an ingest does, for programs that watch it: a JSON file, a file of metrics for Prometheus's
/// textfile collector, and systemd's status line.
public final class IngestStatus {
    private enum State: String {
        /// A pass over the bucket is being made.
        case running
        /// The last pass was complete; the next one follows.
        case waiting
        /// The last pass failed; it is made again.
        case failing
        /// No pass follows.
        case ended
    }

    private let statusFile: String?
    private let metricsFile: String?
    private let service: ServiceManager
    private let begin = Date()
    private var state = State.running
    /// Of the current pass or, between passes, of the last one.
    private var progress = IngestProgress()
    private var completePasses = 0
    private var failedPasses = 0
    private var failuresInARow = 0
    /// Of all earlier passes.
    private var totals = IngestProgress()
    private var lastComplete: (date: Date, seconds: Double, progress: IngestProgress)?
    private var lastError: String?
    private var nextPass: Date?
    private var passBegin = Date()
    private var written = Date.distantPast
    private var hasToldOfFile = false

    /// - Throws: one sentence when a file cannot be written.
    public init(statusFile: String?, metricsFile: String?, service: ServiceManager) throws {
        (self.statusFile, self.metricsFile, self.service) = (statusFile, metricsFile, service)
        try writeFiles()
    }

    public func beginPass() {
        (state, passBegin, progress, nextPass) = (.running, Date(), IngestProgress(), nil)
        service.status("listing")
        show()
    }

    /// Called several times a second; writes the files every five seconds.
    public func update(_ new: IngestProgress) {
        guard new != progress else { return }
        progress = new
        service.madeProgress()
        guard Date().timeIntervalSince(written) >= 5 else { return }
        service.status(ProgressLine.text(new))
        show()
    }

    public func madeProgress() { service.madeProgress() }

    /// - Parameter isComplete: whether everything was listed.
    public func endPass(_ new: IngestProgress, isComplete: Bool) {
        add(new)
        (failuresInARow, lastError) = (0, nil)
        completePasses += 1
        lastComplete = (Date(), Date().timeIntervalSince(passBegin), new)
        if !isComplete { lastError = "the listing is incomplete" }
    }

    public func failPass(_ error: any Error) {
        if let interruption = error as? IngestInterruption { add(interruption.progress) }
        failedPasses += 1
        failuresInARow += 1
        nextPass = nil
        lastError = Console.printable("\(error)")
    }

    private func add(_ new: IngestProgress) {
        progress = new
        totals = Self.sum(totals, new)
        service.madeProgress()
    }

    /// The earlier passes' counters with those of one more.
    private static func sum(_ totals: IngestProgress, _ new: IngestProgress) -> IngestProgress {
        var all = totals
        all.stored += new.stored
        all.refreshed += new.refreshed
        all.failed += new.failed - new.knownFailures
        all.pruned = (totals.pruned ?? 0) + (new.pruned ?? 0)
        return all
    }

    /// Called before a wait and every second of it.
    public func wait(_ waiting: Ingest.Waiting) {
        service.madeProgress()
        guard nextPass == nil else { return }
        let (new, seconds, text): (State, Int, String) =
            switch waiting {
            case .nextPass(let seconds): (.waiting, seconds, "waiting for the next pass")
            case .nextAttempt(let seconds): (.failing, seconds, lastError ?? "the last pass failed")
            }
        state = new
        nextPass = Date() + TimeInterval(seconds)
        service.status(text)
        show()
    }

    public func end() {
        (state, nextPass) = (.ended, nil)
        show()
    }

    // MARK: Files

    /// Writes the files. After the start a full disk must not end the ingest, so that is only told.
    private func show() {
        written = Date()
        do {
            try writeFiles()
            hasToldOfFile = false
        } catch {
            if !hasToldOfFile { Console.note("process-images: \(error)") }
            hasToldOfFile = true
        }
    }

    private func writeFiles() throws {
        if let statusFile { try Self.replace(statusFile, with: json + "\n") }
        if let metricsFile { try Self.replace(metricsFile, with: metrics) }
    }

    /// Replaces a file as a whole, so that readers see either the former contents or the new.
    private static func replace(_ path: String, with text: String) throws {
        let new = "\(path).\(getpid()).new"
        let file = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw FileError("the file \(path)") }
        defer { close(file) }
        guard Console.write(text, to: file), rename(new, path) == 0 else {
            let error = FileError("the file \(path)")
            unlink(new)
            throw error
        }
    }

    private var json: String {
        func time(_ date: Date?) -> JSON { date.map { .string($0.ISO8601Format()) } ?? .null }
        let lastPass = lastComplete.map { pass in
            let seconds = (pass.seconds * 1_000).rounded() / 1_000
            return JSON.object(
                [("ended_at", time(pass.date)), ("seconds", .number(seconds))]
                    + ProgressLine.members(pass.progress))
        }
        return JSON.object([
            ("state", .string(state.rawValue)), ("pid", .integer(Int(getpid()))),
            ("started_at", time(begin)), ("updated_at", time(Date())),
            ("complete_passes", .integer(completePasses)),
            ("failed_passes", .integer(failedPasses)),
            ("failures_in_a_row", .integer(failuresInARow)),
            ("error", lastError.map(JSON.string) ?? .null), ("next_pass_at", time(nextPass)),
            ("progress", .object(ProgressLine.members(progress))),
            ("last_complete_pass", lastPass ?? .null),
        ]).text
    }

    /// In Prometheus's text format, version 0.0.4.
    private var metrics: String {
        func seconds(_ date: Date) -> Int { Int(date.timeIntervalSince1970) }
        // Counters include the pass that is being made, so that they rise while it lasts.
        let all = state == .running ? Self.sum(totals, progress) : totals
        let sinceStart = """
            # HELP clip_search_ingest_start_time_seconds When the process started.
            # TYPE clip_search_ingest_start_time_seconds gauge
            clip_search_ingest_start_time_seconds \(seconds(begin))
            # HELP clip_search_ingest_passes_total Passes over the bucket since the start, by outcome.
            # TYPE clip_search_ingest_passes_total counter
            clip_search_ingest_passes_total{outcome="complete"} \(completePasses)
            clip_search_ingest_passes_total{outcome="failed"} \(failedPasses)
            # HELP clip_search_ingest_failures_in_a_row Passes that failed since the last complete one.
            # TYPE clip_search_ingest_failures_in_a_row gauge
            clip_search_ingest_failures_in_a_row \(failuresInARow)
            # HELP clip_search_ingest_pictures_total Pictures since the start, by outcome; failed without those that were known before.
            # TYPE clip_search_ingest_pictures_total counter
            clip_search_ingest_pictures_total{outcome="stored"} \(all.stored)
            clip_search_ingest_pictures_total{outcome="refreshed"} \(all.refreshed)
            clip_search_ingest_pictures_total{outcome="failed"} \(all.failed)
            clip_search_ingest_pictures_total{outcome="removed"} \(all.pruned ?? 0)

            """
        guard let last = lastComplete else { return sinceStart }
        return sinceStart + """
            # HELP clip_search_ingest_last_complete_pass_timestamp_seconds When the last complete pass ended.
            # TYPE clip_search_ingest_last_complete_pass_timestamp_seconds gauge
            clip_search_ingest_last_complete_pass_timestamp_seconds \(seconds(last.date))
            # HELP clip_search_ingest_last_complete_pass_seconds How long it took.
            # TYPE clip_search_ingest_last_complete_pass_seconds gauge
            clip_search_ingest_last_complete_pass_seconds \(last.seconds)
            # HELP clip_search_ingest_objects Objects of the bucket in the last complete pass, by what became of them.
            # TYPE clip_search_ingest_objects gauge
            clip_search_ingest_objects{outcome="listed"} \(last.progress.listed)
            clip_search_ingest_objects{outcome="unchanged"} \(last.progress.unchanged)
            clip_search_ingest_objects{outcome="skipped"} \(last.progress.skipped)
            clip_search_ingest_objects{outcome="failed"} \(last.progress.failed)

            """
    }
}
