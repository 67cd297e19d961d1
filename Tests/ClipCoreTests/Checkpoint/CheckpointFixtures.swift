import ClipCore
import Foundation

/// Files made by Fixtures/checkpoint/make_fixtures.py.
enum CheckpointFixtures {
    static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/checkpoint")
    /// The model with the real vocabulary, in the repository's `Tests/Fixtures`.
    static let shared = folder.deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures")

    static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    static func json<T: Decodable>(_ type: T.Type, _ name: String) throws -> T {
        try JSONDecoder().decode(type, from: Data(bytes(name)))
    }
}

/// Writes bytes to a file that exists while `body` runs.
func withTemporaryFile<R>(_ bytes: [UInt8], _ body: (String) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory
        .appendingPathComponent("checkpoint-\(UUID().uuidString).pt").path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// The fault with which opening these bytes and loading both towers fails; nil when they load.
func faultOfLoading(_ bytes: [UInt8]) throws -> String? {
    try withTemporaryFile(bytes) { path in
        do throws(CheckpointError) {
            let checkpoint = try Checkpoint(path: path, activation: .quickGELU)
            _ = try ImageEncoder(checkpoint)
            _ = try TextEncoder(checkpoint)
            return nil
        } catch {
            return error.fault
        }
    }
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { [UInt8]($0) }
}

/// Writes zip archives, whole or with a chosen fault.
struct ZipWriter {
    struct Entry {
        var name: String
        var data: [UInt8]
        var method: UInt16 = 0
        var flags: UInt16 = 0
        var checksum: UInt32?
    }

    static func archive(_ entries: [Entry], comment: [UInt8] = [], count: UInt16? = nil) -> [UInt8]
    {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let name = Array(entry.name.utf8)
            let checksum = entry.checksum ?? entry.data.withUnsafeBytes { ZipArchive.checksum($0) }
            let common =
                littleEndian(UInt16(20)) + littleEndian(entry.flags) + littleEndian(entry.method)
                + littleEndian(UInt32(0)) + littleEndian(checksum)
                + littleEndian(UInt32(entry.data.count)) + littleEndian(UInt32(entry.data.count))
                + littleEndian(UInt16(name.count)) + littleEndian(UInt16(0))
            directory += littleEndian(UInt32(0x0201_4B50)) + littleEndian(UInt16(20)) + common
            directory += [UInt8](repeating: 0, count: 10) + littleEndian(UInt32(file.count)) + name
            file += littleEndian(UInt32(0x0403_4B50)) + common + name + entry.data
        }
        let start = file.count
        file += directory
        file += littleEndian(UInt32(0x0605_4B50)) + littleEndian(UInt32(0))
        file += littleEndian(count ?? UInt16(entries.count))
        file += littleEndian(count ?? UInt16(entries.count))
        file += littleEndian(UInt32(directory.count)) + littleEndian(UInt32(start))
        return file + littleEndian(UInt16(comment.count)) + comment
    }

    /// An archive as `torch.save` writes it, with this pickle and one storage of 64 zero bytes.
    static func torch(_ pickle: [UInt8]) -> [UInt8] {
        archive([
            Entry(name: "m/data.pkl", data: pickle),
            Entry(name: "m/data/0", data: [UInt8](repeating: 0, count: 64)),
        ])
    }
}

/// Writes the few opcodes that a state dict takes.
enum PickleWriter {
    static func text(_ text: String) -> [UInt8] {
        [UInt8(ascii: "X")] + littleEndian(UInt32(text.utf8.count)) + Array(text.utf8)
    }

    static func int(_ value: Int) -> [UInt8] { [0x8A, 8] + littleEndian(Int64(value)) }

    static func tuple(_ values: [Int]) -> [UInt8] {
        [UInt8(ascii: "(")] + values.flatMap(int) + [UInt8(ascii: "t")]
    }

    /// A tensor of fp32 elements in the storage "0".
    static func tensor(
        shape: [Int], strides: [Int], offset: Int = 0, storage: String = "FloatStorage",
        key: String = "0"
    ) -> [UInt8] {
        var out = Array("ctorch._utils\n_rebuild_tensor_v2\n((".utf8)
        out += text("storage") + Array("ctorch\n\(storage)\n".utf8) + text(key) + text("cpu")
        out += int(16) + Array("tQ".utf8)
        return out + int(offset) + tuple(shape) + tuple(strides) + [0x89] + Array("NtR".utf8)
    }

    static func dictionary(_ members: [(String, [UInt8])]) -> [UInt8] {
        [0x80, 2, UInt8(ascii: "}"), UInt8(ascii: "(")]
            + members.flatMap { text($0.0) + $0.1 } + Array("u.".utf8)
    }

    /// Tensors of zeros with these shapes, whatever they claim.
    static func zeros(_ shapes: [(String, [Int])]) -> [UInt8] {
        dictionary(
            shapes.map {
                ($0.0, tensor(shape: $0.1, strides: [Int](repeating: 0, count: $0.1.count)))
            })
    }
}

/// Tensor shapes of a CLIP model, by upstream's names.
func clipShapes(
    visionWidth: Int = 64, visionLayers: Int = 1, patch: Int = 8, grid: Int = 2,
    textWidth: Int = 64, textLayers: Int = 1, vocabulary: Int = 100, context: Int = 77,
    dimension: Int = 32
) -> [(String, [Int])] {
    func blocks(_ prefix: String, _ width: Int, _ layers: Int) -> [(String, [Int])] {
        (0..<layers).flatMap { layer in
            [
                ("ln_1.weight", [width]), ("ln_1.bias", [width]), ("ln_2.weight", [width]),
                ("ln_2.bias", [width]), ("attn.in_proj_weight", [3 * width, width]),
                ("attn.in_proj_bias", [3 * width]), ("attn.out_proj.weight", [width, width]),
                ("attn.out_proj.bias", [width]), ("mlp.c_fc.weight", [4 * width, width]),
                ("mlp.c_fc.bias", [4 * width]), ("mlp.c_proj.weight", [width, 4 * width]),
                ("mlp.c_proj.bias", [width]),
            ].map { ("\(prefix).resblocks.\(layer).\($0.0)", $0.1) }
        }
    }
    return [
        ("visual.conv1.weight", [visionWidth, 3, patch, patch]),
        ("visual.class_embedding", [visionWidth]),
        ("visual.positional_embedding", [grid * grid + 1, visionWidth]),
        ("visual.ln_pre.weight", [visionWidth]), ("visual.ln_pre.bias", [visionWidth]),
        ("visual.ln_post.weight", [visionWidth]), ("visual.ln_post.bias", [visionWidth]),
        ("visual.proj", [visionWidth, dimension]),
        ("positional_embedding", [context, textWidth]), ("logit_scale", []),
        ("token_embedding.weight", [vocabulary, textWidth]),
        ("ln_final.weight", [textWidth]), ("ln_final.bias", [textWidth]),
        ("text_projection", [textWidth, dimension]),
    ] + blocks("visual.transformer", visionWidth, visionLayers)
        + blocks("transformer", textWidth, textLayers)
}
