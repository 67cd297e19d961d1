import Foundation

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
