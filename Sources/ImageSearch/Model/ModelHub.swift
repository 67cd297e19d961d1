import Bytes
import FoundationEssentials
import Glibc
import S3Client

/// A model of the Hugging Face hub, in the cache that Hugging Face's own tools use, so that each finds
/// what the other downloaded: `CACHE/models--OWNER--NAME/` with `blobs/ETAG`, `snapshots/COMMIT/FILE`
/// (links to blobs) and `refs/REVISION` (a commit).
///
/// Source: huggingface_hub's "Understand caching" and `file_download.py`. A model that is complete in
/// the cache is used without asking the hub, so that it does not change by itself.
struct ModelHub {
    private let owner: String
    private let name: String
    private let revision: String
    private let endpoint: String
    private let token: String?
    private let isOffline: Bool
    private let transport: TransportOptions
    /// The folder of all models.
    private let cache: String

    private var repository: String { "\(owner)/\(name)" }
    private var folder: String { "\(cache)/models--\(owner)--\(name)" }

    /// - Parameter model: `owner/name` or `owner/name@revision`.
    /// - Returns: nil when `model` is not such a name, but a path.
    /// - Throws: ``ModelFileError`` for an endpoint that is not an address.
    init?(_ model: String, _ settings: Settings) throws {
        let suffixes = [
            "bin", "ckpt", "gguf", "jit", "json", "onnx", "pt", "pth", "safetensors", "zip",
        ]
        let pattern =
            #/
            ([A-Za-z0-9_][A-Za-z0-9_.\-]*) / ([A-Za-z0-9_][A-Za-z0-9_.\-]{0,95})
            (?: @ ([A-Za-z0-9_.\-][A-Za-z0-9_.\-/]*) )?
            /#
        guard let (_, owner, name, revision) = model.wholeMatch(of: pattern)?.output,
            !owner.contains("--"), !name.contains("--"), !model.contains(".."),
            !suffixes.contains(where: { name.lowercased().hasSuffix("." + $0) })
        else { return nil }
        (self.owner, self.name) = (String(owner), String(name))
        self.revision = revision.map(String.init) ?? "main"

        func expanded(_ path: String) -> String {
            path.hasPrefix("~/") ? settings.home + path.dropFirst(1) : path
        }
        let base = settings["XDG_CACHE_HOME"] ?? "\(settings.home)/.cache"
        let home = expanded(settings["HF_HOME"] ?? "\(base)/huggingface")
        cache = expanded(
            settings["HF_HUB_CACHE"] ?? settings["HUGGINGFACE_HUB_CACHE"] ?? "\(home)/hub")
        var endpoint = settings["HF_ENDPOINT"] ?? "https://huggingface.co"
        while endpoint.hasSuffix("/") { endpoint.removeLast() }
        guard endpoint.hasPrefix("https://") || endpoint.hasPrefix("http://"),
            (try? Endpoint(endpoint)) != nil
        else {
            throw ModelFileError(
                "HF_ENDPOINT must be https://HOST or http://HOST, the address of a Hugging Face hub"
            )
        }
        self.endpoint = endpoint
        transport = try settings.transport()
        let flag = (settings["HF_HUB_OFFLINE"] ?? settings["TRANSFORMERS_OFFLINE"])?.uppercased()
        isOffline = ["1", "ON", "YES", "TRUE"].contains(flag)
        // `hf auth login` leaves a token in a file.
        let file = expanded(settings["HF_TOKEN_PATH"] ?? "\(home)/token")
        let stored = settings["HF_TOKEN"] ?? Self.text(of: file)
        token = stored.flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func text(of path: String) -> String? {
        FileManager.default.contents(atPath: path).map {
            String(decoding: $0, as: UTF8.self).trimmed()
        }
    }

    // MARK: - Finding

    /// The directory with the model's files: from the cache, or downloaded into it.
    /// - Throws: ``ModelFileError``.
    func locate(waiting: () -> Void, progress: (Int64, Int64?) -> Void) throws -> String {
        let known = Self.isCommit(revision) ? revision : Self.text(of: "\(folder)/refs/\(revision)")
        if let known, Self.isCommit(known), isComplete(known) { return snapshot(known) }
        guard !isOffline else {
            throw ModelFileError(
                "the model \(repository) (revision \(revision)) is not complete in \(cache), and HF_HUB_OFFLINE forbids downloading it; unset it, or name a file or directory in CLIP_MODEL"
            )
        }
        let listing = try list()
        let all = Set(listing.siblings.map(\.rfilename))
        guard let (config, weights) = Self.choose(all) else {
            throw ModelFileError(unusable(all))
        }
        let commit = listing.sha
        func download(_ file: String) throws {
            try self.download(file, commit, waiting: waiting, progress: progress)
        }
        try download(config)
        if config == Self.transformers {
            for file in Self.companions where all.contains(file) { try download(file) }
        }
        if needsTokenizer(commit, config) {
            for file in Self.tokenizerFiles where all.contains(file) { try download(file) }
        }
        try download(weights)
        if revision != commit {
            let path = "\(folder)/refs/\(revision)"
            try ModelDownload.makeDirectory(path.directory)
            do {
                try Data(commit.utf8).write(to: URL(filePath: path), options: .atomic)
            } catch {
                throw ModelFileError(cannotWrite: path, "\(error)")
            }
        }
        return snapshot(commit)
    }

    private static let openCLIP = "open_clip_config.json"
    private static let transformers = "config.json"
    /// How images are prepared, in transformers 4 and 5.
    private static let processors = ["preprocessor_config.json", "processor_config.json"]
    private static let companions =
        processors + [
            "adapter_config.json", "tokenizer_config.json", "tokenizer.json", "vocab.json",
            "merges.txt",
        ]
    private static let tokenizers = ["tokenizer.json", "spiece.model", "tokenizer.model"]
    private static let tokenizerFiles =
        ["tokenizer_config.json", "special_tokens_map.json"] + tokenizers

    /// The configuration and the weights among a repository's files; nil when it has no such pair.
    private static func choose(_ files: Set<String>) -> (config: String, weights: String)? {
        for (config, names) in [
            (openCLIP, ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]),
            (transformers, ["model.safetensors", "pytorch_model.bin"]),
        ]
        where files.contains(config)
            && (config == openCLIP || processors.contains(where: files.contains))
        {
            if let weights = names.first(where: files.contains) { return (config, weights) }
        }
        return nil
    }

