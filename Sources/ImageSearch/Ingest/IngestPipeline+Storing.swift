import PGClient
import S3Client

extension IngestPipeline {
    /// Results that are stored at once, and how long they may wait for others: what is not stored when
    /// a process dies has to be done again.
    static let rowsAtOnce = 256
    private static let longestWait = Duration.milliseconds(500)

    /// Stores everything and ends the run.
    func storeAll() {
        do {
            try storeResults()
            if options.replacesModel { try finishReplacement() }
        } catch {
            stop(error, canStore: false)
        }
        // The database may be away now; the leases end in any case.
        state.update { $0.isOver = true }
        worker.stop()
        state.update { $0.isFinished = true }
    }

    private func storeResults() throws {
        let clock = ContinuousClock()
        var results = IngestResults()
        var oldest = clock.now
        var isFinished = false
        while !isFinished {
            switch found.pop(milliseconds: 100) {
            case .element(let new):
                if results.count == 0 { oldest = clock.now }
                results.pictures += new.pictures
                results.refusals += new.refusals
                results.failures += new.failures
            case .nothingYet: break
            case .finished: isFinished = true
            }
            let isDue = isFinished || clock.now - oldest > Self.longestWait
            if isDue || results.count >= Self.rowsAtOnce {
                try store(results)
                results = IngestResults()
            }
        }
    }

    private func store(_ results: IngestResults) throws {
        // A listing must not hold a key twice, but a broken store may: of equal keys, by bytes, the last counts.
        var last: [[UInt8]: IngestResults.Picture] = [:]
        for picture in results.pictures { last[Array(picture.object.key.utf8)] = picture }
        state.update { $0.progress.stored += results.pictures.count - last.count }
        var rest = results
        rest.pictures = []
        try save(rest)
        try halving(Array(last.values)) { pictures in
            try save(IngestResults(pictures: pictures))
        } failed: { picture, error in
            tell(IngestFailure(key: picture.object.key, reason: error.message))
            try save(IngestResults(failures: [picture.object.key]))
        }
    }

    private func save(_ results: IngestResults) throws {
        guard results.count > 0 else { return }
        try storing.run {
            try $0.store(
                results, owner: worker.owner, model: model, rules: rules,
                decoding: decoder.rule.description)
        }
        let stored = results.pictures.count { $0.embedding != nil }
        state.update { state in
            state.progress.stored += stored
            state.progress.refreshed += results.pictures.count - stored
        }
    }

    /// Lets the new model take the place of the former one when every picture is embedded.
    private func finishReplacement() throws {
        let (progress, doubtful, error) = state.read { ($0.progress, $0.doubtful, $0.error) }
        guard progress.isListingComplete, error == nil else { return }
        guard doubtful == 0 else {
            budget.note(
                "the former model stays in use, because the store did not give \(doubtful) pictures: run process-images --replace-model again"
            )
            return
        }
        let outcome = try storing.run { table in
            try table.finishReplacement(
                model: model, owner: worker.owner, since: worker.startTime)
        }
        state.update { state in
            state.progress.hasReplacedModel = outcome == .switched
            if case .missing(let rows) = outcome { state.progress.missing = rows }
        }
    }
}
