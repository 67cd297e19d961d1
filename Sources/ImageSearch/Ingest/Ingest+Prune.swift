import ClipCore
import PGClient
import S3Client

/// The keys of a listing as 64-bit digests: some 16 bytes each, however long the keys are. Two keys with the
/// same digest can only spare a row, never remove one.
struct ListedKeys {
    private var digests: Set<Int> = []

    var isEmpty: Bool { digests.isEmpty }

    mutating func add(_ keys: some Sequence<String>) {
        digests.formUnion(keys.map(Self.digest))
    }

    /// - Returns: the keys that were not listed.
    func missing(_ keys: [String]) -> [String] {
        keys.filter { !digests.contains(Self.digest($0)) }
    }
    /// SipHash of the key's bytes, with a key of the process's own. Not of the string, whose hash is the
    /// same for canonically equivalent keys.
    private static func digest(_ key: String) -> Int {
        var key = key
        var hasher = Hasher()
        key.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        return hasher.finalize()
    }
}

/// Rows whose objects are gone, and what else decides about removing them.
private struct Gone {
    /// Of all rows in the run's scope.
    var rows = 0
    var keys: [String] = []
    var refusals: [String] = []
    /// Of `keys`, those that may be removed.
    var removable = 0
    /// The database's time when the listing began.
    let time: Double

    /// - Throws: ``TableError`` when so much would be removed that it is more likely a mistake.
    func check(_ listed: ListedKeys, isAdopting: Bool) throws {
        guard removable > 0 else { return }
        if listed.isEmpty { throw TableError.nothingListed(rows: removable) }
        if isAdopting { throw TableError.pruneWhileAdopting(rows: removable) }
        if removable > 100, removable > rows / 5 {
            throw TableError.largePrune(removed: removable, rows: rows)
        }
    }
}

extension Ingest {
    /// Compares the bucket with the table and changes nothing.
    ///
    /// - Parameter prunes: whether to count the rows whose objects are gone, too.
    /// - Returns: in `changed` how many objects a run would fetch, in `failed` which of them it is known
    ///   to refuse, in `pruned` how many rows it would remove.
    public func survey(
        prunes: Bool, report: (IngestProgress) -> Void, onFailure: (IngestFailure) -> Void,
        onNote: (String) -> Void = { _ in }
    ) throws -> IngestProgress {
        let table = try connect()
        _ = try table.dimension()
        try table.checkReadable(["pictures"] + Migrations.sideTables)
        try table.check(bucket)
        let identity = try loadedModel().identity
        let known = try table.models().first { $0.identity.isSame(as: identity) }
        if !options.replacesModel, let active = try table.activeModel(),
            !active.isSame(as: identity)
        {
            throw TableError.otherModel(table: active, given: identity)
        }
        if known != nil || options.refreshes, try !table.isUpToDate() {
            throw TableError.upgradeFirst
        }
        let target: ColumnSet? =
            known.flatMap { $0.isActive ? .current : $0.isNext ? .next : nil }
        var progress = IngestProgress()
        progress.isAdopting = try table.buckets().isEmpty && table.hasPictures()
        func tell(_ failure: IngestFailure) {
            progress.count(failure)
            onFailure(failure)
        }
        var listed = ListedKeys()
        let time = try table.now()
        let needs = try options.needs(table.decoding(decoding, isRefreshing: true).rule)
        let listing = try list { page, excluded in
            if isStopping.read({ $0 }) {
                throw IngestInterruption(progress: progress, cause: IngestStop())
            }
            progress.listed += page.count
            progress.excluded += excluded
            if prunes { listed.add(page.lazy.map(\.key)) }
            let objects = page.filter { !ObjectFilter.isSkippable($0) }
            progress.skipped += page.count - objects.count
            try halving(objects) { objects in
                let answers =
                    if let target, let known {
                        try table.compare(
                            objects, in: target, model: known.id, rules: rules, needs: needs)
                    } else {
                        [KnownObject](repeating: .changed, count: objects.count)
                    }
                for (object, known) in zip(objects, answers) {
                    switch known == .changed ? try foreseen(object) : known {
                    case .changed, .incomplete: progress.changed += 1
                    case .unchanged: progress.unchanged += 1
                    case .noPicture: progress.skipped += 1
                    case .refused(let reason, let format):
                        tell(
                            IngestFailure(
                                key: object.key, reason: reason, format: format,
                                isKnown: known != .changed))
                    }
                }
            } failed: { object, error in
                tell(IngestFailure(key: object.key, reason: error.message))
            }
            report(progress)
        }
        progress.add(listing, onFailure)
        guard prunes else { return progress }
        guard listing.isComplete else {
            progress.hasRefusedToPrune = true
            return progress
        }
        let gone = try gone(from: table, listed, since: time)
        progress.pruned = gone.removable
        do {
            try gone.check(listed, isAdopting: progress.isAdopting)
        } catch {
            onNote("\(error)")
        }
        return progress
    }

