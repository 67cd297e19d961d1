/// The weights with which samples along one axis of an image make the samples of a shorter or
/// longer axis: bicubic convolution (Keys, a = -0.5), widened by the scale when it shrinks, so that
/// every source sample counts. The arithmetic is Pillow's (`precompute_coeffs` and
/// `normalize_coeffs_8bpc` in `Resample.c`), operation by operation, since a weight that differs in
/// its last bit shows in the pixels.
package struct BicubicWeights: Sendable {
    /// Fraction bits of a weight: 32 less 8 for the sample, less 2 for weights that sum to more than
    /// 1 or less than 0.
    package static let fractionBits: Int32 = 32 - 8 - 2

    /// For each output sample, the source samples that it is made of; never empty.
    package let sources: [Range<Int>]
    /// `[sources.count, stride]`: the weights of each output sample's sources, the rest unused. They
    /// sum to 1.
    package let exact: [Double]
    /// The same in fixed point, for samples of 8 bits.
    package let weights: [Int32]
    package let stride: Int

    /// - Parameters:
    ///   - inputSize: samples of the source axis, at least 1
    ///   - length: of the source axis, in samples, when the last one stands for less than the others
    ///   - outputSize: samples of the whole resampled axis, at least 1
    ///   - window: the output samples wanted, within `0..<outputSize`
    ///   - interpolation: the filter's shape
    package init(
        inputSize: Int, length: Double? = nil, outputSize: Int, window: Range<Int>,
        interpolation: ImagePreprocessing.Interpolation = .bicubic
    ) {
        let scale = (length ?? Double(inputSize)) / Double(outputSize)
        let filterScale = max(scale, 1)
        let support = (interpolation == .bicubic ? 2 : 1) * filterScale
        let stride = Int(support.rounded(.up)) * 2 + 1
        let inverseFilterScale = 1 / filterScale

        var sources: [Range<Int>] = []
        sources.reserveCapacity(window.count)
        var weights = [Int32](repeating: 0, count: window.count * stride)
        var exact = [Double](repeating: 0, count: window.count * stride)
        for (row, output) in window.enumerated() {
            let center = (Double(output) + 0.5) * scale
            let first = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), inputSize)
            var sum = 0.0
            for source in first..<end {
                let x = (Double(source) - center + 0.5) * inverseFilterScale
                // Bilinear is a triangle of half the width.
                let weight =
                    interpolation == .bicubic ? Self.bicubic(x) : max(0, 1 - abs(x))
                exact[row * stride + source - first] = weight
                sum += weight
            }
            for i in row * stride..<row * stride + end - first {
                if sum != 0 { exact[i] /= sum }
                weights[i] = Self.fixedPoint(exact[i])
            }
            sources.append(first..<end)
        }
        self.sources = sources
        self.exact = exact
        self.weights = weights
        self.stride = stride
    }

    /// From the first to the last source sample that any output sample of the window needs.
    package var span: Range<Int> {
        // Both ends only grow from one output sample to the next.
        guard let first = sources.first, let last = sources.last else { return 0..<0 }
        return first.lowerBound..<last.upperBound
    }

    /// Keys's cubic convolution kernel with a = -0.5, in the factored form that Pillow evaluates.
    package static func bicubic(_ x: Double) -> Double {
        let a = -0.5
        let x = abs(x)
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }

    /// Rounded half away from zero.
    private static func fixedPoint(_ weight: Double) -> Int32 {
        let scaled = weight * Double(1 << fractionBits)
        return Int32(weight < 0 ? scaled - 0.5 : scaled + 0.5)
    }
}
