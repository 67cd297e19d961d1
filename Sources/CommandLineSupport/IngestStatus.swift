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
        service.status("\(ProgressLine.text(new, rates: .init()))")
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
        totals.pruned = (totals.pruned ?? 0) + (new.pruned ?? 0)
        service.madeProgress()
    }

    /// The earlier passes' counters with those of one more, but for the pruned.
    private static func sum(_ totals: IngestProgress, _ new: IngestProgress) -> IngestProgress {
        var all = totals
        all.stored += new.stored
        all.refreshed += new.refreshed
        all.failed += new.failed - new.knownFailures
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
        func error(_ number: Int32 = errno) -> FileError {
            FileError(file: "the file \(path)", number: number)
        }
        let file = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw error() }
        let bytes = Array(text.utf8)
        let count = write(file, bytes, bytes.count)
        let failure = count == bytes.count ? nil : error(count < 0 ? errno : ENOSPC)
        close(file)
        if let failure {
            unlink(new)
            throw failure
        }
        guard rename(new, path) == 0 else {
            let failure = error()
            unlink(new)
            throw failure
        }
    }

    private var json: String {
        func time(_ date: Date?) -> JSON { date.map { .string($0.ISO8601Format()) } ?? .null }
        func pass(_ date: Date, _ seconds: Double, _ progress: IngestProgress) -> JSON {
            .object(
                [
                    ("ended_at", time(date)),
                    ("seconds", .number((seconds * 1_000).rounded() / 1_000)),
                ] + ProgressLine.members(progress))
        }
        return JSON.object([
            ("state", .string(state.rawValue)), ("pid", .integer(Int(getpid()))),
            ("started_at", time(begin)), ("updated_at", time(Date())),
            ("complete_passes", .integer(completePasses)),
            ("failed_passes", .integer(failedPasses)),
            ("failures_in_a_row", .integer(failuresInARow)),
            ("error", lastError.map { .string($0) } ?? .null), ("next_pass_at", time(nextPass)),
            ("progress", .object(ProgressLine.members(progress))),
            (
                "last_complete_pass",
                lastComplete.map { pass($0.date, $0.seconds, $0.progress) } ?? .null
            ),
        ]).text
    }

    /// In Prometheus's text format, version 0.0.4.
    private var metrics: String {
        var lines: [String] = []
        func add(_ name: String, _ kind: String, _ help: String, _ values: [(String, String)]) {
            let name = "clip_search_ingest_" + name
            lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(kind)"]
            lines += values.map { "\(name)\($0.0.isEmpty ? "" : "{\($0.0)}") \($0.1)" }
        }
        func seconds(_ date: Date) -> String { "\(Int(date.timeIntervalSince1970))" }
        // Counters include the pass that is being made, so that they rise while it lasts.
        let all = state == .running ? Self.sum(totals, progress) : totals
        add("start_time_seconds", "gauge", "When the process started.", [("", seconds(begin))])
        add(
            "passes_total", "counter", "Passes over the bucket since the start, by outcome.",
            [
                ("outcome=\"complete\"", "\(completePasses)"),
                ("outcome=\"failed\"", "\(failedPasses)"),
            ])
        add(
            "failures_in_a_row", "gauge", "Passes that failed since the last complete one.",
            [("", "\(failuresInARow)")])
        add(
            "pictures_total", "counter",
            "Pictures since the start, by outcome; failed without those that were known before.",
            [
                ("outcome=\"stored\"", "\(all.stored)"),
                ("outcome=\"refreshed\"", "\(all.refreshed)"),
                ("outcome=\"failed\"", "\(all.failed)"),
                ("outcome=\"removed\"", "\(all.pruned ?? 0)"),
            ])
        guard let last = lastComplete else { return lines.joined(separator: "\n") + "\n" }
        add(
            "last_complete_pass_timestamp_seconds", "gauge", "When the last complete pass ended.",
            [("", seconds(last.date))])
        add("last_complete_pass_seconds", "gauge", "How long it took.", [("", "\(last.seconds)")])
        add(
            "objects", "gauge",
            "Objects of the bucket in the last complete pass, by what became of them.",
            [
                ("outcome=\"listed\"", "\(last.progress.listed)"),
                ("outcome=\"unchanged\"", "\(last.progress.unchanged)"),
                ("outcome=\"skipped\"", "\(last.progress.skipped)"),
                ("outcome=\"failed\"", "\(last.progress.failed)"),
            ])
        return lines.joined(separator: "\n") + "\n"
    }
}
