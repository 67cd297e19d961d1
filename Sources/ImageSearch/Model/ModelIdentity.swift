import Bytes
import ClipCore

/// Which model made an embedding: embeddings of two models must never be compared.
public struct ModelIdentity: Sendable, Equatable {
    /// The name of the file or directory, for people.
    public let name: String
    /// SHA-256, in hexadecimal, of samples of all weights; see ``init(_:precision:)``.
    public let digest: String
    /// Length of an embedding.
    public let dimension: Int
    /// The image tower's precision: `fp32`, `int8` or `int7`, the same for all images of a table. Texts are always
    /// embedded in `fp32`, so searches compare the digest only.
    public let precision: String

    /// The most elements of a tensor that count.
    private static let sampleLimit = 256

    /// The digest that earlier releases recorded, which did not cover the architecture; nil when it is the same.
    package let weightsDigest: String?

    /// Identifies a model by the names and shapes of its tensors and the first elements of each (of a
    /// matrix also those of its last row), by OpenAI's names and as fp32, so that a model is the same in
    /// every container, layout and type that holds the same numbers; and by everything else that changes
    /// an embedding (activation, head width, preprocessing) where it is not as in OpenAI's models.
    ///
    /// Any further training changes all weights, and so the digest. It is not a checksum of the file: it
    /// reads 0.3 MB of 354, which takes about a millisecond.
    /// - Throws: `CheckpointError` when texts could not be embedded.
    public init(_ checkpoint: Checkpoint, precision: Precision) throws {
        // A table of images that no text can search would be of no use.
        _ = try checkpoint.tokenizer()
        let hash = SHA256()
        func add(_ number: Int) {
            withUnsafeBytes(of: UInt64(number).littleEndian) { hash.update($0) }
        }
        checkpoint.forEachSample(limit: Self.sampleLimit) { name, shape, elements in
            add(name.utf8.count)
            hash.update(name.utf8)
            add(shape.count)
            shape.forEach(add)
            // Little-endian on every machine that this runs on.
            elements.withUnsafeBytes { hash.update($0) }
        }
        let weights = Hexadecimal.encode(hash.digest())
        if let deviations = checkpoint.deviations {
            hash.update(deviations.utf8)
            digest = Hexadecimal.encode(hash.digest())
            weightsDigest = weights
        } else {
            digest = weights
            weightsDigest = nil
        }
        name = Self.name(checkpoint.path)
        dimension = checkpoint.configuration.embeddingDimension
        self.precision = precision.rawValue
    }

    /// The last part of a path; of a snapshot in the hub's cache, `owner/name`.
    static func name(_ path: String) -> String {
        let parts = path.split(separator: "/")
        if parts.count >= 3, parts[parts.count - 2] == "snapshots" {
            let names = parts[parts.count - 3].split(
                separator: "--", omittingEmptySubsequences: false)
            if names.count == 3, names[0] == "models" { return "\(names[1])/\(names[2])" }
        }
        return String(parts.last ?? "model")
    }

    package init(name: String, digest: String, dimension: Int, precision: String) {
        self.name = name
        self.digest = digest
        weightsDigest = nil
        self.dimension = dimension
        self.precision = precision
    }

    /// The model's number in `pictures.model`: 31 bits of a SHA-256 of digest and precision.
    var number: Int32 {
        let hash = SHA256.digest(of: "\(digest) \(precision)".utf8)
        let bits = hash.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return Int32(bits & 0x7FFF_FFFF)
    }

    /// For messages: `ViT-B-32.pt (0123456789ab, fp32)`.
    var label: String { "\(name) (\(digest.prefix(12)), \(precision))" }
}

extension ModelIdentity {
    /// Whether an earlier release stored embeddings of this model's weights under another architecture:
    /// it took every model for OpenAI's, so they are wrong.
    func wasMisread(as stored: ModelIdentity) -> Bool { weightsDigest == stored.digest }
}
