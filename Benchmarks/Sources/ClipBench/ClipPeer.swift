import ClipCore
import Foundation

/// ClipCore as the tools use it: a session for each thread, batches side by side.
struct ClipPeer: Peer {
    private final class Loaded: @unchecked Sendable {
        let imageEncoder: ImageEncoder
        let textEncoder: TextEncoder
        let tokenizer = ClipTokenizer()
        let preprocessor: ImagePreprocessor
        let cores: Int
        let files: [[UInt8]]
        /// `[2 × files, 3, resolution, resolution]`: twice the same, so that a batch that goes beyond
        /// the last picture is one piece of memory too.
        let tensors: [Float]
        var configuration: Configuration
        /// One a lane.
        var sessions: [ImageEncoder.Session] = []
        /// Room for a batch of preprocessed pictures, one a lane.
        var pixels: [UnsafeMutableBufferPointer<Float>] = []

        init(_ load: Load, _ precision: Precision) throws {
            let checkpoint = try Checkpoint(path: load.model)
            imageEncoder = try ImageEncoder(checkpoint, precision: precision)
            textEncoder = try TextEncoder(checkpoint, threads: load.cores)
            preprocessor = ImagePreprocessor(checkpoint.configuration)
            cores = load.cores
            files = try load.photos.map { [UInt8](try Data(contentsOf: URL(filePath: $0))) }
            let once = try readFloats(load.tensors)
            tensors = once + once
            guard once.count == files.count * imageEncoder.pixelCount else {
                throw Unsupported(description: "\(load.tensors) does not fit the photos")
            }
            configuration = Configuration(lanes: cores, batch: 16)
            configure(configuration)
        }

        func configure(_ wanted: Configuration) {
            configuration = Configuration(
                lanes: wanted.lanes, batch: min(wanted.batch, files.count))
            for batch in pixels { batch.deallocate() }
            sessions = (0..<configuration.lanes).map { _ in
                ImageEncoder.Session(imageEncoder, capacity: configuration.batch)
            }
            pixels = (0..<configuration.lanes).map { _ in
                .allocate(capacity: configuration.batch * imageEncoder.pixelCount)
            }
        }
    }

    private let precision: Precision
    private var loaded: Loaded!

    init(_ precision: Precision) { self.precision = precision }

    mutating func load(_ load: Load) throws -> Reply {
        loaded = try Loaded(load, precision)
        return Reply(
            name: "this project, \(precision.rawValue)",
            version: "\(Build.version), kernels for \(InstructionSet.inUse.rawValue)",
            // The rest is the same in both precisions.
            measures: ["tensors", "files"] + (precision == .fp32 ? ["preprocessing", "text"] : []),
            configurations: Configuration.candidates(load))
    }

    func configure(_ configuration: Configuration) { loaded.configure(configuration) }

    func embed(_ source: Source, count: Int) throws -> [[Float]] {
        let capacity = loaded.configuration.batch
        return try stride(from: 0, to: count, by: capacity).flatMap { start in
            try encode(source, start..<min(start + capacity, count), lane: 0)
        }
    }

    func embed(texts: [String]) throws -> [[Float]] {
        try texts.map(embed)
    }

    func measure(_ source: Source, count: Int) throws -> Double {
        if source == .preprocessing {
            return try seconds {
                for index in 0..<count { try preprocess(index, lane: 0, slot: 0) }
            }
        }
        let configuration = loaded.configuration
        return try seconds {
            try Lanes.run(configuration.lanes, count: count, batch: configuration.batch) {
                [self] lane, elements in
                _ = try encode(source, elements, lane: lane)
            }
        }
    }

    func measure(text: String, repeats: Int) throws -> [Double] {
        try (0..<repeats).map { _ in try seconds { _ = try embed(text) } }
    }

    private func embed(_ text: String) throws -> [Float] {
        let tokens = loaded.tokenizer.encode(
            text, contextLength: loaded.textEncoder.configuration.contextLength)
        return try loaded.textEncoder.encode(tokens.ids)
    }

    private func encode(
        _ source: Source, _ elements: Range<Int>, lane: Int
    ) throws -> [[Float]] {
        let size = loaded.imageEncoder.pixelCount
        if source == .tensors {
            let start = elements.lowerBound % loaded.files.count
            return loaded.tensors.withUnsafeBufferPointer { tensors in
                loaded.sessions[lane].encode(
                    UnsafeBufferPointer(
                        rebasing: tensors[start * size..<(start + elements.count) * size]))
            }
        }
        for (slot, index) in elements.enumerated() {
            try preprocess(index, lane: lane, slot: slot)
        }
        return loaded.sessions[lane].encode(
            UnsafeBufferPointer(
                rebasing: loaded.pixels[lane][..<(elements.count * size)]))
    }

    /// Decodes and preprocesses a picture into a slot of the lane's batch.
    private func preprocess(_ index: Int, lane: Int, slot: Int) throws {
        let size = loaded.imageEncoder.pixelCount
        let target = UnsafeMutableBufferPointer(
            rebasing: loaded.pixels[lane][slot * size..<(slot + 1) * size])
        _ = try loaded.files[index % loaded.files.count].withUnsafeBytes { file in
            try loaded.preprocessor.write(encoded: file, into: target)
        }
    }
}

/// A file of fp32 numbers in this machine's order.
func readFloats(_ path: String) throws -> [Float] {
    let data = try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
    return [Float](unsafeUninitializedCapacity: data.count / 4) { floats, count in
        _ = data.copyBytes(to: floats)
        count = data.count / 4
    }
}
