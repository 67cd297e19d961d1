import ClipCore
import FoundationEssentials
import PGClient
import S3Client

/// A setting that is missing or cannot be used; one sentence that names the variable.
public struct SettingsError: Error, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// The settings of all four tools, from the environment and from a `.env` file; `.env_example`
/// documents every variable. A variable of the real environment wins over the file. An empty value
/// counts as not set, as `.env_example` leaves the secrets empty.
public struct Settings: Sendable {
    private let environment: [String: String]
    private let file: [String: String]

    /// - Parameters:
    ///   - environment: the variables of the process.
    ///   - path: the `.env` file; none need be there.
    /// - Throws: ``SettingsError`` when the file is there but cannot be read.
    public init(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        path: String = ".env"
    ) throws(SettingsError) {
        self.environment = environment
        guard FileManager.default.fileExists(atPath: path) else {
            file = [:]
            return
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw SettingsError("\(path) cannot be read: it must be a file that this user may read")
        }
        // Windows editors begin a file with a byte order mark, which belongs to no name.
        let hasMark = data.starts(with: [0xEF, 0xBB, 0xBF])
        let text = String(decoding: hasMark ? data.dropFirst(3) : data, as: UTF8.self)
        file = DotEnv.parse(text, environment: environment)
    }

    /// A variable's value, nil when it is not set or empty.
    public subscript(_ name: String) -> String? {
        for source in [environment, file] {
            if let value = source[name], !value.isEmpty { return value }
        }
        return nil
    }

    func required(_ name: String) throws(SettingsError) -> String {
        guard let value = self[name] else {
            throw SettingsError(
                "\(name) is not set: set it in the environment or in .env (.env_example shows how)")
        }
        return value
    }

    /// `PG_SERVICE_URI`: where PostgreSQL is, with user and password.
    public func databaseURI() throws(SettingsError) -> String {
        try required("PG_SERVICE_URI")
    }

    /// `CLIP_PRECISION`: what pictures are embedded in, `fp32` (the default) or `int8`.
    public func precision() throws(SettingsError) -> Precision {
        guard let name = self["CLIP_PRECISION"] else { return .fp32 }
        guard let precision = Precision(rawValue: name) else {
            let known = Precision.allCases.map(\.rawValue).joined(separator: " or ")
            throw SettingsError("CLIP_PRECISION must be \(known), not \"\(name)\"")
        }
        return precision
    }

    /// `CLIP_ACTIVATION`: what weights that do not tell were trained with, `quick_gelu` or `gelu`.
    public func activation() throws(SettingsError) -> Activation? {
        guard let name = self["CLIP_ACTIVATION"] else { return nil }
        guard let activation = Activation(rawValue: name), activation != .geluTanh else {
            throw SettingsError("CLIP_ACTIVATION must be quick_gelu or gelu, not \"\(name)\"")
        }
        return activation
    }

    /// Where searches go: `PG_READ_URI` (streaming replicas, several hosts allowed), and
    /// `PG_SERVICE_URI` when none of them answers, or without the former.
    /// - Throws: `PGError` when `PG_READ_URI` cannot be read: falling back would hide it.
    func searchRoute() throws -> SearchRoute {
        let replicas = self["PG_READ_URI"]
        if let replicas { _ = try ConnectionString(replicas) }
        return SearchRoute(
            replicas: replicas, primary: try databaseURI(), bucket: try bucketIdentity())
    }

    /// The bucket that `S3_BUCKET_NAME` names at `S3_ENDPOINT`: a real one, or a directory when the
    /// endpoint is a `file://` URL, which needs no keys.
    /// - Throws: ``SettingsError`` for a missing variable, or the store's error for an unusable one.
    public func objectStore() throws -> any ObjectStore {
        let endpoint = try required("S3_ENDPOINT")
        let isDirectory = endpoint.lowercased().hasPrefix("file:")
        func key(_ name: String) throws -> String {
            isDirectory ? self[name] ?? "" : try required(name)
        }
        return try openObjectStore(
            ObjectStoreSettings(
                endpoint: endpoint,
                bucket: try required("S3_BUCKET_NAME"),
                accessKey: try key("S3_ACCESS_KEY"),
                secretKey: try key("S3_SECRET_KEY"),
                sessionToken: self["S3_SESSION_TOKEN"],
                region: self["S3_REGION"]))
    }
}
