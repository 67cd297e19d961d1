import ClipCore
import FoundationEssentials
import S3Client

/// Searches from the command line: settings are checked and the database is connected before the
/// model is loaded, so that a mistake shows at once. Of the model only what a search needs is loaded:
/// the text tower for texts, the vision tower for pictures, nothing for stored ones.
public final class FindCommand {
    private let connection: SearchConnection?
    private let store: (any ObjectStore)?
    private let locateModel: () throws -> String
    private let precision: Precision
    private let activation: Activation?
    private var modelPath: String?
    private var loadedTexts: TextEmbedder?
    private var loadedPictures: PictureEmbedder?
    /// Embeddings of the files and addresses that were given, by what was given.
    private var pictures: [String: [Float]] = [:]

    /// Bytes of the largest picture that is shown small.
    private static let maximumThumbnailBytes = 64 << 20

    /// - Parameters:
    ///   - needsDatabase: false when nothing but the embedding is wanted; then no setting of database
    ///     and bucket is needed.
    ///   - locateModel: finds the model file, once it is needed.
    public init(
        _ settings: Settings, needsDatabase: Bool, locateModel: @escaping () throws -> String
    ) throws {
        self.locateModel = locateModel
        precision = try settings.precision()
        activation = try settings.activation()
        guard needsDatabase else {
            connection = nil
            store = nil
            return
        }
        let route = try settings.searchRoute()
        store = try settings.objectStore()
        let connection = SearchConnection(
            route, applicationName: "find-images", responseTimeout: .seconds(120))
        try connection.withTable { _ in }
        self.connection = connection
    }

    /// The terms of a search.
    ///
    /// - Parameter line: what `-` stands for.
    /// - Throws: `QueryPictureError` for a picture that cannot be read, ``SearchError`` for one that
    ///   cannot be embedded.
    public func terms(
        of arguments: TermArguments, line: String? = nil
    ) throws -> [SearchQuery.Term] {
        try arguments.terms.map { term in
            switch term.source {
            case .line: .init(.text(line ?? ""), weight: term.weight)
            case .text(let text): .init(.text(text), weight: term.weight)
            case .picture(let name):
                switch try QueryPicture.find(name) {
                case .key: .init(.key(name), weight: term.weight)
                case .bytes(let bytes): .init(.picture(bytes), weight: term.weight)
                }
            }
        }
    }

    /// A query's vector, and whether a text of it was cut.
    public func resolve(_ query: SearchQuery) throws -> (vector: [Float], isTruncated: Bool) {
        try query.check()
        let resolved = try resolver(for: query).resolve(query, from: nil)
        return (resolved.vector, resolved.isTruncated)
    }

    /// The nearest pictures.
    public func search(_ query: SearchQuery) throws -> SearchResult {
        guard let connection else { return SearchResult(hits: [], isTruncated: false) }
        try query.check()
        let resolver = try resolver(for: query)
        return try connection.withTable { try resolver.answer(query, from: $0) }
    }

    /// Why a search found nothing: one sentence.
    public func explainNothing(_ query: SearchQuery) throws -> String {
        guard let connection, try connection.withTable({ try $0.hasPictures() }) else {
            return "no pictures yet: run process-images"
        }
        if query.offset > 0 { return "there are no more pictures: lower --offset" }
        if let minimumScore = query.minimumScore {
            return "no picture reaches the score \(minimumScore): lower --min-score"
        }
        if let prefix = query.prefix {
            return "no picture's key begins with \(quoted(prefix)): check --prefix"
        }
        return "no picture's embedding makes an angle with the query: run process-images again"
    }

    /// A link to a picture that works for so many seconds; nil when the row's key is none that the
    /// store could have.
    public func url(of key: String, expiresIn seconds: Int) -> String? {
        try? store?.presignedURL(for: key, expiresIn: seconds)
    }

    /// A picture's bytes from the store; nil when it cannot be had.
    public func bytes(of key: String) -> [UInt8]? {
        try? store?.object(key, maximumBytes: Self.maximumThumbnailBytes)
    }

    /// Tokens that a text can have.
    public func contextLength() throws -> Int { try texts().contextLength }

    private func resolver(for query: SearchQuery) throws -> QueryResolver {
        QueryResolver(
            texts: { try self.texts() },
            pictures: { place in
                guard case .picture(let bytes) = query.terms[place].content else { return nil }
                return try self.embedding(of: bytes)
            },
            identity: {
                if let loaded = self.loadedTexts { return loaded.identity }
                return ModelIdentity(
                    try Checkpoint(path: self.model(), activation: self.activation),
                    precision: .fp32)
            })
    }

    /// Remembered, since every line of stdin comes with the same pictures.
    private func embedding(of bytes: [UInt8]) throws -> [Float] {
        let name = "\(bytes.count) \(bytes.hashValue)"
        if let known = pictures[name] { return known }
        let embedder =
            try loadedPictures
            ?? PictureEmbedder(
                modelPath: model(), activation: activation, precision: precision)
        loadedPictures = embedder
        let embedding = try embedder.embed(bytes)
        pictures[name] = embedding
        return embedding
    }

    private func texts() throws -> TextEmbedder {
        if let loadedTexts { return loadedTexts }
        let texts = try TextEmbedder(modelPath: model(), activation: activation)
        loadedTexts = texts
        return texts
    }

    private func model() throws -> String {
        if let modelPath { return modelPath }
        let path = try locateModel()
        modelPath = path
        return path
    }
}
