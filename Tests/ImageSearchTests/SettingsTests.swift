import Foundation
import ImageSearch
import Testing

@Suite struct SettingsTests {
    @Test func environmentWinsOverFile() throws {
        try Fixtures.withDirectory { directory in
            let path = "\(directory)/.env"
            try "A=file\nB=file\nC=\nD='quoted'\n".write(
                toFile: path, atomically: true, encoding: .utf8)
            let settings = try Settings(environment: ["A": "real", "B": ""], path: path)
            #expect(settings["A"] == "real")
            // Empty is not set: .env_example leaves the secrets empty.
            #expect(settings["B"] == "file")
            #expect(settings["C"] == nil)
            #expect(settings["D"] == "quoted")
            #expect(settings["E"] == nil)
        }
    }

    @Test func byteOrderMarkIsNoPartOfAName() throws {
        try Fixtures.withDirectory { directory in
            let path = "\(directory)/.env"
            try Data([0xEF, 0xBB, 0xBF] + Array("A=1\r\nB=2\r\n".utf8)).write(
                to: URL(filePath: path))
            let settings = try Settings(environment: [:], path: path)
            #expect(settings["A"] == "1" && settings["B"] == "2")
        }
    }

    @Test func missingVariableIsNamed() throws {
        let none = try settings([:])
        #expect(
            sentence { _ = try none.databaseURI() }
                == "PG_SERVICE_URI is not set: set it in the environment or in .env (.env_example shows how)"
        )
        let complete = [
            "S3_ENDPOINT": "https://s3.example.org", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b",
            "S3_BUCKET_NAME": "c",
        ]
        #expect(try settings(complete).objectStore().displayName.contains("s3.example.org"))
        for name in complete.keys {
            var incomplete = complete
            incomplete[name] = nil
            let message = sentence { _ = try settings(incomplete).objectStore() }
            #expect(message.hasPrefix("\(name) is not set"))
        }
    }

    @Test func precisionIsFP32UnlessSet() throws {
        #expect(try settings([:]).precision() == .fp32)
        #expect(try settings(["CLIP_PRECISION": ""]).precision() == .fp32)
        #expect(try settings(["CLIP_PRECISION": "fp32"]).precision() == .fp32)
        #expect(try settings(["CLIP_PRECISION": "int8"]).precision() == .int8)
        let unknown = try settings(["CLIP_PRECISION": "fp16"])
        #expect(
            sentence { _ = try unknown.precision() }
                == "CLIP_PRECISION must be fp32 or int8, not \"fp16\"")
    }

    @Test func directoryNeedsNoKeys() throws {
        try Fixtures.withDirectory { directory in
            try FileManager.default.createDirectory(
                atPath: "\(directory)/bucket", withIntermediateDirectories: false)
            let store = try settings([
                "S3_ENDPOINT": "file://\(directory)", "S3_BUCKET_NAME": "bucket",
            ]).objectStore()
            var count = 0
            try store.list { count += $0.count }
            #expect(count == 0)
        }
    }

    @Test func everyVariableIsDocumented() throws {
        let root = Fixtures.directory.deletingLastPathComponent().deletingLastPathComponent()
        let example = try String(contentsOf: root.appending(path: ".env_example"), encoding: .utf8)
        let sources = root.appending(path: "Sources/ImageSearch")
        let files = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
        var names: Set<String> = []
        for case let file as URL in try #require(files) where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: /"((?:PG|S3|CLIP)_[A-Z_]+)"/) {
                names.insert(String(match.1))
            }
        }
        #expect(names.count >= 8)
        for name in names { #expect(example.contains("\(name)="), "\(name)") }
    }
}