    /// What a run would find out about a new object, as far as that costs no request: a folder's files by
    /// their first bytes, a bucket's objects by their keys.
    private func foreseen(_ object: ObjectSummary) throws -> KnownObject {
        let name = ObjectFilter.formatName(object.key)
        if name != nil, object.size > options.maximumObjectBytes {
            let error = TooLarge(
                bytes: Int(clamping: object.size), limit: options.maximumObjectBytes)
            return .refused(reason: "\(error)", format: nil)
        }
        var format = name
        do {
            if store is DirectoryBucket {
                var start: [UInt8]?
                _ = try? store.object(object.key, maximumBytes: .max) {
                    start = Array($0)
                    return false
                }
                // What cannot be read now is left to the run.
                guard let start else { return .changed }
                format = PictureFormat(prefix: start)?.rawValue
                try start.withUnsafeBytes { try ImageDecoder.format(of: $0).checkReader() }
            } else if let name {
                guard let known = PictureFormat(rawValue: name) else {
                    throw ImageError.unsupportedFormat(name)
                }
                try known.checkReader()
            }
            return .changed
        } catch let error as ImageError {
            guard name != nil || error != .notAnImage else { return .noPicture }
            return .refused(reason: "\(error)", format: error.unsupportedFormat ?? format)
        }
    }

    /// Removes rows whose objects are gone: after a complete listing of its own, in one transaction.
    /// Starts over after an outage of the database or the store, until the retry budget is spent.
    ///
    /// - Parameters:
    ///   - force: whether to remove rows also when that looks like a mistake.
    ///   - onPage: called after each page of the listing.
    /// - Returns: the progress with the number of rows that were removed; or with `hasRefusedToPrune` when
    ///   the listing was incomplete.
    /// - Throws: ``IngestInterruption``, whose cause is ``TableError`` when `force` is needed, or what ended
    ///   the listing.
    public func prune(
        after progress: IngestProgress, force: Bool, onPage: () -> Void = {},
        onNote: (String) -> Void
    ) throws -> IngestProgress {
        var progress = progress
        let budget = RetryBudget(
            limit: options.retryFor, isOver: { [isStopping] in isStopping.read { $0 } },
            note: { _ in })
        var outage = Outage()
        while true {
            do {
                if !progress.hidesKeys {
                    progress.pruned = try pruneOnce(
                        force: force, isAdopting: progress.isAdopting, onPage: onPage)
                }
                progress.hasRefusedToPrune = progress.pruned == nil
                return progress
            } catch {
                let cause: any Error = isStopping.read { $0 } ? IngestStop() : error
                let isWorthRetrying =
                    (cause as? PGError)?.isWorthRetrying ?? (cause as? S3Error)?.isWorthRetrying
                if isWorthRetrying == true {
                    onNote("\(error): pruning starts over")
                    if outage.backOff(budget, nil) { continue }
                }
                throw IngestInterruption(progress: progress, cause: cause)
            }
        }
    }

    /// - Returns: nil when the listing was incomplete.
    private func pruneOnce(force: Bool, isAdopting: Bool, onPage: () -> Void) throws -> Int? {
        let table = try connect()
        try table.check(bucket)
        let time = try table.now()
        var listed = ListedKeys()
        let listing = try list { page, _ in
            if isStopping.read({ $0 }) { throw IngestStop() }
            listed.add(page.lazy.map(\.key))
            onPage()
        }
        guard listing.isComplete else { return nil }
        let gone = try gone(from: table, listed, since: time)
        if !force { try gone.check(listed, isAdopting: isAdopting) }
        return try table.remove(gone.keys, refusals: gone.refusals, storedBefore: time)
    }

    /// Lists the run's scope.
    /// - Parameter page: gets objects, and how many others an exclusion left out.
    private func list(
        _ page: (_ objects: [ObjectSummary], _ excluded: Int) throws -> Void
    ) throws -> ListingReport {
        try store.list(prefix: options.scope.prefix, after: nil) { objects in
            let taken = objects.filter { options.scope.contains($0.key) }
            try page(taken, objects.count - taken.count)
        }
    }

    private func gone(
        from table: PicturesTable, _ listed: ListedKeys, since time: Double
    ) throws -> Gone {
        var gone = Gone(time: time)
        try table.forEachKey(in: "pictures") { keys in
            if isStopping.read({ $0 }) { throw IngestStop() }
            let keys = keys.filter(options.scope.contains)
            gone.rows += keys.count
            gone.keys += listed.missing(keys)
        }
        try table.forEachKey(in: "picture_refusals") {
            gone.refusals += listed.missing($0.filter(options.scope.contains))
        }
        gone.removable = try table.countRemovable(gone.keys, storedBefore: time)
        return gone
    }
}
