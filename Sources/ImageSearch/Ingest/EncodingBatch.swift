import ClipCore
import S3Client

/// Pictures that one thread gathers until it encodes them together.
final class EncodingBatch {
    private let session: ImageEncoder.Session
    private let preprocessor: ImagePreprocessor
    /// Preprocessed pictures, `[capacity, 3, resolution, resolution]`.
    private let pixels: UnsafeMutableBufferPointer<Float>
    /// Floats of one picture.
    private let size: Int
    private let capacity: Int
    private let decoder: ImageDecoder
    private var objects: [ObjectSummary] = []

    init(_ encoder: ImageEncoder, capacity: Int, limits: ImageLimits = ImageLimits()) {
        decoder = ImageDecoder(limits: limits)
        session = ImageEncoder.Session(encoder, capacity: capacity)
        preprocessor = ImagePreprocessor(encoder.configuration)
        size = encoder.pixelCount
        pixels = .allocate(capacity: capacity * encoder.pixelCount)
        self.capacity = capacity
    }

    deinit {
        pixels.deallocate()
    }

    var isFull: Bool { objects.count == capacity }

    /// Decodes and preprocesses a picture file; when that throws, the batch is as before.
    func add(_ object: ObjectSummary, _ file: [UInt8]) throws {
        let start = objects.count * size
        let target = UnsafeMutableBufferPointer(rebasing: pixels[start..<start + size])
        _ = try file.withUnsafeBytes { bytes in
            try preprocessor.write(encoded: bytes, decoder: decoder, into: target)
        }
        objects.append(object)
    }

    /// Embeds what was gathered and empties the batch.
    func encode() -> [IngestResults.Picture] {
        guard !objects.isEmpty else { return [] }
        let batch = UnsafeBufferPointer(rebasing: pixels[..<(objects.count * size)])
        let rows = zip(objects, session.encode(batch)).map { object, embedding in
            IngestResults.Picture(object: object, embedding: embedding)
        }
        objects.removeAll(keepingCapacity: true)
        return rows
    }
}
