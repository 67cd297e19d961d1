/// What the vision tower's large matrices are multiplied in.
///
/// The embeddings of both lie in the same space and can be compared, but they are not equal: a table
/// should hold pictures of one precision.
public enum Precision: String, Sendable, CaseIterable {
    /// 32-bit floating point, as upstream on a CPU.
    case fp32
    /// 8-bit integers, with a scale for each output of a matrix and each row of activations; two
    /// to three times as fast, with embeddings at a cosine of some 0.9999 to those of fp32. MODEL.md
    /// has the mathematics and SPEED.md the figures.
    case int8
}
