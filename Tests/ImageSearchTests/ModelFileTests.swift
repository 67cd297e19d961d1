import Foundation
import ImageSearch
import Synchronization
import TestSupport
import Testing

@Suite struct ModelFileTests {
    private static let content = (0..<300_000).map {
        UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7)
    }
    /// As sha256sum tells it.
    private static let digest =
        "2cfdf2453ca092e6fcc5536e59eb98812d3130a9dc4a1e65c6fb9c5ffad738b7"

    /// Serves the content, whole or from an offset.
    private static func reply(
        to request: LoopbackServer.Request, breakingOffAt end: Int? = nil
    ) -> LoopbackServer.Reply {
        let range = request.headers.first { $0.key.lowercased() == "range" }?.value
        let start = range.flatMap { Int($0.dropFirst("bytes=".count).prefix { $0 != "-" }) } ?? 0
        var headers = ["ETag: \"v1\"", "Accept-Ranges: bytes"]
        if start > 0 {
            headers.append("Content-Range: bytes \(start)-\(content.count - 1)/\(content.count)")
        }
        let body = Array(content[start..<max(start, min(end ?? content.count, content.count))])
        return LoopbackServer.Reply(
            start > 0 ? 206 : 200, headers: headers, body: body, length: content.count - start)
    }

    private static func model(
        _ server: LoopbackServer, _ directory: String, digest: String = digest,
        settings values: [String: String] = [:]
    ) throws -> ModelFile {
        ModelFile(
            try settings(values), directory: directory, cache: "\(directory)/cache",
            source: ModelFile.Source(
                url: "\(server.endpoint)/models/ViT-B-32.pt", digest: digest, name: "ViT-B-32.pt",
                size: Int64(content.count)))
    }

    @Test func explicitPathOnly() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            let missing = "\(directory)/none.pt"
            let model = try Self.model(server, directory, settings: ["CLIP_MODEL": missing])
            #expect(
                sentence { _ = try model.locate { _, _ in } }
                    == "there is no model file at \(missing), which CLIP_MODEL names")
            #expect(server.requests.isEmpty)
            try Data([1]).write(to: URL(filePath: missing))
            #expect(try model.locate { _, _ in } == missing)
        }
    }

    @Test func localFilesComeBeforeTheDownload() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            let model = try Self.model(server, directory)
            for folder in ["cache", "models"] {
                let path = "\(directory)/\(folder)"
                try FileManager.default.createDirectory(
                    atPath: path, withIntermediateDirectories: true)
                try Data([1]).write(to: URL(filePath: "\(path)/ViT-B-32.pt"))
                #expect(try model.locate { _, _ in } == "\(path)/ViT-B-32.pt")
            }
            #expect(server.requests.isEmpty)
        }
    }

    /// A file of upstream's size is checked once for each size and time; one of another size is one's own.
    @Test func damagedFileOfUpstreamsSizeIsRefused() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            let model = try Self.model(server, directory)
            let path = "\(directory)/models/ViT-B-32.pt"
            func write(_ content: [UInt8], _ time: Double) throws {
                try FileManager.default.createDirectory(
                    atPath: "\(directory)/models", withIntermediateDirectories: true)
                try Data(content).write(to: URL(filePath: path))
                try FileManager.default.setAttributes(
                    [.modificationDate: Date(timeIntervalSince1970: time)], ofItemAtPath: path)
            }
            var damaged = Self.content
            damaged[200_000] ^= 1
            try write(damaged, 1)
            let message = sentence { _ = try model.locate { _, _ in } }
            #expect(message.contains(path) && message.contains("is damaged"))
            try write(Self.content, 2)
            #expect(try model.locate { _, _ in } == path)
            let list = "\(directory)/cache/checked"
            let checked = try String(contentsOfFile: list, encoding: .utf8)
            #expect(checked.contains(" 300000 2.0 "), "\(checked)")
            // Known by size and time, so it is not read again.
            try write(damaged, 2)
            #expect(try model.locate { _, _ in } == path)
            try write(damaged, 3)
            #expect(sentence { _ = try model.locate { _, _ in } }.contains("is damaged"))
            try write([1, 2, 3], 4)
            #expect(try model.locate { _, _ in } == path)
            #expect(server.requests.isEmpty)
        }
    }

    @Test func downloadsChecksAndMovesIntoPlace() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            var last: (Int64, Int64?) = (0, nil)
            let path = try Self.model(server, directory).locate { last = ($0, $1) }
            #expect(path == "\(directory)/cache/ViT-B-32.pt")
            #expect(try Data(contentsOf: URL(filePath: path)) == Data(Self.content))
            #expect(last.0 == 300_000 && last.1 == 300_000)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: "\(directory)/cache")
                    == ["ViT-B-32.pt"])
        }
    }

    @Test func goesOnWhereItBrokeOff() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { number, request in
                Self.reply(to: request, breakingOffAt: number == 0 ? 100_000 : nil)
            }
            defer { server.stop() }
            let path = try Self.model(server, directory).locate { _, _ in }
            #expect(try Data(contentsOf: URL(filePath: path)) == Data(Self.content))
            let ranges = server.requests.map {
                $0.headers.first { $0.key.lowercased() == "range" }?.value
            }
            #expect(ranges.count == 2 && ranges[0] == nil)
            #expect(ranges[1]?.hasPrefix("bytes=") == true && ranges[1] != "bytes=0-")
        }
    }

    @Test func wrongContentIsNeverMovedIntoPlace() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            let wrong = String(repeating: "0", count: 64)
            let model = try Self.model(server, directory, digest: wrong)
            #expect(sentence { _ = try model.locate { _, _ in } }.contains("SHA-256 differs"))
            let left = try FileManager.default.contentsOfDirectory(atPath: "\(directory)/cache")
            #expect(!left.contains("ViT-B-32.pt") && !left.contains("ViT-B-32.pt.part"))
        }
    }

    @Test func resumedDownloadWithAWrongDigestStartsOverOnce() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            try FileManager.default.createDirectory(
                atPath: "\(directory)/cache", withIntermediateDirectories: true)
            try Data(repeating: 9, count: 1_000).write(
                to: URL(filePath: "\(directory)/cache/ViT-B-32.pt.part"))
            let path = try Self.model(server, directory).locate { _, _ in }
            #expect(try Data(contentsOf: URL(filePath: path)) == Data(Self.content))
            #expect(server.requests.count == 2)
        }
    }

    @Test(arguments: ["ViT-B-32.pt.part", "ViT-B-32.pt.part.lock"], [true, false])
    func pipesAndLinksInPlaceOfThePartAreRefused(name: String, isPipe: Bool) throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, request in Self.reply(to: request) }
            defer { server.stop() }
            let place = "\(directory)/cache/\(name)"
            let target = "\(directory)/mine"
            try FileManager.default.createDirectory(
                atPath: "\(directory)/cache", withIntermediateDirectories: true)
            try Data("mine".utf8).write(to: URL(filePath: target))
            if isPipe {
                #expect(mkfifo(place, 0o600) == 0)
            } else {
                try FileManager.default.createSymbolicLink(
                    atPath: place, withDestinationPath: target)
            }
            let message = sentence { _ = try Self.model(server, directory).locate { _, _ in } }
            #expect(message.contains(name))
            #expect(try Data(contentsOf: URL(filePath: target)) == Data("mine".utf8))
        }
    }

    @Test func serverThatRefuses() throws {
        try Fixtures.withDirectory { directory in
            let server = try LoopbackServer { _, _ in LoopbackServer.Reply(404) }
            defer { server.stop() }
            let message = sentence {
                _ = try Self.model(server, directory).locate { _, _ in }
            }
            #expect(message.contains("404") && message.contains("models/ViT-B-32.pt"))
        }
    }

    @Test func twoAtOnceDownloadOnce() throws {
        try Fixtures.withDirectory { directory in
            let waits = Atomic(0)
            let server = try LoopbackServer { _, request in
                // The download ends only after another one has waited for it.
                let latest = ContinuousClock.now + .seconds(60)
                while waits.load(ordering: .relaxed) == 0, ContinuousClock.now < latest {
                    Thread.sleep(forTimeInterval: 0.01)
                }
                return Self.reply(to: request)
            }
            defer { server.stop() }
            let failures = Failures()
            let ended = DispatchSemaphore(value: 0)
            let model = try Self.model(server, directory)
            for _ in 0..<3 {
                Thread.detachNewThread {
                    defer { ended.signal() }
                    do {
                        let path = try model.locate(
                            waiting: { waits.add(1, ordering: .relaxed) }, progress: { _, _ in })
                        let isRight =
                            try Data(contentsOf: URL(filePath: path)) == Data(Self.content)
                        if !isRight { failures.add("wrong content") }
                    } catch {
                        failures.add("\(error)")
                    }
                }
            }
            for _ in 0..<3 { ended.wait() }
            #expect(failures.all == [])
            #expect(server.requests.count == 1)
            // Who waits says so.
            #expect(waits.load(ordering: .relaxed) > 0)
        }
    }
}
