import S3Client

/// One search from the command line: settings are checked and the database is connected before the
/// model is loaded, so that a mistake shows at once.
public struct FindCommand {
    private let table: PicturesTable?
    private let store: (any ObjectStore)?

    /// - Parameter needsDatabase: false when nothing but the embedding is wanted; then no setting of
    ///   database and bucket is needed.
    public init(_ settings: Settings, needsDatabase: Bool) throws {
        guard needsDatabase else {
            table = nil
            store = nil
            return
        }
        let uri = try settings.databaseURI()
        store = try settings.objectStore()
        table = try PicturesTable(uri: uri, applicationName: "find-images")
    }

    /// The nearest pictures, each with a link that works for an hour; without one when the row's key
    /// is none that the store could have.
    public func nearest(
        to embedding: [Float], limit: Int
    ) throws -> [(hit: SearchHit, url: String?)] {
        guard let table, let store else { return [] }
        return try table.nearest(to: embedding, limit: limit).map { hit in
            (hit, try? store.presignedURL(for: hit.key))
        }
    }
}
