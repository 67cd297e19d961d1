import Bytes
import ClipCore
import FoundationEssentials
import PGClient
import S3Client

/// A setting is missing or cannot be used; one sentence that names the variable.
public struct SettingsError: Error, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// The settings of all four tools, from the environment and then a `.env` file; `.env_example` documents every
/// variable. An empty value counts as not set.
public struct Settings: Sendable {
    private var sources: [[String: String]]
    /// One sentence for each line of the file that cannot be read.
    public private(set) var warnings: [String] = []

    /// - Parameters:
    ///   - environment: the variables of the process.
    ///   - path: the `.env` file.
    ///   - isRequired: whether a missing file is an error.
    /// - Throws: ``SettingsError`` when the file cannot be read.
    public init(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        path: String = ".env", isRequired: Bool = false
    ) throws(SettingsError) {
        sources = [environment]
        guard isRequired || FileManager.default.fileExists(atPath: path) else { return }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw SettingsError("\(path) cannot be read: it must be a file that this user may read")
        }
        guard !data.starts(with: [0xFF, 0xFE]), !data.starts(with: [0xFE, 0xFF]) else {
            throw SettingsError("\(path) is UTF-16 text: save it as UTF-8")
        }
        // Windows editors begin a file with a byte order mark, which belongs to no name.
        let hasMark = data.starts(with: [0xEF, 0xBB, 0xBF])
        guard let text = String(validating: hasMark ? data.dropFirst(3) : data, as: UTF8.self),
            !data.contains(0)
        else { throw SettingsError("\(path) is not UTF-8 text: save it as UTF-8") }
        let values = DotEnv.parse(text, environment: environment) { line in
            warnings.append(
                "line \(line) of \(path) cannot be read and is ignored: write NAME=value, with both quotes if it has any"
            )
        }
        sources.append(values)
    }

    /// The same settings, but with a folder of pictures in place of a bucket.
    /// - Throws: ``SettingsError`` when there is no such folder.
    public func withFolder(_ path: String) throws(SettingsError) -> Settings {
        var isDirectory = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw SettingsError("there is no folder \(quoted(path))")
        }
        guard isDirectory else {
            throw SettingsError("\(quoted(path)) is not a folder: name the folder of the pictures")
        }
        let real = BucketIdentity.realPath(path)
        guard let slash = real.lastIndex(of: "/"), real != "/" else {
            throw SettingsError("the folder \(quoted(path)) cannot be used: name a folder below it")
        }
        return withDirectory(
            parent: String(real[..<slash]), bucket: String(real[real.index(after: slash)...]))
    }

    func withDirectory(parent: String, bucket: String) -> Settings {
        var copy = self
        let path = PercentEncoding.encode(parent.isEmpty ? "/" : parent, keepingSlashes: true)
        copy.sources.insert(["S3_ENDPOINT": "file://\(path)", "S3_BUCKET_NAME": bucket], at: 0)
        return copy
    }

    /// The same settings; when they name no store and the pictures table belongs to a folder of this
    /// machine, with that folder. Connects to the database in this case; blocks its thread.
    /// - Throws: ``SettingsError``, or the database's error.
    public func withRecordedFolder(applicationName: String) throws -> Settings {
        guard self["S3_ENDPOINT"] == nil, self["S3_BUCKET_NAME"] == nil else { return self }
        let table = try PicturesTable(
            uri: databaseURI(), schema: schema(), applicationName: applicationName)
        guard let store = try table.buckets().first, store.kind == .directory else { return self }
        return withDirectory(parent: store.endpoint, bucket: store.bucket)
    }

    /// A variable's value, nil when it is not set or empty.
    public subscript(_ name: String) -> String? {
        for source in sources {
            if let value = source[name], !value.isEmpty { return value }
        }
        return nil
    }

    /// - Throws: ``SettingsError`` for a value that was certainly not meant, such as one in quotes.
    public func optional(_ name: String) throws(SettingsError) -> String? {
        guard let value = self[name] else { return nil }
        if let first = value.first, first == "\"" || first == "'", value.count > 1,
            value.last == first
        {
            throw SettingsError(
                "\(name) is in quotes, which docker --env-file keeps: remove them")
        }
        if value.last?.isNewline == true {
            throw SettingsError(
                "\(name) ends with a line break, as a secret read from a file often does: remove it"
            )
        }
        return value
    }

    func required(_ name: String) throws(SettingsError) -> String {
        guard let value = try optional(name) else {
            throw SettingsError(
                "\(name) is not set: set it in the environment or in .env (.env_example shows how)")
        }
        return value
    }

    /// `PG_SERVICE_URI`: where PostgreSQL is, with user and password.
    public func databaseURI() throws(SettingsError) -> String {
        try Self.checkURI(required("PG_SERVICE_URI"), "PG_SERVICE_URI")
    }

    /// `PG_SCHEMA`: the schema of `pictures` and of the tables beside it, as the catalog has its name; nil
    /// for the one in which the search path finds `pictures`.
    /// - Throws: ``SettingsError`` for a name that no schema can have, or one of PostgreSQL's own.
    public func schema() throws(SettingsError) -> String? {
        guard let name = try optional("PG_SCHEMA") else { return nil }
        guard !name.hasPrefix("pg_"), name != "information_schema" else {
            throw SettingsError(
                "PG_SCHEMA names \(quoted(name)), a schema of PostgreSQL's own: name another one")
        }
        guard name.utf8.count <= 63, !name.utf8.contains(0) else {
            throw SettingsError("PG_SCHEMA is longer than the 63 bytes that PostgreSQL allows")
        }
        return name
    }

    /// Refuses other libraries' ways to write a PostgreSQL URI.
    private static func checkURI(_ uri: String, _ name: String) throws(SettingsError) -> String {
        let lowercased = uri.lowercased()
        if lowercased.hasPrefix("jdbc:") {
            throw SettingsError(
                "\(name) is a JDBC URL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE instead")
        }
        let scheme = lowercased.prefix { $0 != ":" }
        if scheme.hasPrefix("postgres+") || scheme.hasPrefix("postgresql+") {
            throw SettingsError(
                "\(name) is a SQLAlchemy URL: write postgresql:// instead of \(scheme)://")
        }
        return uri
    }

    /// `CLIP_PRECISION`: what pictures are embedded in, `fp32` (the default), `int8` or `int7`.
    public func precision() throws(SettingsError) -> Precision {
        try choice("CLIP_PRECISION", of: Precision.allCases) ?? .fp32
    }

    /// `CLIP_ORIENTATION`: whether pictures are turned as EXIF says, `upright` or `stored`; nil leaves it
    /// to the collection.
    public func orientation() throws(SettingsError) -> ImageDecoder.Orientation? {
        try choice("CLIP_ORIENTATION", of: ImageDecoder.Orientation.allCases)
    }

    /// `CLIP_MAX_ISA`: keeps the kernels of this process to an instruction set and those before it, so
    /// that tests and benchmarks can take a better processor for a lesser one.
    public func limitInstructionSet() throws(SettingsError) {
        if let set = try choice("CLIP_MAX_ISA", of: InstructionSet.allCases) {
            InstructionSet.limit(to: set)
        }
    }

    /// `CLIP_ACTIVATION`: what weights without a configuration were trained with, `quick_gelu` or `gelu`.
    public func activation() throws(SettingsError) -> Activation? {
        try choice("CLIP_ACTIVATION", of: [.quickGELU, .gelu])
    }

    private func choice<Value: RawRepresentable<String>>(
        _ name: String, of values: [Value]
    ) throws(SettingsError) -> Value? {
        guard let text = try optional(name) else { return nil }
        if let value = values.first(where: { $0.rawValue == text }) { return value }
        let known = values.map(\.rawValue)
        let allowed =
            known.count > 3
            ? "one of \(known.joined(separator: ", "))"
            : "\(known.dropLast().joined(separator: ", ")) or \(known.last ?? "")"
        throw SettingsError("\(name) must be \(allowed), not \"\(text)\"")
    }

    /// `PG_READ_URI`: streaming replicas, several hosts allowed. Searches ask `PG_SERVICE_URI` when none of them
    /// answers.
    /// - Throws: `PGError` when it is malformed: falling back would hide the mistake.
    func replicaURI() throws -> String? {
        guard let uri = try optional("PG_READ_URI") else { return nil }
        return try ConnectionString(Self.checkURI(uri, "PG_READ_URI")).text
    }

    /// The bucket that `S3_BUCKET_NAME` names at `S3_ENDPOINT`, or a directory for a `file://` URL. May ask AWS's
    /// services on this machine for credentials, which takes a second at most.
    /// - Throws: ``SettingsError`` for a missing variable, or the store's error for an unusable one.
    public func objectStore() throws -> any ObjectStore {
        let endpoint = try required("S3_ENDPOINT")
        let bucket = try required("S3_BUCKET_NAME")
        return try openObjectStore(
            endpoint: endpoint, bucket: bucket, region: try region(for: endpoint),
            requesterPays: try flag("S3_REQUESTER_PAYS"), transport: try transport(),
            credentials: credentials)
    }

    /// `S3_…` before what AWS's tools would use.
    private func credentials() throws -> CredentialProvider {
        if try flag("S3_UNSIGNED") { return CredentialProvider(nil) }
        if self["S3_ACCESS_KEY"] != nil || self["S3_SECRET_KEY"] != nil {
            return CredentialProvider(
                Credentials(
                    accessKey: try required("S3_ACCESS_KEY"),
                    secretKey: try required("S3_SECRET_KEY"),
                    sessionToken: try optional("S3_SESSION_TOKEN")))
        }
        let amazon = AmazonCredentials(region: self["S3_REGION"], transport: try transport()) {
            self[$0]
        }
        guard let provider = try amazon.provider() else {
            throw SettingsError(
                "S3_ACCESS_KEY and S3_SECRET_KEY are not set, and none of the places where AWS's tools look "
                    + "has credentials: set them in the environment or in .env (.env_example shows how)"
            )
        }
        return provider
    }

    /// `S3_REGION`, or AWS's variables where the endpoint does not name the region.
    private func region(for endpoint: String) throws -> String? {
        if let region = try optional("S3_REGION") { return region }
        guard endpoint.lowercased().hasPrefix("file:") == false,
            Region.derived(fromHost: try Endpoint(endpoint).host) == nil
        else { return nil }
        return self["AWS_REGION"] ?? self["AWS_DEFAULT_REGION"]
    }

    /// Every HTTPS request trusts the certificate authorities in the PEM file that `AWS_CA_BUNDLE`,
    /// `SSL_CERT_FILE` or `CURL_CA_BUNDLE` names, the first that is set, and without one the system's.
    package func transport() throws(SettingsError) -> TransportOptions {
        var options = TransportOptions()
        for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"] {
            guard let path = self[name] else { continue }
            guard FileManager.default.isReadableFile(atPath: path) else {
                throw SettingsError("\(name) names the file \(path), which cannot be read")
            }
            options.certificateAuthorities = path
            break
        }
        return options
    }

    private func flag(_ name: String) throws(SettingsError) -> Bool {
        switch self[name] {
        case nil, "false": return false
        case "true": return true
        case .some(let value):
            throw SettingsError("\(name) must be true or false, not \"\(value)\"")
        }
    }
}