    private func snapshot(_ commit: String) -> String { "\(folder)/snapshots/\(commit)" }

    private func isComplete(_ commit: String) -> Bool {
        let path = snapshot(commit)
        let listed = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        // Follows links: a blob may be missing.
        let files = Set(listed.filter { FileManager.default.fileExists(atPath: "\(path)/\($0)") })
        guard let (config, _) = Self.choose(files) else { return false }
        return !needsTokenizer(commit, config) || Self.tokenizers.contains(where: files.contains)
    }

    /// Whether the texts of a model are not split by CLIP's own tokenizer.
    private func needsTokenizer(_ commit: String, _ config: String) -> Bool {
        let text = Self.text(of: "\(snapshot(commit))/\(config)") ?? ""
        return text.contains(config == Self.openCLIP ? "\"hf_tokenizer_name\"" : "\"siglip")
    }

    private func unusable(_ files: Set<String>) -> String {
        let index = files.sorted().first {
            $0.hasSuffix(".safetensors.index.json") || $0.hasSuffix(".bin.index.json")
        }
        if let index {
            return
                "the model \(repository) is published in several files (\(index)), which is not supported"
        }
        return
            "\(repository) has no CLIP model that can be used: neither \(Self.openCLIP) with open_clip_model.safetensors or open_clip_pytorch_model.bin, nor \(Self.transformers) and \(Self.processors[0]) with model.safetensors or pytorch_model.bin"
    }

    private static func isCommit(_ text: String) -> Bool {
        text.wholeMatch(of: /[0-9a-f]{40}/) != nil
    }

    // MARK: - Downloading

    private struct Listing: Decodable {
        struct File: Decodable { let rfilename: String }
        let sha: String
        let siblings: [File]
    }

    /// The commit that the revision stands for, and its files.
    private func list() throws -> Listing {
        let revision = revision.replacing("/", with: "%2F")
        let url = "\(endpoint)/api/models/\(repository)/revision/\(revision)"
        let (head, body) = try send("GET", url)
        try check(head, url)
        guard let listing = try? JSONDecoder().decode(Listing.self, from: Data(body)),
            Self.isCommit(listing.sha)
        else {
            throw ModelFileError(
                "\(url) does not answer as a Hugging Face hub does; check HF_ENDPOINT")
        }
        return listing
    }

