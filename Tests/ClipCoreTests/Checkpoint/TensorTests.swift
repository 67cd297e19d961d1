import ClipCore
import Foundation
import Testing

/// Dtypes, strides and offsets against torch's own values, and layouts that reach too far.
@Suite struct TensorTests {
    struct Expected: Decodable {
        let shape: [Int]
        let bits: [UInt32]
    }

    private func read(_ tensor: Tensor) throws -> [Float] {
        try [Float](unsafeUninitializedCapacity: tensor.count) { buffer, count in
            count = tensor.count
            try tensor.copy(to: UnsafeMutableBufferPointer(rebasing: buffer[0..<count]))
        }
    }

    @Test func everyElementEqualsTorchs() throws {
        let checkpoint = try Checkpoint(
            path: CheckpointFixtures.path("tensors.pt"), activation: .quickGELU)
        let expected = try CheckpointFixtures.json([String: Expected].self, "tensors.json")
        #expect(expected.count == 22)
        for (name, torch) in expected {
            let tensor = try checkpoint.tensor(name, shape: torch.shape)
            #expect(try read(tensor).map(\.bitPattern) == torch.bits, "\(name)")
        }
    }

    /// A row of a matrix is the same as its part of the whole.
    @Test(arguments: [
        "optimizer.matrix", "optimizer.half_strided", "optimizer.sliding", "optimizer.repeated",
    ])
    func rowsAreThoseOfTheWhole(_ name: String) throws {
        let checkpoint = try Checkpoint(
            path: CheckpointFixtures.path("tensors.pt"), activation: .quickGELU)
        let shape = try #require(checkpoint.tensor(name)?.shape)
        let tensor = try checkpoint.tensor(name, shape: shape)
        let whole = try read(tensor)
        for row in 0..<shape[0] {
            var part = [Float](repeating: 0, count: shape[1])
            let checked = row.isMultiple(of: 2)
            try part.withUnsafeMutableBufferPointer {
                try tensor.copyRow(row, to: $0, checked: checked)
            }
            #expect(part == Array(whole[row * shape[1]..<(row + 1) * shape[1]]))
        }
    }

