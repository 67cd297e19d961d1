import ClipCore
import S3Client

extension IngestPipeline {
    func encodePictures() throws {
        var gathered: EncodingBatch?
        var isFinished = false
        while !isFinished {
            switch fetched.pop(milliseconds: 200) {
            case .element(let picture):
                try take(picture, &gathered)
                room.update { $0 += picture.reserved }
                if let gathered, gathered.isFull { push(gathered.encode()) }
            case .nothingYet:
                if let gathered { push(gathered.encode()) }
            case .finished:
                // Pictures in hand are finished even when the run ends early.
                if let gathered { push(gathered.encode()) }
                isFinished = true
            }
        }
    }

    /// Decodes a picture: for a batch, or for what its row lacks.
    private func take(_ picture: Fetched, _ gathered: inout EncodingBatch?) throws {
        do {
            if picture.task != .embed, let row = try refreshed(picture) {
                state.update { $0.inHand -= 1 }
                found.push(IngestResults(pictures: [row]))
                return
            }
            let batch =
                try gathered
                ?? EncodingBatch(
                    try encoder.get(), capacity: options.batchSize, decoder: decoder,
                    previews: previews)
            gathered = batch
            try batch.add(picture.object, picture.bytes)
        } catch let error as ImageError {
            let start = picture.bytes.prefix(PictureFormat.prefixLength)
            refuse(
                picture.object, reason: "\(error)",
                format: error.unsupportedFormat ?? PictureFormat(prefix: start)?.rawValue,
                missingReader: error.missingReader)
        }
    }

    /// What the row of an unchanged picture lacks.
    /// - Returns: nil when the picture has to be embedded again.
    private func refreshed(_ picture: Fetched) throws -> IngestResults.Picture? {
        try picture.bytes.withUnsafeBytes { bytes in
            if case .decodeAgain(let former) = picture.task {
                guard let former = ImageDecoder.Rule(former),
                    try encoder.preprocessor.isSame(
                        encoded: bytes, decoder: decoder, under: former)
                else { return nil }
            }
            return IngestResults.Picture(
                object: picture.object, metadata: try decoder.metadata(bytes),
                preview: try previews?.thumbnail(of: bytes, decoder: uprightDecoder))
        }
    }

    private func push(_ pictures: [IngestResults.Picture]) {
        state.update { $0.progress.encoded += pictures.count }
        for picture in pictures {
            // PostgreSQL would refuse a vector that is not finite, with all rows of its batch; a
            // zero vector has no angle with anything.
            guard EmbeddingError.isDirection(picture.embedding ?? []) else {
                refuse(picture.object, reason: "\(EmbeddingError())")
                continue
            }
            state.update { $0.inHand -= 1 }
            guard found.push(IngestResults(pictures: [picture])) else { return }
        }
    }
}

/// Pictures that one thread gathers until it encodes them together.
private final class EncodingBatch {
    private let session: ImageEncoder.Session
    private let preprocessor: ImagePreprocessor
    /// Preprocessed pictures, `[capacity, 3, resolution, resolution]`.
    private let pixels: UnsafeMutableBufferPointer<Float>
    /// Floats of one picture.
    private let size: Int
    private let capacity: Int
    private let decoder: ImageDecoder
    private let previews: ThumbnailEncoder?
    private var pictures: [IngestResults.Picture] = []

    init(
        _ encoder: ImageEncoder, capacity: Int, decoder: ImageDecoder, previews: ThumbnailEncoder?
    ) {
        self.decoder = decoder
        self.previews = previews
        session = ImageEncoder.Session(encoder, capacity: capacity)
        preprocessor = ImagePreprocessor(encoder.configuration)
        size = encoder.pixelCount
        pixels = .allocate(capacity: capacity * encoder.pixelCount)
        self.capacity = capacity
    }

    deinit {
        pixels.deallocate()
    }

    var isFull: Bool { pictures.count == capacity }

    /// Decodes a picture file, once for the embedding and for the preview; when that throws, the batch is as before.
    func add(_ object: ObjectSummary, _ file: [UInt8]) throws {
        let start = pictures.count * size
        let target = UnsafeMutableBufferPointer(rebasing: pixels[start..<start + size])
        let picture = try file.withUnsafeBytes { bytes in
            // A preview is upright, whatever is embedded: only a picture that lies on its side and is
            // embedded so is decoded twice.
            let isUpright =
                try decoder.rule.orientation == .upright || decoder.metadata(bytes).orientation == 1
            let (metadata, preview) = try preprocessor.write(
                encoded: bytes, decoder: decoder, into: target,
                thumbnail: isUpright ? previews : nil)
            let upright = ImageDecoder(limits: decoder.limits)
            return IngestResults.Picture(
                object: object, metadata: metadata,
                preview: try preview ?? previews?.thumbnail(of: bytes, decoder: upright))
        }
        pictures.append(picture)
    }

    /// Embeds what was gathered and empties the batch.
    func encode() -> [IngestResults.Picture] {
        guard !pictures.isEmpty else { return [] }
        let batch = UnsafeBufferPointer(rebasing: pixels[..<(pictures.count * size)])
        let rows = zip(pictures, session.encode(batch)).map { picture, embedding in
            var picture = picture
            picture.embedding = embedding
            return picture
        }
        pictures.removeAll(keepingCapacity: true)
        return rows
    }
}
