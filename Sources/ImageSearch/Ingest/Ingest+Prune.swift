import ClipCore
import PGClient
import S3Client

extension Ingest {
    /// Compares the bucket with the table and changes nothing.
    ///
    /// - Parameter prunes: whether to count the rows whose objects are gone, too.
    /// - Returns: in `changed` how many objects a run would fetch (what they hold is not known before),
    ///   in `pruned` how many rows it would remove.
    public func survey(
        prunes: Bool, force: Bool = false, report: (IngestProgress) -> Void,
        onFailure: (IngestFailure) -> Void
    ) throws -> IngestProgress {
        let table = try connect()
        _ = try table.dimension()
        let identity = ModelIdentity(
            try Checkpoint(path: modelPath, activation: activation), precision: precision)
        let known = try table.models().first { $0.identity.isSame(as: identity) }
        if !options.replacesModel, let active = try table.activeModel(),
            !active.isSame(as: identity)
        {
            throw TableError.otherModel(table: active, given: identity)
        }
        let target: FilledTable? =
            known.flatMap { $0.isActive ? .pictures : $0.isNext ? .next : nil }
        var progress = IngestProgress()
        let time = prunes ? try table.beginNoting() : 0
        try store.list { page in
            if isStopping.read({ $0 }) {
                throw IngestInterruption(progress: progress, cause: IngestStop())
            }
            progress.listed += page.count
            if prunes { try note(page, in: table) }
            let objects = page.filter { !ObjectFilter.isSkippable($0) }
            progress.skipped += page.count - objects.count
            try halving(objects) { objects in
                let answers =
                    if let target, let known {
                        try table.compare(objects, in: target, model: known.id, rules: rules)
                    } else {
                        [KnownObject](repeating: .changed, count: objects.count)
                    }
                for (object, answer) in zip(objects, answers) {
                    switch answer {
                    case .changed: progress.changed += 1
                    case .unchanged: progress.unchanged += 1
                    case .noPicture: progress.skipped += 1
                    case .refused(let reason):
                        progress.failed += 1
                        onFailure(IngestFailure(key: object.key, reason: reason))
                    }
                }
            } failed: { object, error in
                progress.failed += 1
                onFailure(IngestFailure(key: object.key, reason: error.message))
            }
            report(progress)
        }
        progress.isListingComplete = true
        if prunes {
            let (rows, gone) = try table.countGone(since: time)
            if progress.listed == 0, rows > 0, !force { throw TableError.nothingListed(rows: rows) }
            progress.pruned = gone
        }
        return progress
    }

    /// Removes rows whose objects are gone: after a listing of its own that is complete, in one
    /// transaction. When the database or the store is lost meanwhile it begins anew, as long as
    /// patience lasts.
    ///
    /// - Parameter force: whether a bucket without any object may empty the table.
    /// - Returns: the progress with the number of rows that were removed.
    /// - Throws: ``IngestInterruption``, with ``TableError/nothingListed(rows:)``,
    ///   ``TableError/mayNotPrune(role:)``, or what ended the listing.
    public func prune(
        after progress: IngestProgress, force: Bool, onNote: (String) -> Void
    ) throws -> IngestProgress {
        var progress = progress
        do {
            progress.pruned = try prune(force: force, onNote: onNote)
            return progress
        } catch {
            throw IngestInterruption(progress: progress, cause: error)
        }
    }

    private func prune(force: Bool, onNote: (String) -> Void) throws -> Int {
        let patience = Patience(
            limit: options.retryFor, isOver: { [isStopping] in isStopping.read { $0 } },
            note: { _ in })
        var loss = Loss()
        while true {
            do {
                return try pruneOnce(force: force)
            } catch {
                if isStopping.read({ $0 }) { throw IngestStop() }
                let isWorthWaiting =
                    (error as? PGError)?.isWorthWaiting ?? (error as? S3Error)?.isWorthWaiting
                guard isWorthWaiting == true else { throw error }
                onNote("\(error): pruning begins anew")
                guard loss.bear(patience, "") else { throw error }
            }
        }
    }

    private func pruneOnce(force: Bool) throws -> Int {
        let table = try connect()
        let time = try table.beginNoting()
        var listed = 0
        try store.list { page in
            if isStopping.read({ $0 }) { throw IngestStop() }
            listed += page.count
            try note(page, in: table)
        }
        if listed == 0, !force {
            let rows = try table.countGone(since: time).rows
            if rows > 0 { throw TableError.nothingListed(rows: rows) }
        }
        return try table.removeGone(since: time)
    }

    /// A key that the database cannot take is not in it either.
    private func note(_ page: [ObjectSummary], in table: PicturesTable) throws {
        let keys = page.map(\.key).filter { !$0.utf8.contains(0) }
        try halving(keys) {
            try table.noteListed($0)
        } failed: { _, _ in
        }
    }
}
