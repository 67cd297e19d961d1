/// The mathematics of combined queries; ``SearchQuery`` has the formula.
enum QueryVector {
    /// A sum this small beside its parts is rounding, not a direction.
    private static let smallestSum = 1e-4

    /// The weighted sum of the vectors' directions, as a unit vector.
    ///
    /// - Parameter parts: vectors of one dimension and of any length but zero.
    /// - Throws: ``SearchError/termsCancelOut``.
    static func combine(_ parts: [(weight: Double, vector: [Float])]) throws(SearchError) -> [Float]
    {
        // One text is the common case, and its vector is a unit vector to the last bit.
        if parts.count == 1, parts[0].weight == 1 { return parts[0].vector }
        var sum = [Double](repeating: 0, count: parts.first?.vector.count ?? 0)
        // Weights of any size: only their proportions count.
        let largest = parts.map { abs($0.weight) }.max() ?? 1
        for (weight, vector) in parts {
            precondition(vector.count == sum.count, "vectors of one model have one dimension")
            let scale = weight / largest / norm(of: vector.lazy.map(Double.init))
            for index in sum.indices { sum[index] += scale * Double(vector[index]) }
        }
        let length = norm(of: sum)
        guard length.isFinite, length > smallestSum else { throw .termsCancelOut }
        return sum.map { Float($0 / length) }
    }

    static func norm(of vector: some Sequence<Double>) -> Double {
        vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
}