    @Test func missingAndMisshapenTensorsAreNamed() throws {
        let path = CheckpointFixtures.path("tensors.pt")
        let checkpoint = try Checkpoint(path: path, activation: .quickGELU)
        #expect(throws: CheckpointError(file: path, fault: "has no tensor \"nope\"")) {
            try checkpoint.tensor("nope", shape: [1])
        }
        #expect(
            throws: CheckpointError(
                file: path,
                fault: "the tensor \"optimizer.matrix\" has the shape [10, 6], expected [6]"
            )
        ) { try checkpoint.tensor("optimizer.matrix", shape: [6]) }
    }

    /// Half of a storage of 64 bytes from offset 8 on: 14 fp32 elements.
    @Test(arguments: [
        ([14], [1], 2, true), ([15], [1], 2, false), ([2, 7], [7, 1], 2, true),
        ([2, 8], [7, 1], 2, false), ([5], [3], 4, false), ([5], [3], 1, true),
        ([1], [Int.max], 15, true), ([2], [Int.max], 0, false), ([1], [1], 16, false),
        ([0], [1], 0, true), ([0, Int.max], [1, 1], 0, true),
        ([Int.max, Int.max], [0, 0], 0, false), ([1 << 32, 1 << 32], [0, 0], 0, false),
        ([-1], [1], 0, false), ([1], [-1], 0, false), ([1], [1], -1, false),
        ([1], [1], Int.max, false), ([], [], 15, true), ([], [], 16, false),
        ([2, 2], [1], 0, false), ([3, 3], [Int.max / 2, Int.max / 2], 0, false),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1], 0, false),
    ])
    func layoutsStayWithinTheirStorage(
        _ shape: [Int], _ strides: [Int], _ offset: Int, _ valid: Bool
    ) throws {
        let layout = try? TensorLayout(
            type: .float32, shape: shape, strides: strides, offset: offset, storage: 100..<164)
        #expect((layout != nil) == valid)
        if let layout {
            #expect(layout.storage.lowerBound >= 100 && layout.storage.upperBound == 164)
            _ = layout.isContiguous
        }
    }

    @Test func stridesOfEmptyTensorsDoNotOverflow() throws {
        let shape = [0, 1 << 40, 1 << 40]
        let strides = TensorLayout.contiguousStrides(shape)
        let layout = try? TensorLayout(
            type: .int8, shape: shape, strides: strides, offset: 0, storage: 0..<1)
        #expect(layout?.isContiguous != false)
    }

    /// Files that claim much and hold little.
    @Test func hostileTensorsAreRefused() throws {
        typealias W = PickleWriter
        func fault(_ members: [(String, [UInt8])]) throws -> String {
            try faultOfLoading(ZipWriter.torch(W.dictionary(members))) ?? "loads"
        }
        #expect(try fault([("a", W.tensor(shape: [17], strides: [1]))]).contains("reaches outside"))
        #expect(
            try fault([("a", W.tensor(shape: [1], strides: [1], storage: "QInt8Storage"))])
                .contains("unsupported type"))
        #expect(
            try fault([("a", W.tensor(shape: [1], strides: [1], key: "../0"))]).contains("missing"))
        let broken = Array("ctorch._utils\n_rebuild_tensor_v2\nNR".utf8)
        #expect(try fault([("a", broken)]).contains("\"a\" is damaged"))

        // A kilobyte of names for 800 GB of weights, with and without the tensors themselves.
        let wide = clipShapes(
            visionWidth: 1024, visionLayers: 64, textWidth: 2048, textLayers: 64)
        #expect(
            try faultOfLoading(ZipWriter.torch(W.zeros(wide)))?.contains("more elements") == true)
        let hollow =
            clipShapes(visionWidth: 1024).filter { !$0.0.contains("resblocks") }
            + (0..<256).flatMap {
                [
                    ("visual.transformer.resblocks.\($0).x", [1]),
                    ("transformer.resblocks.\($0).x", [1]),
                ]
            }
        #expect(
            try faultOfLoading(ZipWriter.torch(W.zeros(hollow)))?.contains("has no tensor") == true)
    }

    @Test func weightsThatAreNotFiniteAreRefused() throws {
        var bytes = try CheckpointFixtures.bytes("openclip.safetensors")
        bytes.replaceSubrange(
            bytes.count - 400..<bytes.count, with: [UInt8](repeating: 0xFF, count: 400))
        #expect(try faultOfLoading(bytes)?.contains("not finite") == true)
    }

    @Test func aLaterMemberReplacesAnEarlier() throws {
        typealias W = PickleWriter
        let shapes = clipShapes().map {
            ($0.0, W.tensor(shape: $0.1, strides: $0.1.map { _ in 0 }))
        }
        let double = [("visual.proj", W.tensor(shape: [1], strides: [1]))] + shapes
        #expect(try faultOfLoading(ZipWriter.torch(W.dictionary(double))) == nil)
    }

    @Test(arguments: [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "visual.conv1.weight"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, "is damaged"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "is damaged"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}"#, "is damaged"),
        (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, "is damaged"),
        (
            #"{"a":{"dtype":"F32","shape":[9223372036854775807,3],"data_offsets":[0,8]}}"#,
            "is damaged"
        ),
        (#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#, "unsupported type"),
        (#"{"a":{"dtype":"F32","shape":[2]}}"#, "header is damaged"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"dtype":"F16"}}"#,
            "header is damaged"
        ),
        (#"{"a":"#, "header is damaged"), (#"{"a":3}"#, "header is damaged"),
        (#"{"a":{"dtype":"F32","shape":[1e99],"data_offsets":[0,8]}}"#, "header is damaged"),
    ])
    func safetensorsHeaders(_ header: String, _ reason: String) throws {
        let file =
            littleEndian(UInt64(header.utf8.count)) + Array(header.utf8)
            + [UInt8](repeating: 0, count: 8)
        #expect(try faultOfLoading(file)?.contains(reason) == true)
    }

    @Test func safetensorsHeadersAreBounded() throws {
        let deep = "{" + String(repeating: "\"a\":{", count: 500_000)
        for length in [UInt64.max, 1 << 63, 1 << 40, 5 << 20, 3_000_000] {
            #expect(try faultOfLoading(littleEndian(length) + Array(deep.utf8)) != nil)
        }
        #expect(try faultOfLoading(littleEndian(UInt64(deep.utf8.count)) + Array(deep.utf8)) != nil)
    }
}
