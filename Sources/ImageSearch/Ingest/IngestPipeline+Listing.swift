import PGClient
import S3Client

/// Listing the bucket, comparing it with the table, and claiming what is to be done.
extension IngestPipeline {
    private struct Stopped: Error {}

    /// Pictures that are claimed and not yet encoded, at most: enough to keep every thread busy, and
    /// few enough that several machines finish at about the same time.
    private var handful: Int {
        let workers = options.workers ?? WorkerThread.processorCount
        return 2 * workers * options.batchSize + 2 * options.fetchers
    }

    func startListing() throws {
        try WorkerThread.start { [self] in
            do {
                try list()
                state.update { $0.progress.isListingComplete = true }
            } catch is Stopped {
            } catch {
                stop(error, canStore: true)
            }
            candidates.finish()
        }
        try WorkerThread.start { [self] in
            do {
                try claimCandidates()
                try takeOverWhatIsLeft()
            } catch is Stopped {
            } catch {
                stop(error, canStore: true)
            }
            claimed.finish()
        }
    }

    // MARK: Listing

    /// Lists everything; after a loss of the store from the last key on.
    private func list() throws {
        var last: String?
        var loss = Loss()
        while true {
            do {
                try store.list(prefix: "", after: last) { page in
                    try take(page)
                    last = page.last?.key ?? last
                    if loss.failures > 0 { note("the store is back") }
                    loss = Loss()
                }
                return
            } catch let error as S3Error {
                // Before the first page a wrong address is more likely than a store that comes back.
                guard error.isWorthWaiting, last != nil || loss.failures > 0,
                    loss.bear(patience, "\(error) Trying again.")
                else { throw error }
            }
        }
    }

    /// Sorts a page out: what is unchanged, refused or no picture needs nothing more.
    private func take(_ page: [ObjectSummary]) throws {
        state.update { $0.progress.listed += page.count }
        var objects: [ObjectSummary] = []
        for object in page {
            if ObjectFilter.isSkippable(object) {
                state.update { $0.progress.skipped += 1 }
            } else if object.key.utf8.contains(0) {
                tell(object.key, "\(KeyError.nul)", isDoubtful: false)
            } else {
                objects.append(object)
            }
        }
        try halving(objects) { objects in
            for (object, known) in zip(objects, try compare(objects)) {
                guard !settle(object, known) else { continue }
                guard candidates.push(object) else { throw Stopped() }
            }
        } failed: { object, error in
            tell(object.key, error.message, isDoubtful: false)
        }
    }

    private func compare(_ objects: [ObjectSummary]) throws -> [KnownObject] {
        try worker.table.run { table in
            let target = try table.filledTable(model: model)
            return try table.compare(objects, in: target, model: model, rules: rules)
        }
    }

    /// Counts an object that needs nothing more.
    /// - Returns: false for one that does.
    private func settle(_ object: ObjectSummary, _ known: KnownObject) -> Bool {
        switch known {
        case .changed: return false
        case .unchanged: state.update { $0.progress.unchanged += 1 }
        case .noPicture: state.update { $0.progress.skipped += 1 }
        case .refused(let reason): tell(object.key, reason, isDoubtful: false)
        }
        return true
    }

    // MARK: Claiming

    private func claimCandidates() throws {
        var objects: [ObjectSummary] = []
        let atOnce = max(16, handful / 4)
        var isFinished = false
        while !isFinished {
            switch candidates.pop(milliseconds: 100) {
            case .element(let object):
                objects.append(object)
                if objects.count < atOnce { continue }
            case .nothingYet: break
            case .finished: isFinished = true
            }
            guard !objects.isEmpty else { continue }
            try waitForRoom()
            try halving(objects) { objects in
                let mine = try worker.table.run {
                    try $0.claim(objects, worker: worker.id, model: model)
                }
                let others = mine.count { !$0 }
                state.update { $0.progress.elsewhere += others }
                try proceed(zip(objects, mine).filter(\.1).map(\.0))
            } failed: { object, error in
                tell(object.key, error.message, isDoubtful: false)
            }
            objects = []
        }
    }

    /// Waits until some of what is in hand is through.
    private func waitForRoom() throws {
        while true {
            let hasRoom = state.wait(milliseconds: 200) { $0.inHand < handful ? true : nil }
            if hasRoom == true { return }
            if state.read({ $0.error != nil }) { throw Stopped() }
        }
    }

    /// Sends claimed objects on their way, but for those that another worker has done since they were
    /// compared: with the claim, that is known for certain.
    private func proceed(_ objects: [ObjectSummary]) throws {
        guard !objects.isEmpty else { return }
        let known = try compare(objects)
        var settled: [String] = []
        var rest: [ObjectSummary] = []
        for (object, known) in zip(objects, known) {
            switch known {
            case .changed: rest.append(object)
            case .unchanged:
                state.update { $0.progress.elsewhere += 1 }
                settled.append(object.key)
            case .noPicture, .refused:
                _ = settle(object, known)
                settled.append(object.key)
            }
        }
        try worker.table.run { try $0.release(settled, worker: worker.id, model: model) }
        if !rest.isEmpty { try prepareEncoder() }
        for object in rest {
            state.update { $0.inHand += 1 }
            guard claimed.push(object) else { throw Stopped() }
        }
    }

    /// Lets the weights be converted while the first pictures are fetched.
    private func prepareEncoder() throws {
        guard
            !isEncoderWanted.update({ wanted in
                defer { wanted = true }
                return wanted
            })
        else { return }
        try WorkerThread.start { [encoder] in _ = try? encoder.get() }
    }

    // MARK: Taking over

    /// Sees to it that what other workers had in hand when this one came to its end gets done: waits
    /// for them, and takes over from those that die.
    private func takeOverWhatIsLeft() throws {
        guard state.read({ $0.error == nil }) else { return }
        let table = worker.table
        let end = try table.run { try $0.now() }
        var isNoted = false
        while true {
            let orphans = try table.run {
                try $0.takeOver(worker: worker.id, model: model, limit: max(16, handful / 4))
            }
            if !orphans.isEmpty {
                // They were met in the listing, and counted as another's.
                state.update {
                    $0.progress.elsewhere = max(0, $0.progress.elsewhere - orphans.count)
                }
                try waitForRoom()
                try proceed(orphans)
                continue
            }
            let left = try table.run {
                try $0.claimsOfOthers(than: worker.id, model: model, before: end)
            }
            if left == 0 { return }
            if !isNoted {
                note("waiting for \(left) pictures that other workers have in hand")
                isNoted = true
            }
            guard patience.wait(.milliseconds(250)) else { throw Stopped() }
        }
    }
}
