import PGClient
import S3Client

extension IngestPipeline {
    /// Findings that are stored at once, and how long they may wait for company: what is not stored
    /// when a process dies has to be done again.
    static let rowsAtOnce = 256
    private static let longestWait = Duration.milliseconds(500)

    func startStoring() throws {
        try WorkerThread.start { [self] in
            do {
                try storeFindings()
                if options.replacesModel { try finishReplacement() }
            } catch {
                stop(error, canStore: false)
            }
            // The database may be away now; the claims end with this process in any case.
            state.update { $0.isOver = true }
            worker.dismiss()
            state.update { $0.isFinished = true }
        }
    }

    private func storeFindings() throws {
        let clock = ContinuousClock()
        var findings = Findings()
        var oldest = clock.now
        var isFinished = false
        while !isFinished {
            switch found.pop(milliseconds: 100) {
            case .element(let finding):
                if findings.count == 0 { oldest = clock.now }
                switch finding {
                case .picture(let picture): findings.pictures.append(picture)
                case .refusal(let refusal): findings.refusals.append(refusal)
                case .failure(let key): findings.failures.append(key)
                }
            case .nothingYet: break
            case .finished: isFinished = true
            }
            let isDue = isFinished || clock.now - oldest > Self.longestWait
            if isDue || findings.count >= Self.rowsAtOnce {
                try store(findings)
                findings = Findings()
            }
        }
    }

    private func store(_ findings: Findings) throws {
        // A listing never holds a key twice, but a hostile store may do what it likes: of equal keys,
        // by bytes, the last counts.
        var last: [[UInt8]: Findings.Picture] = [:]
        for picture in findings.pictures { last[Array(picture.object.key.utf8)] = picture }
        state.update { $0.progress.stored += findings.pictures.count - last.count }
        var rest = findings
        rest.pictures = []
        try save(rest)
        try halving(Array(last.values)) { pictures in
            try save(Findings(pictures: pictures))
        } failed: { picture, error in
            tell(picture.object.key, error.message, isDoubtful: false)
            try save(Findings(failures: [picture.object.key]))
        }
    }

    private func save(_ findings: Findings) throws {
        guard findings.count > 0 else { return }
        let left = try storing.run {
            try $0.store(findings, worker: worker.id, model: model, rules: rules)
        }
        state.update { state in
            state.progress.stored += findings.pictures.count - left
            state.progress.elsewhere += left
        }
    }

    /// Lets the new table take the place of the old one when it is complete.
    private func finishReplacement() throws {
        let (progress, doubtful, error) = state.read { ($0.progress, $0.doubtful, $0.error) }
        guard progress.isListingComplete, error == nil else { return }
        guard doubtful == 0 else {
            note(
                "the former model's embeddings stay in use, because the store did not give \(doubtful) pictures: run process-images --replace-model again"
            )
            return
        }
        let hasReplaced = try storing.run { table in
            try table.finishReplacement(model: model, worker: worker.id)
        }
        state.update { $0.progress.hasReplacedModel = hasReplaced }
    }
}
