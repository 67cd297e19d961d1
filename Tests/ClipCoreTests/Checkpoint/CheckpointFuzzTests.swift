import ClipCore
import Foundation
import TestSupport
import Testing

/// Seeded damage to every small fixture: each file loads, or gives one sentence that names it.
@Suite struct CheckpointFuzzTests {
    private struct Subject {
        let name: String
        let bytes: [UInt8]
        /// The pickle, and where the directory keeps its checksum; nil for safetensors.
        var pickle: (range: Range<Int>, checksum: Int)?

        init(_ name: String) throws {
            self.name = name
            bytes = try CheckpointFixtures.bytes(name)
            guard name.hasSuffix(".pt") else { return }
            let range: Range<Int> = try bytes.withUnsafeBytes { raw in
                let zip = try ZipArchive(raw)
                let key = try #require(zip.entries.keys.first { $0.hasSuffix("/data.pkl") })
                return try zip.range(of: try #require(zip.entries[key]))
            }
            let sum = littleEndian(bytes[range].withUnsafeBytes { ZipArchive.checksum($0) })
            // The last one that is followed by central header fields: search from the end.
            let at = try #require(
                stride(from: bytes.count - 4, to: range.upperBound, by: -1).first {
                    bytes[$0] == sum[0] && Array(bytes[$0..<$0 + 4]) == sum
                })
            pickle = (range, at)
        }

        /// Bytes where structures are: header or pickle, and the directory at the end.
        var structures: [Range<Int>] {
            let end = max(0, bytes.count - 2_000)..<bytes.count
            return [0..<min(400, bytes.count), end, pickle?.range ?? 0..<min(3_000, bytes.count)]
        }
    }

    private func mutate(_ subject: Subject, _ other: Subject, _ random: inout SplitMix) -> [UInt8] {
        var bytes = subject.bytes
        let extremes: [UInt64] = [
            0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
            UInt64(bytes.count), UInt64(Int64.max), 1 << 63, UInt64.max,
        ]
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let within =
                Int.random(in: 0..<10, using: &random) == 0
                ? 0..<bytes.count : subject.structures.randomElement(using: &random)!
            let range = within.clamped(to: 0..<bytes.count)
            guard range.count > 16 else { continue }
            let at = Int.random(in: range.lowerBound..<range.upperBound - 8, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0, 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 3:
                let length = [1, 2, 4, 8].randomElement(using: &random)!
                let value = littleEndian(extremes.randomElement(using: &random)!)
                bytes.replaceSubrange(at..<at + length, with: value.prefix(length))
            case 4:
                let length = Int.random(in: 1...min(64, bytes.count - at), using: &random)
                let byte = UInt8.random(in: 0...255, using: &random)
                for index in at..<at + length { bytes[index] = byte }
            case 5:
                let from = Int.random(in: 0..<other.bytes.count - 64, using: &random)
                let length = Int.random(in: 1...min(64, bytes.count - at), using: &random)
                bytes.replaceSubrange(at..<at + length, with: other.bytes[from..<from + length])
            case 6:
                let pickle = "}]()2N.0asutlde\u{85}Rbq\u{0}h\u{0}QK\u{1}"
                bytes[at] = UInt8(pickle.unicodeScalars.randomElement(using: &random)!.value)
            default:
                // Truncation now and then, else a few bytes put in or taken out.
                if Int.random(in: 0..<4, using: &random) == 0 {
                    bytes.removeLast(Int.random(in: 0..<bytes.count - at, using: &random))
                } else if Bool.random(using: &random) {
                    bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
                } else {
                    bytes.remove(at: at)
                }
            }
        }
        // A pickle whose checksum is wrong is not run, so most get the right one.
        if let (range, checksum) = subject.pickle, bytes.count == subject.bytes.count,
            Int.random(in: 0..<8, using: &random) != 0
        {
            let sum = bytes[range].withUnsafeBytes { ZipArchive.checksum($0) }
            bytes.replaceSubrange(checksum..<checksum + 4, with: littleEndian(sum))
        }
        return bytes
    }

    @Test(.timeLimit(.minutes(5))) func damagedFilesLoadOrGiveOneSentence() throws {
        // CLIP_FUZZ_COUNT and CLIP_FUZZ_SEED ask for longer or other runs by hand.
        let environment = ProcessInfo.processInfo.environment
        let count = environment["CLIP_FUZZ_COUNT"].flatMap(Int.init) ?? 10_000
        var random = SplitMix(state: environment["CLIP_FUZZ_SEED"].flatMap(UInt64.init) ?? 1)
        let subjects = try [
            "training.pt", "protocol4.pt", "module.pt", "cuda.pt", "zip64.pt", "tensors.pt",
            "state-dict.pt", "resnet.pt",
            "openclip.safetensors", "torchscript.pt",
        ].map { try Subject($0) }
        // In memory where the system has such a folder: ten thousand files take the disk long.
        let memory = URL(fileURLWithPath: "/dev/shm")
        let folder =
            FileManager.default.isWritableFile(atPath: memory.path)
            ? memory : FileManager.default.temporaryDirectory
        let path = folder.appendingPathComponent("fuzz-\(UUID().uuidString).pt").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        var (opened, loaded) = (0, 0)
        for number in 0..<count {
            // The two large files, less often than the others.
            let large = Int.random(in: 0..<20, using: &random) == 0
            let subject =
                large
                ? subjects.suffix(2).randomElement(using: &random)!
                : subjects.dropLast(2).randomElement(using: &random)!
            let bytes = mutate(subject, subjects.randomElement(using: &random)!, &random)
            let file = try #require(fopen(path, "w"))
            fwrite(bytes, 1, bytes.count, file)
            fclose(file)
            do throws(CheckpointError) {
                let checkpoint = try Checkpoint(path: path, activation: .quickGELU)
                opened += 1
                _ = try ImageEncoder(checkpoint)
                let text = try TextEncoder(checkpoint)
                loaded += 1
                _ = try text.encode([1, 5, 2])
            } catch {
                let said = error.description
                #expect(
                    said.hasPrefix("\(path): ") && said.count > path.count + 12
                        && said.unicodeScalars.allSatisfy {
                            $0.value >= 32 && !$0.properties.isWhitespace || $0 == " "
                        },
                    "\(subject.name), mutation \(number): \(said)")
            }
        }
        print("fuzz: \(count) files, \(opened) opened, \(loaded) loaded")
        // Both outcomes must occur, or the damage is too coarse or too fine to test anything.
        #expect(opened > 0 && loaded > 0 && opened < count)
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        #expect(usage.ru_maxrss < 3 << 20, "\(usage.ru_maxrss) KiB")
    }
}
