import FoundationEssentials

/// Where CLIP's weights come from.
public struct ModelFile: Sendable {
    /// A published file: where it is and what it must be.
    public struct Source: Sendable {
        public let url: String
        /// SHA-256 of the file, in hexadecimal.
        public let digest: String
        public let name: String

        public init(url: String, digest: String, name: String) {
            self.url = url
            self.digest = digest
            self.name = name
        }

        /// The address and checksum that upstream's `clip/clip.py` has for ViT-B/32.
        public static let viTB32 = Source(
            url:
                "https://openaipublic.azureedge.net/clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            digest: "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            name: "ViT-B-32.pt")
    }

    private let explicit: String?
    private let directory: String
    private let cache: String
    private let source: Source

    /// - Parameters:
    ///   - settings: `CLIP_MODEL` names the file to use; nothing else is looked for then.
    ///   - directory: the working directory, whose `models` folder comes next.
    ///   - cache: where upstream keeps its models, and where the download goes: `~/.cache/clip`.
    public init(
        _ settings: Settings, directory: String = ".", cache: String? = nil,
        source: Source = .viTB32
    ) {
        explicit = settings["CLIP_MODEL"]
        self.directory = directory
        self.source = source
        let home = settings["HOME"] ?? FileManager.default.homeDirectoryForCurrentUser.path
        self.cache = cache ?? "\(home)/.cache/clip"
    }

    /// The model's path: `CLIP_MODEL`, else `models/ViT-B-32.pt`, else `~/.cache/clip/ViT-B-32.pt`,
    /// else it is downloaded to the latter.
    ///
    /// Blocks its thread for as long as the download takes.
    /// - Parameters:
    ///   - waiting: called once when another process is already downloading the file.
    ///   - progress: called with bytes received and bytes in all, while downloading.
    /// - Throws: ``ModelFileError``, or the download's error.
    public func locate(
        waiting: () -> Void = {}, progress: (_ received: Int64, _ total: Int64?) -> Void
    ) throws -> String {
        if let explicit {
            guard FileManager.default.fileExists(atPath: explicit) else {
                throw ModelFileError.missing(path: explicit)
            }
            return explicit
        }
        let cached = "\(cache)/\(source.name)"
        for path in ["\(directory)/models/\(source.name)", cached]
        where FileManager.default.fileExists(atPath: path) {
            return path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        }
        try ModelDownload(source: source, path: cached).run(waiting: waiting, progress: progress)
        return cached
    }
}

/// Why there is no model file to use.
public enum ModelFileError: Error, Equatable, CustomStringConvertible {
    case missing(path: String)
    case cannotWrite(path: String, reason: String)
    case wrongDigest(url: String)
    case download(url: String, reason: String)

    public var description: String {
        switch self {
        case .missing(let path):
            "there is no model file at \(path), which CLIP_MODEL names"
        case .cannotWrite(let path, let reason):
            "the model file cannot be written to \(path): \(reason)"
        case .wrongDigest(let url):
            "the file at \(url) is not the model that OpenAI published: its SHA-256 differs; the download was deleted, try again"
        case .download(let url, let reason):
            "the model cannot be downloaded from \(url): \(reason.hasSuffix(".") ? String(reason.dropLast()) : reason); try again to resume, or put the file at models/ViT-B-32.pt"
        }
    }
}