    /// Downloads one file into `blobs` and links it into the snapshot.
    private func download(
        _ file: String, _ commit: String, waiting: () -> Void, progress: (Int64, Int64?) -> Void
    ) throws {
        let link = "\(snapshot(commit))/\(file)"
        if FileManager.default.fileExists(atPath: link) { return }
        let url = "\(endpoint)/\(repository)/resolve/\(commit)/\(file)"
        let (head, _) = try send("HEAD", url)
        try check(head, url)
        // Files in large storage have a tag of their own, their SHA-256; the answer may be a redirect.
        var tag = head["x-linked-etag"] ?? head["etag"] ?? ""
        if tag.hasPrefix("W/") { tag.removeFirst(2) }
        tag = tag.trimmed { $0 == "\"" }
        guard tag.wholeMatch(of: /[A-Za-z0-9\-]+/) != nil else {
            throw ModelFileError(
                "\(url) has no usable ETag, which names the file in the cache; check HF_ENDPOINT")
        }
        let isRedirect = (300..<400).contains(head.status)
        let size =
            head["x-linked-size"].flatMap { Int64($0) } ?? (isRedirect ? nil : head.contentLength)
        let blob = "\(folder)/blobs/\(tag)"
        do {
            try ModelDownload(
                url: url, headers: headers, transport: transport, path: blob,
                part: "\(blob).incomplete",
                lock: "\(cache)/.locks/models--\(owner)--\(name)/\(tag).lock",
                digest: tag.wholeMatch(of: /[0-9a-f]{64}/) == nil ? nil : tag, size: size
            ).run(waiting: waiting, progress: progress)
        } catch let failure as S3Error {
            throw ModelFileError(download: url, failure.description, "try again to resume")
        }
        try ModelDownload.makeDirectory(link.directory)
        // What is there is a link whose blob was missing, or another process made it just now.
        unlink(link)
        guard symlink("../../blobs/\(tag)", link) == 0 || errno == EEXIST else {
            throw ModelFileError(cannotWrite: link)
        }
    }

    private var headers: [(name: String, value: String)] {
        token.map { [("Authorization", "Bearer \($0)")] } ?? []
    }

    /// Asks the hub. Redirects within it are followed (a repository was renamed); one that leads
    /// elsewhere, to storage, is the answer.
    private func send(_ method: String, _ url: String) throws -> (HTTPHead, [UInt8]) {
        var options = transport
        options.totalTimeout = .seconds(60)
        let transport = HTTPTransport(options: options)
        let address = try Endpoint(endpoint)
        var target = url
        for _ in 0..<5 {
            var request = HTTPRequest(url: target)
            request.method = method
            request.headers = headers
            var body: [UInt8] = []
            let head: HTTPHead
            do {
                head = try transport.perform(request, at: address) {
                    body += $1
                    return body.count <= 16 << 20
                }
            } catch let failure as S3Error {
                throw ModelFileError(
                    download: url, failure.description,
                    "try again, or name a file in CLIP_MODEL")
            }
            // A redirect that already has the file's tag is an answer too.
            guard (300..<400).contains(head.status), let next = head["location"],
                next.hasPrefix("/") && !next.hasPrefix("//")
                    || next.hasPrefix(address.origin + "/"),
                head["x-linked-etag"] == nil
            else { return (head, body) }
            target = next.hasPrefix("/") ? address.origin + next : next
        }
        throw ModelFileError("\(url) redirects in a circle; check HF_ENDPOINT")
    }

    private func check(_ head: HTTPHead, _ url: String) throws {
        guard head.status >= 400 || head.status == 0 else { return }
        let page = "\(endpoint)/\(repository)"
        let sentence =
            switch head["x-error-code"] {
            case "GatedRepo":
                "the model \(repository) is gated: accept its terms at \(page), then set HF_TOKEN to a token of that account"
            case "RevisionNotFound": "the model \(repository) has no revision \(revision)"
            case "EntryNotFound": "the model \(repository) has no file at \(url)"
            case "RepoNotFound",
                _ where [401, 403, 404].contains(head.status):
                "CLIP_MODEL names \(repository), which is neither a path here nor a model at \(endpoint) that may be read \(token == nil ? "without a token; if it is private, set HF_TOKEN" : "with this HF_TOKEN")"
            default: "\(url) answers with HTTP status \(head.status); try again later"
            }
        throw ModelFileError(sentence)
    }
}
