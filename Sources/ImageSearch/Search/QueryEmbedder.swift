import ClipCore
import S3Client

/// Turns texts and pictures into embeddings with one model. Each tower is loaded when it is first needed.
public final class QueryEmbedder: Sendable {
    /// A text's embedding, L2-normalised, `[embedding dimension]`, and whether the text was longer than the model's
    /// context and was cut.
    public typealias TextEmbedding = (vector: [Float], isTruncated: Bool)

    /// The model, by which a search checks that the table's embeddings are comparable. Texts are always in fp32.
    public let identity: ModelIdentity
    /// Tokens that a text can have, start and end included.
    public var contextLength: Int { checkpoint.configuration.contextLength }
    /// Statistics of the cache of text embeddings.
    public var textStatistics: CacheStatistics { cache.statistics }

    private let checkpoint: Checkpoint
    private let precision: Precision
    private let tokenizer: any Tokenizer
    private let textEncoder = Monitor(TextEncoder?.none)
    private let imageEncoder = Monitor(ImageEncoder?.none)
    /// Embeddings of recent texts, about 2.5 kB each, by tokens: `A  Cat` and `a cat` are the same.
    private let cache = ComputedCache<[Int32], [Float]>(capacity: 10_000)
    private let threads: ThreadPool<Void>

    /// - Parameters:
    ///   - path: the model's file or directory.
    ///   - activation: see `Checkpoint`.
    ///   - precision: that of the stored pictures' embeddings.
    /// - Throws: `CheckpointError`, one sentence that names the file and the fault.
    public convenience init(
        modelPath path: String, activation: Activation? = nil, precision: Precision = .fp32
    ) throws {
        try self.init(Checkpoint(path: path, activation: activation), precision: precision)
    }

    init(_ checkpoint: Checkpoint, precision: Precision = .fp32) throws {
        self.checkpoint = checkpoint
        tokenizer = try checkpoint.tokenizer()
        identity = try ModelIdentity(checkpoint, precision: .fp32)
        self.precision = precision
        threads = ThreadPool(
            threads: SystemThread.processorCount, waiting: 256, longestWait: .seconds(10))
    }

    /// Loads the text tower now instead of with the first text.
    /// - Parameter detached: for a process that runs for long: the model file may be overwritten later.
    public func loadTexts(detached: Bool = false) throws { _ = try texts(detached: detached) }

    private func texts(detached: Bool = false) throws -> TextEncoder {
        try textEncoder.value {
            // A process that runs for long has other texts for its processors.
            try TextEncoder(
                checkpoint, detached: detached,
                threads: detached ? 1 : SystemThread.processorCount)
        }
    }

    /// Computes a text's embedding on the calling thread, in some milliseconds.
    /// - Throws: `CheckpointError` or ``EmbeddingError``.
    public func embed(_ text: String) throws -> TextEmbedding {
        let tokens = tokenizer.encode(text, contextLength: contextLength)
        return (try embed(tokens.ids), tokens.isTruncated)
    }

    private func embed(_ tokens: [Int32]) throws -> [Float] {
        try EmbeddingError.check(texts().encode(tokens))
    }

    /// A text's embedding, from the cache or computed on a thread of this embedder's.
    /// - Throws: `SearchError.overloaded`, and as ``embed(_:)-(String)``.
    func cachedEmbedding(of text: String) async throws -> TextEmbedding {
        let tokens = tokenizer.encode(text, contextLength: contextLength)
        let vector = try await cache.value(for: tokens.ids) {
            try await self.threads.run { try self.embed(tokens.ids) }
        }
        return (vector, tokens.isTruncated)
    }

    /// Computes a picture's embedding on the calling thread, in some tens of milliseconds.
    ///
    /// - Parameters:
    ///   - file: a picture file of any format that is decoded.
    ///   - rule: of the collection that is searched.
    /// - Returns: the L2-normalised embedding, `[embedding dimension]`.
    /// - Throws: ``SearchError`` about the picture, `CheckpointError` about the model file, or ``EmbeddingError``.
    public func embed(
        _ file: [UInt8], rule: ImageDecoder.Rule = ImageDecoder.Rule()
    ) throws -> [Float] {
        guard file.count <= SearchQuery.maximumPictureBytes else {
            throw SearchError.pictureTooLarge(
                bytes: file.count, limit: SearchQuery.maximumPictureBytes)
        }
        let encoder = try imageEncoder.value {
            try ImageEncoder(checkpoint, precision: precision)
        }
        let pixels: [Float]
        do {
            pixels = try ImagePreprocessor(encoder.configuration).values(
                encoded: file, decoder: ImageDecoder(limits: .query, rule: rule))
        } catch {
            throw SearchError(error)
        }
        let session = ImageEncoder.Session(encoder, capacity: 1)
        return try EmbeddingError.check(pixels.withUnsafeBufferPointer { session.encode($0)[0] })
    }

    /// The terms with every text replaced by its embedding, and whether a text was cut.
    func embedTexts(
        of terms: [SearchQuery.Term]
    ) async throws -> (terms: [SearchQuery.Term], isTruncated: Bool) {
        var embedded = terms
        var isTruncated = false
        for (index, term) in terms.enumerated() {
            guard case .text(let text) = term.content else { continue }
            let embedding = try await cachedEmbedding(of: text)
            isTruncated = isTruncated || embedding.isTruncated
            embedded[index] = .init(.embedding(embedding.vector), weight: term.weight)
        }
        return (embedded, isTruncated)
    }

