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

    /// What an editor or a shell did to the file is said with the file and the line.
    @Test func unreadableLinesAreNamed() throws {
        try Fixtures.withDirectory { directory in
            let path = "\(directory)/.env"
            try "A=1\n# fine\n\nB: 2\r\nC='open\nD=4\n".write(
                toFile: path, atomically: true, encoding: .utf8)
            let settings = try Settings(environment: [:], path: path)
            #expect(settings["A"] == "1" && settings["B"] == nil && settings["D"] == "4")
            #expect(
                settings.warnings
                    == [4, 5].map {
                        "line \($0) of \(path) cannot be read and is ignored: write NAME=value, with both quotes if it has any"
                    })
            func refusal(_ bytes: [UInt8]) throws -> String {
                try Data(bytes).write(to: URL(filePath: path))
                return sentence { _ = try Settings(environment: [:], path: path) }
            }
            let utf16 = try #require("A=1\n".data(using: .utf16LittleEndian))
            #expect(
                try refusal([0xFF, 0xFE] + utf16) == "\(path) is UTF-16 text: save it as UTF-8")
            #expect(try refusal([UInt8](utf16)) == "\(path) is not UTF-8 text: save it as UTF-8")
            #expect(
                try refusal(Array("A=caf".utf8) + [0xE9])
                    == "\(path) is not UTF-8 text: save it as UTF-8")
            let missing = "\(directory)/none.env"
            #expect(try Settings(environment: [:], path: missing)["A"] == nil)
            #expect(
                sentence { _ = try Settings(environment: [:], path: missing, isRequired: true) }
                    == "\(missing) cannot be read: it must be a file that this user may read")
        }
    }

    /// Mistakes that are common enough to have a sentence of their own.
    @Test(arguments: [
        ("\"postgres://u:sesame@h/d\"", "is in quotes, which docker --env-file keeps: remove them"),
        ("'postgres://u:sesame@h/d'", "is in quotes, which docker --env-file keeps: remove them"),
        (
            "postgres://u:sesame@h/d\n",
            "ends with a line break, as a secret read from a file often does: remove it"
        ),
        (
            "jdbc:postgresql://h:5432/d?user=u&password=sesame",
            "is a JDBC URL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE instead"
        ),
        (
            "postgresql+psycopg2://u:sesame@h/d",
            "is a SQLAlchemy URL: write postgresql:// instead of postgresql+psycopg2://"
        ),
    ])
    func databaseURIsOfOtherToolsAreNamed(value: String, fault: String) throws {
        let settings = try settings(["PG_SERVICE_URI": value])
        #expect(sentence { _ = try settings.databaseURI() } == "PG_SERVICE_URI \(fault)")
    }

    @Test(arguments: [
        ("album", nil), ("My Album", nil), ("", nil),
        (
            "pg_album",
            "PG_SCHEMA names \"pg_album\", a schema of PostgreSQL's own: name another one"
        ),
        ("\"album\"", "PG_SCHEMA is in quotes, which docker --env-file keeps: remove them"),
        (
            String(repeating: "é", count: 32),
            "PG_SCHEMA is longer than the 63 bytes that PostgreSQL allows"
        ),
    ])
    func schemasAreChecked(name: String, fault: String?) throws {
        let settings = try settings(["PG_SCHEMA": name])
        if let fault {
            #expect(sentence { _ = try settings.schema() } == fault)
        } else {
            #expect(try settings.schema() == (name.isEmpty ? nil : name))
        }
    }

    @Test func storeSettingsAreCheckedToo() throws {
        let good = [
            "S3_ENDPOINT": "https://s3.example.org", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b",
            "S3_BUCKET_NAME": "c",
        ]
        func refusal(_ name: String, _ value: String) throws -> String {
            let settings = try settings(good.merging([name: value]) { $1 })
            return sentence { _ = try settings.objectStore() }
        }
        #expect(
            try refusal("S3_SECRET_KEY", "b\n").hasPrefix("S3_SECRET_KEY ends with a line break"))
        #expect(try refusal("S3_BUCKET_NAME", "\"c\"").hasPrefix("S3_BUCKET_NAME is in quotes"))
        #expect(
            try refusal("S3_ENDPOINT", "s3.example.org")
                == "The S3 endpoint \"s3.example.org\" has no scheme: write https://HOST (or http://HOST, file:///DIRECTORY)."
        )
    }

    @Test func aFolderStandsForABucket() throws {
        try Fixtures.withDirectory { directory in
            let folder = "\(directory)/My pictures"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false)
            try Data("x".utf8).write(to: URL(filePath: "\(folder)/a.jpg"))
            let given = try settings(["S3_ENDPOINT": "https://s3.example.org"])
            let store = try given.withFolder(folder).objectStore()
            var keys: [String] = []
            try store.list { page in keys += page.map(\.key) }
            #expect(keys == ["a.jpg"])
            for (path, message) in [
                ("\(directory)/none", "there is no folder"), ("\(folder)/a.jpg", "is not a folder"),
                ("/", "name a folder below it"),
            ] {
                #expect(sentence { _ = try given.withFolder(path) }.contains(message))
            }
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
        #expect(try settings(["CLIP_PRECISION": "int7"]).precision() == .int7)
        let unknown = try settings(["CLIP_PRECISION": "fp16"])
        #expect(
            sentence { _ = try unknown.precision() }
                == "CLIP_PRECISION must be fp32, int8 or int7, not \"fp16\"")
    }

    @Test func unknownInstructionSetsAreRefused() throws {
        try settings([:]).limitInstructionSet()
        let unknown = try settings(["CLIP_MAX_ISA": "avx10"])
        #expect(
            sentence { try unknown.limitInstructionSet() }
                == "CLIP_MAX_ISA must be one of sse, avx2, avx2-vnni, avx512, avx512-vnni, neon, "
                + "neon-dot, neon-i8mm, not \"avx10\"")
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
