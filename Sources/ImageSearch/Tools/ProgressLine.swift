/// The progress of an ingest as one line: count, rate and time left.
public struct ProgressLine {
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var shown: ContinuousClock.Instant
    private let isTerminal: Bool

    public init(isTerminal: Bool = Console.isTerminal) {
        start = clock.now
        shown = start
        self.isTerminal = isTerminal
    }

    /// Seconds since the beginning.
    public var seconds: Double { (clock.now - start) / .seconds(1) }

    /// Shows where the ingest is: on a terminal all the time, elsewhere every five seconds.
    public mutating func show(_ progress: IngestProgress) {
        if isTerminal {
            Console.rewriteLine(Self.text(progress, seconds: seconds))
        } else if clock.now - shown >= .seconds(5) {
            shown = clock.now
            Console.note(Self.text(progress, seconds: seconds))
        }
    }

    /// Takes the line away, for a message or for the end.
    public func clear() {
        if isTerminal { Console.rewriteLine("") }
    }

    static func text(_ progress: IngestProgress, seconds: Double) -> String {
        let total = progress.isListingComplete ? "\(progress.listed)" : "\(progress.listed)+"
        var parts = ["\(progress.done)/\(total)"]
        let rate = seconds > 0 ? Double(progress.stored) / seconds : 0
        parts.append("\(oneDecimal(rate)) pictures/s")
        if progress.isListingComplete, progress.done > 0 {
            let left = seconds / Double(progress.done) * Double(progress.listed - progress.done)
            parts.append("\(duration(left)) left")
        }
        if progress.failed > 0 { parts.append("\(progress.failed) failed") }
        return parts.joined(separator: ", ")
    }

    /// What is said at the end.
    public static func summary(_ progress: IngestProgress, seconds: Double) -> String {
        let rate = seconds > 0 ? Double(progress.stored) / seconds : 0
        return
            "stored \(progress.stored), skipped \(progress.skipped), failed \(progress.failed) in \(oneDecimal(seconds)) s (\(oneDecimal(rate)) pictures/s)"
    }

    private static func oneDecimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    private static func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3_600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3_600) h \(whole % 3_600 / 60) min"
    }
}
