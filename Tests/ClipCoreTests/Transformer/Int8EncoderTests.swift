import ClipCore
import Foundation
import TestSupport
import Testing

/// The vision tower in int8 and int7 against upstream's answers and against itself in fp32.
@Suite struct Int8EncoderTests {
    @Test(arguments: ParityTests.models)
    func embeddingsAreNearlyUpstreams(_ file: String, _ answers: String) throws {
        let checkpoint = try Checkpoint(
            path: CheckpointFixtures.path(file), activation: .quickGELU)
        let expected = try CheckpointFixtures.json(ParityTests.Answers.self, answers)
        for (precision, bar) in [(Precision.int8, 0.9995), (.int7, 0.998)] {
            let encoder = try ImageEncoder(checkpoint, precision: precision)
            #expect(encoder.precision == precision)
            var lowest = 1.0
            var largest: Float = 0
            for batch in expected.images {
                let session = ImageEncoder.Session(encoder, capacity: batch.count)
                let input = ParityTests.pixels(
                    expected.seed + UInt64(batch.count), batch.count * encoder.pixelCount)
                let rows = input.withUnsafeBufferPointer { session.encode($0) }
                for (ours, theirs) in zip(rows, batch.embeddings) {
                    lowest = min(lowest, ParityTests.cosine(ours, theirs))
                    largest = max(largest, ParityTests.difference(ours, theirs))
                }
            }
            print("\(precision): \(file): 1 - cosine \(1 - lowest), largest difference \(largest)")
            #expect(lowest >= bar)
            // It is not fp32 under another name.
            #expect(largest > 1e-6)
        }
    }

    /// An embedding does not depend on the batch, or on the place in it. BLAS, which multiplies where there is
    /// no kernel of ours, rounds differently.
    @Test(
        .enabled(if: InstructionSet.inUse.hasFloatKernels),
        arguments: Precision.allCases)
    func embeddingsDoNotDependOnTheBatch(_ precision: Precision) throws {
        let samples = CheckpointFixtures.shared.deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("samples")
        let encoder = try ImageEncoder(
            Checkpoint(path: samples.appendingPathComponent("model/sample-clip.pt").path),
            precision: precision)
        let size = encoder.pixelCount
        let pixels = ParityTests.pixels(7, 11 * size)
        func embed(_ range: Range<Int>) -> [[Float]] {
            let session = ImageEncoder.Session(encoder, capacity: range.count)
            return pixels.withUnsafeBufferPointer {
                session.encode(
                    UnsafeBufferPointer(
                        rebasing: $0[range.lowerBound * size..<range.upperBound * size]))
            }
        }
        let alone = (0..<11).flatMap { embed($0..<$0 + 1) }
        #expect(alone == embed(0..<11))
        #expect(Array(alone[3..<8]) == embed(3..<8))
    }

    /// A trained model, whose features are as uneven as training makes them, on pictures it knows.
    @Test(arguments: [Precision.int8, .int7])
    func sampleModelKeepsItsNeighbours(_ precision: Precision) throws {
        let samples = CheckpointFixtures.shared.deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("samples")
        let checkpoint = try Checkpoint(
            path: samples.appendingPathComponent("model/sample-clip.pt").path)
        let pictures = try FileManager.default.contentsOfDirectory(
            at: samples.appendingPathComponent("pictures"), includingPropertiesForKeys: nil
        ).filter { $0.pathExtension == "jpg" }.sorted { $0.path < $1.path }.prefix(120)
        try #require(pictures.count == 120)

        let exact = try ImageEncoder(checkpoint)
        let quick = try ImageEncoder(checkpoint, precision: precision)
        let preprocessor = ImagePreprocessor(resolution: exact.configuration.imageResolution)
        let pixels = UnsafeMutableBufferPointer<Float>.allocate(
            capacity: pictures.count * exact.pixelCount)
        defer { pixels.deallocate() }
        for (index, picture) in pictures.enumerated() {
            let start = index * exact.pixelCount
            _ = try Data(contentsOf: picture).withUnsafeBytes {
                try preprocessor.write(
                    encoded: $0,
                    into: UnsafeMutableBufferPointer(
                        rebasing: pixels[start..<start + exact.pixelCount]))
            }
        }
        func embed(_ encoder: ImageEncoder) -> [[Float]] {
            ImageEncoder.Session(encoder, capacity: pictures.count).encode(
                UnsafeBufferPointer(pixels))
        }
        let (fp32, integers) = (embed(exact), embed(quick))
        let cosines = zip(fp32, integers).map { ParityTests.cosine($0, $1) }
        func nearest(_ index: Int, _ table: [[Float]]) -> Set<Int> {
            Set(
                table.indices.filter { $0 != index }
                    .map { ($0, ParityTests.cosine(table[index], table[$0])) }
                    .sorted { $0.1 > $1.1 }.prefix(10).map(\.0))
        }
        let shared = fp32.indices.map {
            nearest($0, fp32).intersection(nearest($0, integers)).count
        }
        let overlap = Double(shared.reduce(0, +)) / Double(10 * shared.count)
        let mean = cosines.reduce(0, +) / Double(cosines.count)
        print(
            "\(precision): sample model: worst cosine \(cosines.min()!), mean \(mean), overlap \(overlap)"
        )
        #expect(cosines.min()! >= 0.995)
        #expect(mean >= 0.999)
        #expect(overlap >= 0.95)
    }

