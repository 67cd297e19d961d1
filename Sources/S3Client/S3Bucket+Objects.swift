extension S3Bucket {
    /// ListObjectsV2 with `encoding-type=url`, since XML cannot hold every character of a key. Stores that know only the
    /// older ListObjects ignore `list-type`, or answer 501; there, and where a page that is not the last one has no
    /// token, the next page begins after the last key.
    ///
    /// A listing that does not advance is an error: a token that comes twice in a row, a page that begins at or
    /// before the end of the one before it, or 1,000 empty pages in a row.
    @discardableResult
    public func list(
        prefix: String, after start: String?, page: ([ObjectSummary]) throws -> Void
    ) throws -> ListingReport {
        let start = start ?? ""
        var token: String?
        var last: String?
        var emptyPages = 0
        var version2 = true
        var isTruncated = true
        while isTruncated {
            var query = [
                (name: "encoding-type", value: "url"),
                (name: "max-keys", value: String(min(max(pageSize, 1), 1_000))),
            ]
            if prefix.isEmpty == false { query.append(("prefix", prefix)) }
            if version2 { query.append(("list-type", "2")) }
            if let token {
                query.append(("continuation-token", token))
            } else if let key = last ?? (start.isEmpty ? nil : start) {
                if version2 { query.append(("start-after", key)) }
                // What ListObjects calls it; ListObjectsV2 does not know it.
                if version2 == false || last != nil { query.append(("marker", key)) }
            }
            let listed: ListPage
            do {
                listed = try listPage(query)
            } catch let error as S3Error where version2 && last == nil && error.meansNotImplemented
            {
                version2 = false
                continue
            }
            // ListObjects does not know start-after.
            let objects = listed.objects.filter {
                start.utf8.lexicographicallyPrecedes($0.key.utf8)
            }
            if let first = listed.objects.first?.key {
                if let last, last.utf8.lexicographicallyPrecedes(first.utf8) == false {
                    throw failure(
                        "does not advance: a page begins at or before the end of the page before it"
                    )
                }
                emptyPages = 0
                last = listed.objects.last?.key
                if objects.isEmpty == false { try page(objects) }
            } else {
                emptyPages += 1
                guard emptyPages < 1_000 else {
                    throw failure("does not advance: page after page is empty")
                }
            }
            if let next = listed.continuationToken, next == token {
                throw failure("does not advance: the same continuation token comes again")
            }
            token = listed.continuationToken
            isTruncated = listed.isTruncated
        }
        return ListingReport()
    }

    private func failure(_ fault: String) -> S3Error {
        S3Error(
            .response,
            "The listing of the bucket \(quoted(bucket)) at \(endpoint.origin) \(fault).")
    }

    /// One page.
    private func listPage(_ query: [(name: String, value: String)]) throws -> ListPage {
        let body = BodyCollector(maximumBytes: ListPage.maximumBytes)
        let bytes = try send(query: query, into: body)?.bytes ?? []
        do {
            return try ListPage(parsing: bytes)
        } catch {
            throw failure("cannot be read: \(error)")
        }
    }

    public func object(
        _ key: String, maximumBytes: Int, accept: ((UnsafeRawBufferPointer) -> Bool)?
    ) throws -> [UInt8]? {
        try check(key)
        let body = BodyCollector(maximumBytes: max(maximumBytes, 0), accept: accept)
        return try send(key: key, into: body)?.bytes
    }

    public func listedObject(
        _ object: ObjectSummary, maximumDecodedBytes: Int,
        accept: @escaping (UnsafeRawBufferPointer) -> Bool
    ) throws -> (bytes: [UInt8], isAsListed: Bool)? {
        try check(object.key)
        let size = Int(clamping: object.size)
        let body = BodyCollector(
            maximumBytes: max(size, 1), maximumDecodedBytes: maximumDecodedBytes, accept: accept)
        return try send(key: object.key, into: body).map {
            ($0.bytes, $0.isDecoded || $0.bytes.count == size)
        }
    }

    public func stream(
        _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try check(key)
        _ = try send(key: key, into: BodyCollector(maximumBytes: 0, receive: receive))
    }
}
