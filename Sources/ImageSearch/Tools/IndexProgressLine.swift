/// The progress of an index's build as one line: on a terminal all the time, elsewhere every five
/// seconds.
public final class IndexProgressLine: Sendable {
    private let isTerminal = Console.isTerminal
    private let shown = Monitor(ContinuousClock.now)

    public init() {}

    public func show(_ progress: IndexProgress) {
        let text = Self.text(progress)
        if isTerminal {
            Console.rewriteLine(text)
            return
        }
        let isDue = shown.update { shown in
            guard .now - shown >= .seconds(5) else { return false }
            shown = .now
            return true
        }
        if isDue { Console.note(text) }
    }

    /// Takes the line away.
    public func clear() {
        if isTerminal { Console.rewriteLine("") }
    }

    package static func text(_ progress: IndexProgress) -> String {
        var text = "index"
        if progress.parts > 1 { text += " \(progress.part) of \(progress.parts)" }
        text += ": \(Console.printable(progress.phase))"
        if let fraction = progress.fraction { text += ", \(Int(fraction * 100)) %" }
        return text
    }
}
