import ClipCore
import Crypto

/// Which model made an embedding: embeddings of two models must never be compared.
public struct ModelIdentity: Sendable, Equatable {
    /// The file's name, for people.
    public let name: String
    /// SHA-256, in hexadecimal, of samples of all weights; see ``init(_:precision:)``.
    public let digest: String
    /// Length of the embeddings.
    public let dimension: Int
    /// What the image tower computes in: `fp32` or `int8`. Texts are always embedded in `fp32`, so searching
    /// asks for the same digest only; pictures of one table are all embedded alike.
    public let precision: String

    /// Elements of each tensor that are looked at, at most.
    private static let sampleLimit = 256

    /// Tells a model by the names and shapes of its tensors and the first elements of each, of a
    /// matrix also those of its last row; as fp32, so that it is the same model in every container
    /// and in every type that holds the same numbers.
    ///
    /// Any further training moves all weights, and so changes the digest. It is no checksum of the
    /// file: it reads 0.3 MB of it instead of 354, which takes about a millisecond.
    public init(_ checkpoint: Checkpoint, precision: Precision) {
        var hash = SHA256()
        func add(_ number: Int) {
            withUnsafeBytes(of: UInt64(number).littleEndian) { hash.update(bufferPointer: $0) }
        }
        checkpoint.forEachSample(limit: Self.sampleLimit) { name, shape, elements in
            add(name.utf8.count)
            hash.update(data: Array(name.utf8))
            add(shape.count)
            shape.forEach(add)
            // Little-endian on every machine that this runs on.
            elements.withUnsafeBytes { hash.update(bufferPointer: $0) }
        }
        let hexadecimal = Array("0123456789abcdef")
        digest = hash.finalize().reduce(into: "") { text, byte in
            text.append(hexadecimal[Int(byte >> 4)])
            text.append(hexadecimal[Int(byte & 15)])
        }
        name = String(checkpoint.path.split(separator: "/").last ?? "model")
        dimension = checkpoint.configuration.embeddingDimension
        self.precision = precision.rawValue
    }

    init(name: String, digest: String, dimension: Int, precision: String) {
        self.name = name
        self.digest = digest
        self.dimension = dimension
        self.precision = precision
    }

    /// For messages: `ViT-B-32.pt (0123456789ab, fp32)`.
    var label: String { "\(name) (\(digest.prefix(12)), \(precision))" }
}