    /// A picture's embedding does not depend on the pictures beside it, whatever the number of rows.
    @Test func batchesDoNotMix() throws {
        let encoder = try ImageEncoder(
            Checkpoint(path: CheckpointFixtures.path("state-dict.pt"), activation: .quickGELU),
            precision: .int8)
        let count = 17
        let input = ParityTests.pixels(9, count * encoder.pixelCount)
        let session = ImageEncoder.Session(encoder, capacity: count)
        let together = input.withUnsafeBufferPointer { session.encode($0) }
        for index in 0..<count {
            let one = Array(input[index * encoder.pixelCount..<(index + 1) * encoder.pixelCount])
            let alone = one.withUnsafeBufferPointer { session.encode($0)[0] }
            #expect(ParityTests.cosine(alone, together[index]) > 0.99999)
            #expect(abs(alone.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
        }
    }

    @Test func threadsAgree() async throws {
        let encoder = try ImageEncoder(
            Checkpoint(path: CheckpointFixtures.path("state-dict.pt"), activation: .quickGELU),
            precision: .int8)
        let input = ParityTests.pixels(11, 3 * encoder.pixelCount)
        @Sendable func work() -> [[Float]] {
            let session = ImageEncoder.Session(encoder, capacity: 3)
            return input.withUnsafeBufferPointer { session.encode($0) }
        }
        let expected = work()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        Thread.detachNewThread {
                            continuation.resume(
                                returning: (0..<5).allSatisfy { _ in work() == expected })
                        }
                    }
                }
            }
            for try await equal in group { #expect(equal) }
        }
    }

    /// A patch of 3 × 256 × 256 numbers has more products than 32 bits hold: that matrix stays in fp32.
    @Test func matricesTooWideForIntegersStayInFP32() throws {
        let file = ZipWriter.torch(PickleWriter.zeros(clipShapes(patch: 256)))
        try withTemporaryFile(file) { path in
            let encoder = try ImageEncoder(
                Checkpoint(path: path, activation: .quickGELU), precision: .int8)
            let session = ImageEncoder.Session(encoder, capacity: 1)
            let pixels = [Float](repeating: 1, count: encoder.pixelCount)
            let rows = pixels.withUnsafeBufferPointer { session.encode($0) }
            #expect(rows == [[Float](repeating: 0, count: 32)])
        }
    }

    /// Weights so large that activations overflow must not come out as a harmless embedding.
    @Test func overflowIsNotHidden() throws {
        let pickle = PickleWriter.zeros(clipShapes())
        let huge = (0..<16).flatMap { _ in littleEndian(Float(3e38).bitPattern) }
        let file = ZipWriter.archive([
            .init(name: "m/data.pkl", data: pickle), .init(name: "m/data/0", data: huge),
        ])
        try withTemporaryFile(file) { path in
            for precision in Precision.allCases {
                let encoder = try ImageEncoder(
                    Checkpoint(path: path, activation: .quickGELU), precision: precision)
                let session = ImageEncoder.Session(encoder, capacity: 1)
                let pixels = ParityTests.pixels(1, encoder.pixelCount)
                let embedding = pixels.withUnsafeBufferPointer { session.encode($0)[0] }
                #expect(embedding.contains { !$0.isFinite }, "\(precision)")
            }
        }
    }

    @Test func damagedWeightsAreRefused() throws {
        let bad = (0..<16).flatMap { _ in littleEndian(Float.nan.bitPattern) }
        let file = ZipWriter.archive([
            .init(name: "m/data.pkl", data: PickleWriter.zeros(clipShapes())),
            .init(name: "m/data/0", data: bad),
        ])
        try withTemporaryFile(file) { path in
            let checkpoint = try Checkpoint(path: path, activation: .quickGELU)
            let error = #expect(throws: CheckpointError.self) {
                try ImageEncoder(checkpoint, precision: .int8)
            }
            #expect(error?.fault.contains("not finite") == true)
        }
    }
}

@Suite struct OutlierTests {
    @Test func areFarBeyondTheMedian() {
        func found(_ changes: [Int: Float] = [:], bias: [Int: Float] = [:]) -> Bool {
            let weight = (0..<64).map { changes[$0] ?? 1 }
            return Outliers.areBehind(
                weight: weight, bias: (0..<64).map { bias[$0] ?? 0 }, width: 64)
        }
        #expect(!found())
        #expect(!found([3: 2.4, 9: -2.4]))
        #expect(found([40: -2.6]))
        #expect(found(bias: [9: -5]))
        #expect(!found(bias: [9: -4]))
        // Half of them cannot be outliers; none are where all is zero.
        #expect(!found(Dictionary(uniqueKeysWithValues: (0..<40).map { ($0, 100) })))
        #expect(!found(Dictionary(uniqueKeysWithValues: (0..<64).map { ($0, 0) })))
    }
}
