import ClipCore
import PGClient
import S3Client

/// Listing the bucket, comparing it with the table, and claiming what is to be done.
extension IngestPipeline {
    /// Pictures that are claimed and not yet encoded, at most: enough to keep every thread busy, and
    /// few enough that several machines finish at about the same time.
    private var maximumInHand: Int {
        let encoders = options.encoders ?? SystemThread.processorCount
        return 2 * encoders * options.batchSize + 2 * options.fetchers
    }

    private var claimedAtOnce: Int { max(16, maximumInHand / 4) }

    // MARK: Listing

    /// Lists everything; after an outage of the store from the last key on.
    func list() throws {
        var last: String?
        var outage = Outage()
        while true {
            do {
                let report = try store.list(prefix: options.scope.prefix, after: last) { page in
                    try take(page)
                    last = page.last?.key ?? last
                    if outage.failures > 0 { budget.note("the store is back") }
                    outage = Outage()
                }
                finishListing(report)
                return
            } catch let error as S3Error {
                // Before the first page a wrong address is more likely than an outage.
                guard error.isWorthRetrying, last != nil || outage.failures > 0,
                    outage.backOff(budget, "\(error) Trying again.")
                else { throw error }
            }
        }
    }

    private func finishListing(_ report: ListingReport) {
        state.update { state in
            if !report.isComplete { state.doubtful += 1 }
            state.progress.expectedPreviewBytes = state.previewBytes
            var failures: [IngestFailure] = []
            state.progress.add(report) { failures.append($0) }
            state.failures += failures
        }
    }

    /// Sorts a page: what is unchanged, refused or not a picture needs nothing more.
    private func take(_ wholePage: [ObjectSummary]) throws {
        let page = wholePage.filter { options.scope.contains($0.key) }
        state.update { state in
            state.progress.listed += page.count
            state.progress.excluded += wholePage.count - page.count
        }
        var objects: [ObjectSummary] = []
        for object in page {
            if ObjectFilter.isSkippable(object) {
                state.update { $0.progress.skipped += 1 }
            } else if object.key.utf8.contains(0) {
                let reason = "its key holds a NUL character, which PostgreSQL cannot store"
                tell(IngestFailure(key: object.key, reason: reason))
            } else {
                objects.append(object)
            }
        }
        try halving(objects) { objects in
            for (object, known) in zip(objects, try compare(objects)) {
                guard !settle(object, known) else { continue }
                if previews != nil {
                    let bytes = ThumbnailEncoder.expectedBytes(ofPreviewFrom: object.size)
                    state.update { $0.previewBytes += bytes }
                }
                guard candidates.push(object) else { throw Stopped() }
            }
        } failed: { object, error in
            tell(IngestFailure(key: object.key, reason: error.message))
        }
    }

    private func compare(_ objects: [ObjectSummary]) throws -> [KnownObject] {
        try worker.table.run { table in
            // The columns keep their names until the answer is there.
            try table.connection.transaction {
                let set = try table.columnSet(of: model, isLocked: true)
                return try table.compare(
                    objects, in: set, model: model, rules: rules,
                    needs: options.needs(decoder.rule), storedSince: worker.startTime)
            }
        }
    }

    /// Counts an object that needs nothing more.
    /// - Parameter isOthers: whether another worker had it in hand.
    /// - Returns: false for one that does.
    private func settle(
        _ object: ObjectSummary, _ known: KnownObject, isOthers: Bool = false
    ) -> Bool {
        switch known {
        case .changed, .incomplete: return false
        case .unchanged where isOthers: state.update { $0.progress.elsewhere += 1 }
        case .unchanged: state.update { $0.progress.unchanged += 1 }
        case .noPicture: state.update { $0.progress.skipped += 1 }
        case .refused(let reason, let format):
            tell(
                IngestFailure(key: object.key, reason: reason, format: format, isKnown: !isOthers))
        }
        return true
    }

    // MARK: Claiming

