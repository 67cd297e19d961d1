import Glibc
import ImageSearch

/// The progress of an ingest for people: a line with a bar on a terminal, plain lines elsewhere.
///
///     ██████████▌           512/1000  98.4 pictures/s  5 s left  2 failed
public struct ProgressLine {
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var shown: ContinuousClock.Instant
    /// Counts over the last ten seconds: the rate must not include unchanged pictures, which pass
    /// quickly at the start.
    private var samples: [(time: Double, done: Int, encoded: Int)] = []
    private let isTerminal = Console.isTerminal
    private let isQuiet: Bool

    public init(isQuiet: Bool) {
        start = clock.now
        shown = start
        self.isQuiet = isQuiet
    }

    /// Seconds since the beginning.
    public var seconds: Double { (clock.now - start) / .seconds(1) }

    /// Shows the progress: on a terminal at every call, elsewhere every five seconds.
    public mutating func show(_ progress: IngestProgress) {
        guard !isQuiet else { return }
        sample(progress)
        if isTerminal {
            let width = Self.terminalWidth
            let bar = Self.bar(progress, rates: rates, width: width)
            Console.rewriteLine(String(bar.prefix(width - 1)))
        } else if clock.now - shown >= .seconds(5) {
            shown = clock.now
            Console.note(Self.text(progress, rates: rates))
        }
    }

    /// Clears the line.
    public func clear() {
        if !isQuiet { Console.rewriteLine("") }
    }

    /// Prints a message above the line.
    public func note(_ text: String) {
        clear()
        Console.note(text)
    }

    /// Objects and pictures a second.
    struct Rates {
        var done = 0.0
        var encoded = 0.0
    }

    private var rates: Rates {
        guard let first = samples.first, let last = samples.last, last.time - first.time > 0.1
        else { return Rates() }
        let time = last.time - first.time
        return Rates(
            done: Double(last.done - first.done) / time,
            encoded: Double(last.encoded - first.encoded) / time)
    }

    private mutating func sample(_ progress: IngestProgress) {
        samples.append((seconds, progress.done, progress.encoded))
        while samples.count > 2, samples[samples.count - 1].time - samples[1].time > 10 {
            samples.removeFirst()
        }
    }

    static func text(_ progress: IngestProgress, rates: Rates = Rates()) -> String {
        let total = progress.isListingComplete ? "\(progress.listed)" : "\(progress.listed)+"
        var text = "\(progress.done)/\(total), \(fixed(rates.encoded, decimals: 1)) pictures/s"
        let left = progress.listed - progress.done
        if progress.isListingComplete, rates.done > 0, left > 0 {
            text += ", \(duration(Double(left) / rates.done)) left"
        }
        return progress.failed > 0 ? "\(text), \(progress.failed) failed" : text
    }

    /// The text after a bar; without the bar while the total is unknown or on a narrow terminal.
    static func bar(_ progress: IngestProgress, rates: Rates, width: Int) -> String {
        let text = text(progress, rates: rates)
        let room = min(30, width - text.count - 3)
        guard progress.isListingComplete, progress.listed > 0, room >= 10 else { return text }
        let eighths = room * 8 * min(progress.done, progress.listed) / progress.listed
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        let full = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
        return full + String(repeating: " ", count: room - full.count) + "  " + text
    }

    private static var terminalWidth: Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    // MARK: Summaries

    public static func summary(_ progress: IngestProgress, seconds: Double) -> String {
        let rate = seconds > 0 ? Double(progress.stored) / seconds : 0
        let counts = [
            part("unchanged", progress.unchanged), part("refreshed", progress.refreshed),
            part("done by others", progress.elsewhere),
        ].joined()
        return "stored \(progress.stored)\(counts)\(rest(progress))"
            + (progress.pruned.map { ", removed \($0)" } ?? "")
            + " in \(fixed(seconds, decimals: 1)) s (\(fixed(rate, decimals: 1)) pictures/s)"
    }

    public static func drySummary(_ progress: IngestProgress) -> String {
        "would fetch \(progress.changed), unchanged \(progress.unchanged)\(rest(progress))"
            + (progress.pruned.map { ", would remove \($0)" } ?? "")
    }

    /// What was not processed. Failures are counted by the format of the file: `failed 3 (PSD 2)`.
    private static func rest(_ progress: IngestProgress) -> String {
        let formats = progress.failedFormats.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return part("excluded", progress.excluded)
            + ", skipped \(progress.skipped), failed \(progress.failed)"
            + (formats.isEmpty ? "" : " (\(formats))")
    }

    private static func part(_ name: String, _ count: Int) -> String {
        count > 0 ? ", \(name) \(count)" : ""
    }

    /// The summary as one JSON object on one line.
    public static func json(
        _ progress: IngestProgress, seconds: Double, isComplete: Bool, isDryRun: Bool = false
    ) -> String {
        let rest: [(String, JSON)] = [
            ("replaced_model", .bool(progress.hasReplacedModel)), ("dry_run", .bool(isDryRun)),
            ("complete", .bool(isComplete)),
            ("seconds", .number((seconds * 1_000).rounded() / 1_000)),
        ]
        return JSON.object(members(progress, isDryRun: isDryRun) + rest).text
    }

    static func members(_ progress: IngestProgress, isDryRun: Bool = false) -> [(String, JSON)] {
        let formats = progress.failedFormats.sorted { $0.key < $1.key }
        return JSON.members([
            "listed": .integer(progress.listed), "stored": .integer(progress.stored),
            "encoded": .integer(progress.encoded), "refreshed": .integer(progress.refreshed),
            "unchanged": .integer(progress.unchanged), "elsewhere": .integer(progress.elsewhere),
            "skipped": .integer(progress.skipped), "excluded": .integer(progress.excluded),
            "failed": .integer(progress.failed), "known_failures": .integer(progress.knownFailures),
            "failed_formats": .object(formats.map { ($0, .integer($1)) }),
            "changed": isDryRun ? .integer(progress.changed) : nil,
            "pruned": progress.pruned.map(JSON.integer),
        ])
    }

    private static func duration(_ seconds: Double) -> String {
        let whole = Int(min(seconds, 1e9).rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3_600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3_600) h \(whole % 3_600 / 60) min"
    }
}

/// The progress of an index build: on a terminal one line that changes, elsewhere a line every five
/// seconds.
public final class IndexProgressLine: Sendable {
    private let shown = Monitor(ContinuousClock.now)

    public init() {}

    public func show(_ progress: IndexProgress) {
        var text = "index"
        if progress.parts > 1 { text += " \(progress.part) of \(progress.parts)" }
        text += ": \(Console.printable(progress.phase))"
        if let fraction = progress.fraction { text += ", \(Int(fraction * 100)) %" }
        if Console.isTerminal { return Console.rewriteLine(text) }
        let isDue = shown.update { shown in
            guard .now - shown >= .seconds(5) else { return false }
            shown = .now
            return true
        }
        if isDue { Console.note(text) }
    }
}
