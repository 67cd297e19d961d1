import FoundationEssentials
import Glibc
import S3Client

/// Finds the model: a path, a model of the Hugging Face hub by name, or OpenAI's ViT-B/32.
public struct ModelFile: Sendable {
    /// A published file: where it is and what it must be.
    public struct Source: Sendable {
        public let url: String
        /// SHA-256 of the file, in hexadecimal.
        public let digest: String
        public let name: String
        /// Bytes.
        public let size: Int64

        public init(url: String, digest: String, name: String, size: Int64) {
            self.url = url
            self.digest = digest
            self.name = name
            self.size = size
        }

        /// The address and checksum that upstream's `clip/clip.py` has for ViT-B/32.
        public static let viTB32 = Source(
            url:
                "https://openaipublic.azureedge.net/clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            digest: "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            name: "ViT-B-32.pt", size: 353_976_522)
    }

    private let settings: Settings
    private let directory: String
    private let cache: String
    private let source: Source

    /// - Parameters:
    ///   - settings: `CLIP_MODEL` names the model; nothing else is looked for then.
    ///   - directory: the working directory, whose `models` folder comes next.
    ///   - cache: where upstream keeps its models, and where the download goes: `~/.cache/clip`.
    public init(
        _ settings: Settings, directory: String = ".", cache: String? = nil,
        source: Source = .viTB32
    ) {
        self.settings = settings
        self.directory = directory
        self.source = source
        self.cache = cache ?? "\(settings.home)/.cache/clip"
    }

    /// The path of the model's file or directory. `CLIP_MODEL` names a path, or `owner/name[@revision]`,
    /// which comes from the hub's cache or the hub. Without it: `models/ViT-B-32.pt`, else
    /// `~/.cache/clip/ViT-B-32.pt`, else that is downloaded.
    ///
    /// Blocks its thread for as long as the download takes.
    /// - Parameters:
    ///   - waiting: called once when another process is already downloading the file.
    ///   - progress: called with bytes received and bytes in all, while downloading.
    /// - Throws: ``ModelFileError``, or ``SettingsError`` for a file of certificate authorities that cannot be read.
    public func locate(
        waiting: () -> Void = {}, progress: (_ received: Int64, _ total: Int64?) -> Void
    ) throws -> String {
        if let model = settings["CLIP_MODEL"] {
            if FileManager.default.fileExists(atPath: model) { return model }
            guard let hub = try ModelHub(model, settings) else {
                throw ModelFileError("there is no model file at \(model), which CLIP_MODEL names")
            }
            return try hub.locate(waiting: waiting, progress: progress)
        }
        let cached = "\(cache)/\(source.name)"
        for path in ["\(directory)/models/\(source.name)", cached]
        where FileManager.default.fileExists(atPath: path) {
            try check(path)
            return path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        }
        do {
            try ModelDownload(
                url: source.url, transport: try settings.transport(), path: cached,
                part: cached + ".part", lock: cached + ".part.lock",
                digest: source.digest, size: source.size
            ).run(waiting: waiting, progress: progress)
        } catch let failure as S3Error {
            throw ModelFileError(
                download: source.url, failure.description,
                "try again to resume, or put the file at models/\(source.name)")
        }
        return cached
    }

    /// Refuses a file of upstream's size with other content: it is damaged. A file of another size is
    /// another model. The answer is kept by the file's size and time in `cache/checked`.
    private func check(_ path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0, Int64(status.st_size) == source.size else { return }
        let time = status.st_mtim
        let stamp =
            "\(source.digest) \(status.st_size) \(time.tv_sec).\(time.tv_nsec) \(status.st_dev) \(status.st_ino)"
        let list = "\(cache)/checked"
        let known = FileManager.default.contents(atPath: list).map {
            String(decoding: $0, as: UTF8.self)
        }
        var lines = known?.split(separator: "\n").map(String.init) ?? []
        if lines.contains(stamp) { return }
        guard try ModelDownload.digest(of: path) == source.digest else {
            throw ModelFileError(
                "the model file \(path) is damaged: it has the size of OpenAI's ViT-B-32.pt, but not its SHA-256; delete it, and it is downloaded again"
            )
        }
        lines = lines.suffix(20) + [stamp]
        // Without a place to write, the file is read again next time.
        try? FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: true)
        try? Data((lines.joined(separator: "\n") + "\n").utf8).write(
            to: URL(filePath: list), options: .atomic)
    }
}

extension Settings {
    var home: String { self["HOME"] ?? FileManager.default.homeDirectoryForCurrentUser.path }
}

/// Why there is no model to use, in one sentence.
public struct ModelFileError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }

    init(cannotWrite path: String, _ reason: String = String(cString: strerror(errno))) {
        description = "the model file cannot be written to \(path): \(reason)"
    }

    /// Of a file, for the reason that the system gives.
    init(cannotRead path: String) {
        description = "the model file \(path) cannot be read: \(String(cString: strerror(errno)))"
    }

    init(download url: String, _ reason: String, _ remedy: String) {
        let reason = reason.hasSuffix(".") ? String(reason.dropLast()) : reason
        description = "the model cannot be downloaded from \(url): \(reason); \(remedy)"
    }
}
