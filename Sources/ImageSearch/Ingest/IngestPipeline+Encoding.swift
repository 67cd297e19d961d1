import ClipCore
import S3Client

extension IngestPipeline {
    func startEncoding() throws {
        for _ in 0..<(options.workers ?? WorkerThread.processorCount) {
            state.update { $0.workers += 1 }
            try WorkerThread.start { self.encode() }
        }
    }

    private func encode() {
        do {
            try encodePictures()
        } catch {
            stop(error, canStore: true)
        }
        if state.update({
            $0.workers -= 1
            return $0.workers == 0
        }) {
            found.finish()
        }
    }

    private func encodePictures() throws {
        var gathered: EncodingBatch?
        var isFinished = false
        while !isFinished {
            switch fetched.pop(milliseconds: 200) {
            case .element(let picture):
                let batch =
                    try gathered
                    ?? EncodingBatch(
                        try encoder.get(), capacity: options.batchSize, limits: options.limits)
                gathered = batch
                add(picture, to: batch)
                release(picture.reserved)
                if batch.isFull { push(batch.encode()) }
            case .nothingYet:
                if let gathered { push(gathered.encode()) }
            case .finished:
                // Pictures in hand are finished even when the run ends early.
                if let gathered { push(gathered.encode()) }
                isFinished = true
            }
        }
    }

    private func add(_ picture: Fetched, to batch: EncodingBatch) {
        do {
            try batch.add(picture.object, picture.bytes)
        } catch {
            refuse(picture.object, reason: "\(error)")
        }
    }

    private func push(_ pictures: [IngestResults.Picture]) {
        state.update { $0.progress.encoded += pictures.count }
        for picture in pictures {
            // PostgreSQL would refuse a vector that is not finite, with all rows of its batch; a
            // zero vector has no angle with anything.
            guard EmbeddingError.isDirection(picture.embedding) else {
                refuse(picture.object, reason: "\(EmbeddingError())")
                continue
            }
            leaveHand()
            guard found.push(.picture(picture)) else { return }
        }
    }
}