    /// Claims what was listed and is to be done, then waits for what other workers have in hand.
    func claimCandidates() throws {
        // Those that had no row when last seen.
        var others: [ObjectSummary] = []
        var objects: [ObjectSummary] = []
        var isFinished = false
        // Keeps the list short: most of it is done soon after.
        var limit = 2_000
        while !isFinished {
            switch candidates.pop(milliseconds: 100) {
            case .element(let object):
                objects.append(object)
                if objects.count < claimedAtOnce { continue }
            case .nothingYet: break
            case .finished: isFinished = true
            }
            guard !objects.isEmpty else { continue }
            others += try claim(objects)
            objects = []
            if others.count >= limit {
                others = try withoutRows(others)
                limit = max(2_000, 2 * others.count)
            }
        }
        try waitForOthers(others)
    }

    /// Claims objects and sends those that it gets on their way.
    /// - Returns: those that another worker has.
    private func claim(_ objects: [ObjectSummary]) throws -> [ObjectSummary] {
        try waitForRoom()
        var others: [ObjectSummary] = []
        try halving(objects) { objects in
            let mine = try worker.table.run {
                try $0.claim(objects, owner: worker.owner, lease: Worker.lease, model: model)
            }
            others += zip(objects, mine).filter { !$0.1 }.map(\.0)
            try proceed(zip(objects, mine).filter(\.1).map(\.0))
        } failed: { object, error in
            tell(IngestFailure(key: object.key, reason: error.message))
        }
        return others
    }

    /// Waits until some of what is in hand is through.
    private func waitForRoom() throws {
        while true {
            let hasRoom = state.wait(milliseconds: 200) { $0.inHand < maximumInHand ? true : nil }
            if state.read({ $0.error != nil }) { throw Stopped() }
            if hasRoom == true { return }
        }
    }

    /// Sends claimed objects on their way, except those that another worker has done since they were
    /// compared: with the claim in hand the answer cannot change any more.
    private func proceed(_ objects: [ObjectSummary]) throws {
        guard !objects.isEmpty else { return }
        var settled: [String] = []
        var rest: [Claimed] = []
        for (object, known) in zip(objects, try compare(objects)) {
            if settle(object, known, isOthers: true) {
                settled.append(object.key)
            } else if case .incomplete(let task) = known {
                rest.append((object, task))
            } else {
                rest.append((object, .embed))
            }
        }
        try worker.table.run { try $0.release(settled, owner: worker.owner, model: model) }
        if rest.contains(where: { $0.task == .embed }) { try prepareEncoder() }
        for next in rest {
            state.update { $0.inHand += 1 }
            guard claimed.push(next) else { throw Stopped() }
        }
    }

    /// Converts the weights while the first pictures are fetched.
    private func prepareEncoder() throws {
        guard isEncoderWanted.set() else { return }
        try SystemThread.start { [encoder] in _ = try? encoder.get() }
    }

    // MARK: Other workers' pictures

    /// Counts those that have a row or a refusal by now.
    /// - Returns: the others.
    private func withoutRows(_ objects: [ObjectSummary]) throws -> [ObjectSummary] {
        var rest: [ObjectSummary] = []
        for batch in objects.batches(of: 1_000) {
            for (object, known) in zip(batch, try compare(batch))
            where !settle(object, known, isOthers: true) {
                rest.append(object)
            }
        }
        return rest
    }

    /// Waits until each picture that another worker had in hand has its row, and takes over those whose
    /// claims were given back or have ended: only a row counts as done.
    private func waitForOthers(_ objects: [ObjectSummary]) throws {
        var others = objects
        var isNoted = false
        while true {
            others = try withoutRows(others)
            others = try others.batches(of: claimedAtOnce).flatMap { try claim($0) }
            if others.isEmpty { return }
            if !isNoted {
                budget.note("waiting for \(others.count) pictures that other workers have in hand")
                isNoted = true
            }
            guard budget.wait(.milliseconds(250)) else { throw Stopped() }
        }
    }
}
