/// What the vision tower's large matrices are multiplied in.
///
/// The embeddings of all lie in the same space and can be compared, but they are not equal: a table
/// should hold pictures of one precision. MODEL.md has the mathematics, SPEED.md the figures.
public enum Precision: String, Sendable, CaseIterable {
    /// 32-bit floating point, as upstream on a CPU.
    case fp32
    /// 8-bit integers, with a scale for each output of a matrix and each row of activations: embeddings at
    /// a cosine of some 0.9999 to those of fp32, about three times as fast with AVX-512 VNNI.
    case int8
    /// The same with 7 bits, at a cosine of some 0.9997: for processors without VNNI, which multiply them half
    /// as fast again.
    case int7
}