    /// A query's unit vector, `[embedding dimension]`, without a database: a key is unknown to it.
    /// - Throws: ``SearchError``, `CheckpointError` or ``EmbeddingError``.
    public func vector(of query: SearchQuery) async throws -> TextEmbedding {
        try query.check()
        let (terms, isTruncated) = try await embedTexts(of: query.terms)
        return (try QueryVector.of(terms) { _ in nil }, isTruncated)
    }
}

/// The arithmetic of combined queries; ``SearchQuery`` has the formula.
enum QueryVector {
    /// A sum this small compared with its parts is rounding error, not a direction.
    private static let smallestSum = 1e-4

    /// The query's unit vector, `[embedding dimension]`.
    ///
    /// - Parameters:
    ///   - terms: without texts, which are embeddings by now.
    ///   - stored: reads a picture's stored embedding; nil when there is none.
    /// - Throws: ``SearchError``, `TableError.differentDimension`, or what `stored` throws.
    static func of(
        _ terms: [SearchQuery.Term], stored: (String) throws -> [Float]?
    ) throws -> [Float] {
        var parts: [(weight: Double, vector: [Float])] = []
        for term in terms {
            let vector: [Float]
            switch term.content {
            case .text: preconditionFailure("texts are embedded before terms are combined")
            case .embedding(let embedding): vector = embedding
            case .key(let key):
                guard let found = try stored(key) else { throw SearchError.unknownKey(key) }
                // Another program may have stored a vector that is not normalised.
                let length = norm(of: found.lazy.map(Double.init))
                guard length > 0, length.isFinite else {
                    throw SearchError.invalid(
                        "the stored embedding of \(quoted(key)) is zero: embed the picture again with process-images"
                    )
                }
                vector = found.map { Float(Double($0) / length) }
            }
            if let first = parts.first, first.vector.count != vector.count {
                throw TableError.differentDimension(
                    table: max(first.vector.count, vector.count),
                    model: min(first.vector.count, vector.count))
            }
            parts.append((term.weight, vector))
        }
        return try combine(parts)
    }

    /// The weighted sum of the vectors' directions, as a unit vector.
    /// - Parameter parts: vectors of one dimension and of any length except zero.
    private static func combine(
        _ parts: [(weight: Double, vector: [Float])]
    ) throws(SearchError) -> [Float] {
        // One text is the common case, and its vector is a unit vector to the last bit.
        if parts.count == 1, parts[0].weight == 1 { return parts[0].vector }
        var sum = [Double](repeating: 0, count: parts.first?.vector.count ?? 0)
        // Only the weights' proportions count, so weights may have any size.
        let largest = parts.map { abs($0.weight) }.max() ?? 1
        for (weight, vector) in parts {
            let scale = weight / largest / norm(of: vector.lazy.map(Double.init))
            for index in sum.indices { sum[index] += scale * Double(vector[index]) }
        }
        let length = norm(of: sum)
        guard length.isFinite, length > smallestSum else { throw .termsCancelOut }
        return sum.map { Float($0 / length) }
    }

    private static func norm(of vector: some Sequence<Double>) -> Double {
        vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }

    /// The vector with length 1.
    static func direction(of vector: [Float]) -> [Float] {
        let length = dot(vector, vector).squareRoot()
        return vector.map { $0 / length }
    }

    /// - Precondition: the vectors have one dimension.
    static func dot(_ a: [Float], _ b: [Float]) -> Float {
        precondition(a.count == b.count, "vectors of one dimension")
        return a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in
                let step = MemoryLayout<SIMD16<Float>>.size
                let end = a.count / step * step
                var sums = SIMD16<Float>.zero
                for offset in stride(from: 0, to: end, by: step) {
                    sums +=
                        a.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self)
                        * b.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self)
                }
                return stride(from: end, to: a.count, by: 4).reduce(sums.sum()) {
                    $0 + a.load(fromByteOffset: $1, as: Float.self)
                        * b.load(fromByteOffset: $1, as: Float.self)
                }
            }
        }
    }
}

/// The model produced an embedding without a direction.
public struct EmbeddingError: Error, CustomStringConvertible {
    public let description = "the model gives an embedding that is zero or not finite"

    /// - Returns: the embedding, which is finite and not zero.
    static func check(_ embedding: [Float]) throws(EmbeddingError) -> [Float] {
        guard isDirection(embedding) else { throw EmbeddingError() }
        return embedding
    }

    /// Whether an embedding is finite and not zero.
    static func isDirection(_ embedding: [Float]) -> Bool {
        embedding.allSatisfy(\.isFinite) && embedding.contains { $0 != 0 }
    }
}

extension ImageLimits {
    /// For pictures in queries: at most 50 megapixels, more than cameras produce, and 600 MB of memory
    /// while one is decoded.
    public static var query: ImageLimits {
        var limits = ImageLimits()
        limits.maximumPixels = 50_000_000
        return limits
    }
}
