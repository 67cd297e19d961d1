import Foundation

/// Files beside the tests.
enum Fixtures {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent()

    static func data(_ name: String) throws -> Data {
        try Data(contentsOf: directory.appending(path: "Fixtures/\(name)"))
    }

    static func json<T: Decodable>(_ name: String, as type: T.Type) throws -> T {
        try JSONDecoder().decode(type, from: data(name))
    }

    /// A checkpoint with CLIP's real vocabulary and embedding dimension, made by upstream's code.
    static let tinyModel = directory.deletingLastPathComponent()
        .appending(path: "Fixtures/tiny-clip.pt").path

    /// Like ``withDirectory(_:)``, for tests that wait.
    static func withDirectoryAsync<T>(_ body: (String) async throws -> T) async throws -> T {
        let path = FileManager.default.temporaryDirectory
            .appending(path: "clip-search-tests-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(path)
    }

    /// Runs `body` with an empty directory that is removed afterwards.
    static func withDirectory<T>(_ body: (String) throws -> T) throws -> T {
        let path = FileManager.default.temporaryDirectory
            .appending(path: "clip-search-tests-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }
}
