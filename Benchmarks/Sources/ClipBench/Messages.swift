/// What the runner asks, one JSON object a line; Benchmarks/README.md describes the protocol.
struct Request: Decodable {
    enum Task: String, Decodable {
        case load, configure, embed, embedTexts, measure, measureText
    }

    let task: Task
    let load: Load?
    let configuration: Configuration?
    let source: Source?
    let count: Int?
    let texts: [String]?
    let text: String?
    let repeats: Int?

    private enum CodingKeys: String, CodingKey {
        case load, configuration, source, count, texts, text, repeats
        case task = "do"
    }
}

/// The common input of all peers.
struct Load: Decodable {
    /// The checkpoint in OpenAI's format.
    let model: String
    /// Processors that a peer may keep busy.
    let cores: Int
    /// Picture files.
    let photos: [String]
    /// The same pictures as upstream preprocesses them: fp32, `[photos, 3, resolution, resolution]`.
    let tensors: String
}

/// How a peer spreads its work.
struct Configuration: Codable {
    /// Batches computed side by side.
    var lanes: Int
    /// Pictures a batch.
    var batch: Int

    /// What the runner tries: a lane on each core, and several sizes of a batch.
    static func candidates(_ load: Load) -> [Configuration] {
        [1, 8, 16, 32].filter { $0 <= load.photos.count }.suffix(3).map {
            Configuration(lanes: load.cores, batch: $0)
        }
    }
}

/// Where the pictures of a measurement come from.
enum Source: String, Decodable {
    /// Ready tensors: the encoder alone.
    case tensors
    /// Files in memory: decoding, preprocessing and encoding.
    case files
    /// Files in memory: decoding and preprocessing, on one core.
    case preprocessing
}

/// An answer: everything that the task has a result for.
struct Reply: Encodable {
    var error: String?
    var name: String?
    var version: String?
    var measures: [String]?
    var configurations: [Configuration]?
    var vectors: [[Float]]?
    var seconds: [Double]?
    /// Floating-point operations a picture.
    var operations: Double?
}

/// Something the runner can ask for work.
protocol Peer {
    mutating func load(_ load: Load) throws -> Reply
    mutating func configure(_ configuration: Configuration) throws
    /// Embeddings of the first `count` pictures.
    func embed(_ source: Source, count: Int) throws -> [[Float]]
    func embed(texts: [String]) throws -> [[Float]]
    /// Seconds that `count` pictures took; beyond the last picture comes the first again.
    func measure(_ source: Source, count: Int) throws -> Double
    /// Seconds that each of `repeats` runs from text to embedding took.
    func measure(text: String, repeats: Int) throws -> [Double]
}

/// What a peer was asked for and cannot do.
struct Unsupported: Error, CustomStringConvertible {
    let description: String
}
