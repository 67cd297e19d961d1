import ClipCore

/// Pictures that one thread gathers until it encodes them together.
final class EncodingBatch {
    private let session: ImageEncoder.Session
    private let preprocessor: ImagePreprocessor
    /// Preprocessed pictures, `[capacity, 3, resolution, resolution]`.
    private let pixels: UnsafeMutableBufferPointer<Float>
    /// Floats of one picture.
    private let size: Int
    private let capacity: Int
    private var keys: [String] = []

    init(_ encoder: ImageEncoder, capacity: Int) {
        session = ImageEncoder.Session(encoder, capacity: capacity)
        preprocessor = ImagePreprocessor(resolution: encoder.configuration.imageResolution)
        size = encoder.pixelCount
        pixels = .allocate(capacity: capacity * encoder.pixelCount)
        self.capacity = capacity
    }

    deinit {
        pixels.deallocate()
    }

    var isFull: Bool { keys.count == capacity }

    /// Decodes and preprocesses a picture file; when that throws, the batch is as before.
    func add(_ key: String, _ file: [UInt8]) throws {
        let start = keys.count * size
        let target = UnsafeMutableBufferPointer(rebasing: pixels[start..<start + size])
        try file.withUnsafeBytes { bytes in
            try preprocessor.write(encoded: bytes, into: target)
        }
        keys.append(key)
    }

    /// Embeds what was gathered and begins anew.
    func encode() -> [PicturesTable.Row] {
        guard !keys.isEmpty else { return [] }
        let batch = UnsafeBufferPointer(rebasing: pixels[..<(keys.count * size)])
        let rows = zip(keys, session.encode(batch)).map { key, embedding in
            PicturesTable.Row(key: key, embedding: embedding)
        }
        keys.removeAll(keepingCapacity: true)
        return rows
    }
}
