import Foundation
import S3Client
import Testing

/// Reads a file of the Fixtures folder.
func fixture<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
    let url = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Fixtures").appending(path: name)
    return try JSONDecoder().decode(type, from: Data(contentsOf: url))
}

/// A new, empty directory that the caller removes.
func temporaryDirectory() throws -> String {
    let path =
        FileManager.default.temporaryDirectory.resolvingSymlinksInPath().path
        + "/s3client-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
}

func sameBytes(_ one: String, _ other: String) -> Bool { one.utf8.elementsEqual(other.utf8) }

/// Runs `body` on this thread with the file rights of an ordinary user: the superuser may read everything.
func withoutPrivileges<Value>(_ body: () throws -> Value) throws -> Value {
    guard geteuid() == 0 else { return try body() }
    typealias SetID = @convention(c) (UInt32) -> Int32
    let function = try #require(dlsym(nil, "setfsuid"), "glibc has setfsuid")
    // Linux keeps this identity per thread.
    let setFileSystemUser = unsafeBitCast(function, to: SetID.self)
    _ = setFileSystemUser(65_534)
    defer { _ = setFileSystemUser(0) }
    return try body()
}

extension S3Bucket {
    /// With keys that stay as they are.
    init(
        endpoint: String?, bucket: String, region: String? = nil, credentials: Credentials,
        transport: TransportOptions = TransportOptions(), retries: RetryPolicy = RetryPolicy(),
        clock: @escaping @Sendable () -> Date = { Date() },
        pause: @escaping @Sendable (Duration) -> Void = blockThread
    ) throws {
        try self.init(
            endpoint: endpoint, bucket: bucket, region: region,
            credentials: CredentialProvider(credentials), transport: transport, retries: retries,
            clock: clock, pause: pause)
    }
}
