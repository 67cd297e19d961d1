import ClipCore
import Foundation
import Testing

/// Every container of make_fixtures.py: what is read, and what is refused with which words.
@Suite struct ContainerTests {
    @Test(arguments: [
        "torchscript.pt", "state-dict.pt", "training.pt", "protocol4.pt", "module.pt", "cuda.pt",
        "zip64.pt", "openclip.safetensors",
    ])
    func loads(_ name: String) throws {
        let checkpoint = try Checkpoint(path: CheckpointFixtures.path(name), activation: .quickGELU)
        #expect(checkpoint.path == CheckpointFixtures.path(name))
        #expect(checkpoint.tensor("visual.conv1.weight") != nil)
        #expect(checkpoint.tensor("logit_scale") != nil)
        _ = try ImageEncoder(checkpoint)
        _ = try TextEncoder(checkpoint)
    }

    @Test(arguments: [
        ("resnet.pt", "ResNet"), ("legacy.pt", "before PyTorch 1.6"),
        ("deflated.pt", "stored uncompressed"), ("make_fixtures.py", "neither a PyTorch archive"),
        ("absent.pt", "No such file"), ("", "a directory without a model"),
    ])
    func refuses(_ name: String, _ reason: String) throws {
        let path = CheckpointFixtures.path(name)
        let error = #expect(throws: CheckpointError.self) {
            try Checkpoint(path: path, activation: .quickGELU)
        }
        #expect(error?.file == path)
        #expect(error?.fault.contains(reason) == true, "\(error?.fault ?? "")")
        #expect(error?.description.hasPrefix("\(path): ") == true)
    }

    @Test func refusesAnEmptyFile() throws {
        #expect(try faultOfLoading([]) == "is empty, so not a model file")
    }

    /// Any proper prefix of a file is a truncated file: each gives an error.
    @Test(arguments: ["zip64.pt", "cuda.pt", "openclip.safetensors"])
    func refusesEveryTruncation(_ name: String) throws {
        let bytes = try CheckpointFixtures.bytes(name)
        var lengths = Set(0..<40).union(bytes.count - 400..<bytes.count)
        lengths.formUnion(stride(from: 40, to: bytes.count, by: 1009))
        for length in lengths {
            #expect(try faultOfLoading(Array(bytes.prefix(length))) != nil, "\(length) bytes")
        }
    }

    @Test func doesNotWaitForAPipe() throws {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("pipe-\(UUID().uuidString)").path
        #expect(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        #expect(throws: CheckpointError.self) { try Checkpoint(path: path, activation: .quickGELU) }
    }
}

/// The zip reader beside what PyTorch writes.
@Suite struct ZipArchiveTests {
    typealias Entry = ZipWriter.Entry

    @Test func checksumIsThatOfZip() {
        // The check value of CRC-32/ISO-HDLC in the CRC catalogue.
        #expect(Array("123456789".utf8).withUnsafeBytes { ZipArchive.checksum($0) } == 0xCBF4_3926)
    }

    private func names(_ bytes: [UInt8]) throws -> [String: [UInt8]] {
        try bytes.withUnsafeBytes { raw in
            let zip = try ZipArchive(raw)
            return try zip.entries.mapValues { [UInt8](raw[try zip.range(of: $0)]) }
        }
    }

    @Test func readsStoredEntries() throws {
        let bytes = ZipWriter.archive([
            Entry(name: "a", data: [1, 2, 3]), Entry(name: "b/c", data: []),
        ])
        #expect(try names(bytes) == ["a": [1, 2, 3], "b/c": []])
    }

    @Test func readsBehindComments() throws {
        let entries = [Entry(name: "a", data: [7])]
        // A signature inside the comment is not an end record.
        let tricky = Array("PK\u{5}\u{6}".utf8) + [UInt8](repeating: 0, count: 30)
        for comment in [[UInt8](repeating: 32, count: 65_535), tricky] {
            #expect(try names(ZipWriter.archive(entries, comment: comment)) == ["a": [7]])
        }
    }

    @Test func leavesOutCompressedAndEncryptedEntries() throws {
        let bytes = ZipWriter.archive([
            Entry(name: "deflated", data: [1], method: 8),
            Entry(name: "secret", data: [2], flags: 1),
            Entry(name: "plain", data: [3]),
        ])
        #expect(try names(bytes) == ["plain": [3]])
    }

    @Test func refusesDuplicates() throws {
        let bytes = ZipWriter.archive([Entry(name: "a", data: [1]), Entry(name: "a", data: [2])])
        #expect(throws: CheckpointError("is corrupt: its zip directory lists \"a\" twice")) {
            try names(bytes)
        }
    }

    @Test func refusesACountBeyondTheDirectory() throws {
        let bytes = ZipWriter.archive([Entry(name: "a", data: [1])], count: 9_999)
        #expect(throws: CheckpointError.self) { try names(bytes) }
    }

    /// Extreme values in each 32-bit and 64-bit field of the zip64 fixture's structures.
    @Test func refusesOrSurvivesExtremeFields() throws {
        let bytes = try CheckpointFixtures.bytes("zip64.pt")
        let structures: [[UInt8]] = [[0x50, 0x4B, 6, 6], [0x50, 0x4B, 6, 7], [0x50, 0x4B, 5, 6]]
        let tail = bytes.count - 200
        for at in tail..<bytes.count - 4 where structures.contains(Array(bytes[at..<at + 4])) {
            for field in at + 4..<min(at + 56, bytes.count - 8) {
                for value in [UInt64.max, UInt64(Int64.max), 1 << 63, UInt64(bytes.count), 0] {
                    var broken = bytes
                    broken.replaceSubrange(field..<field + 8, with: littleEndian(value))
                    _ = try faultOfLoading(broken)
                }
            }
        }
    }
}
