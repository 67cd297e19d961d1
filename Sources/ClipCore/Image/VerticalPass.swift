/// The order in which a resampling along the columns takes source lines and completes output lines.
///
/// Each source line counts for several output lines, whose sums are kept side by side: at most
/// ``capacity`` at a time, output line n in place `n % capacity`.
final class VerticalPass {
    let weights: BicubicWeights
    let capacity: Int
    private var source: Int
    /// First output line that is not complete.
    private var output = 0

    init(_ weights: BicubicWeights) {
        self.weights = weights
        source = weights.span.lowerBound
        let sources = weights.sources
        var capacity = 1
        var end = 0
        for (first, range) in sources.enumerated() {
            while end < sources.count, sources[end].lowerBound < range.upperBound { end += 1 }
            capacity = max(capacity, end - first)
        }
        self.capacity = capacity
    }

    /// Calls `body` for each output line that the next source line counts for, in order, with the place of its
    /// weight in the tables.
    func addLine(_ body: (_ output: Int, _ weight: Int, _ isFirst: Bool, _ isLast: Bool) -> Void) {
        let sources = weights.sources
        var line = output
        while line < sources.count, sources[line].lowerBound <= source {
            let range = sources[line]
            if source < range.upperBound {
                let isLast = source == range.upperBound - 1
                body(
                    line, line * weights.stride + source - range.lowerBound,
                    source == range.lowerBound, isLast)
                if isLast { output = line + 1 }
            }
            line += 1
        }
        source += 1
    }
}
