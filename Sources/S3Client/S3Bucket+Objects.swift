extension S3Bucket {
    /// ListObjectsV2 with `encoding-type=url`, so that keys with characters that XML cannot hold
    /// come through, following continuation tokens.
    ///
    /// A listing that does not advance is an error: a token that comes twice in a row, a page that
    /// begins at or before the end of the page before it, or 1,000 empty pages in a row. A listing
    /// that ends without an error is complete.
    @discardableResult
    public func list(
        prefix: String, after start: String?, page: ([ObjectSummary]) throws -> Void
    ) throws -> ListingReport {
        var token: String?
        var last: String?
        var emptyPages = 0
        repeat {
            var query = [
                (name: "list-type", value: "2"), (name: "encoding-type", value: "url"),
                (name: "max-keys", value: String(min(max(pageSize, 1), 1_000))),
            ]
            if prefix.isEmpty == false { query.append(("prefix", prefix)) }
            if let token {
                query.append(("continuation-token", token))
            } else if let start, start.isEmpty == false {
                query.append(("start-after", start))
            }
            let listed = try listPage(query)
            if let first = listed.objects.first?.key {
                if let last, last.utf8.lexicographicallyPrecedes(first.utf8) == false {
                    throw stuck("a page begins at or before the end of the page before it")
                }
                emptyPages = 0
                last = listed.objects.last?.key
                try page(listed.objects)
            } else {
                emptyPages += 1
                guard emptyPages < 1_000 else { throw stuck("page after page is empty") }
            }
            if let next = listed.continuationToken, next == token {
                throw stuck("the same continuation token comes again")
            }
            token = listed.continuationToken
        } while token != nil
        return ListingReport()
    }

    private func stuck(_ fault: String) -> S3Error {
        S3Error(
            .response, bucket: bucket,
            "The listing of the bucket \(quoted(bucket)) at \(endpoint.origin) does not advance: "
                + "\(fault).")
    }

    /// One page.
    private func listPage(_ query: [(name: String, value: String)]) throws -> ListPage {
        let bytes = try send(S3Call(query: query, maximumBytes: ListPage.maximumBytes)) ?? []
        do {
            return try ListPage(parsing: bytes)
        } catch {
            throw S3Error(
                .response, bucket: bucket,
                "The listing of the bucket \(quoted(bucket)) at \(endpoint.origin) cannot be read: "
                    + "\(error).")
        }
    }

    public func object(
        _ key: String, maximumBytes: Int, accept: ((UnsafeRawBufferPointer) -> Bool)?
    ) throws -> [UInt8]? {
        try check(key)
        var call = S3Call(key: key, maximumBytes: max(maximumBytes, 0))
        call.accept = accept
        return try send(call)
    }

    public func stream(
        _ key: String, receive: @escaping (ObjectHead, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try check(key)
        var call = S3Call(key: key, maximumBytes: 0)
        call.receive = receive
        _ = try send(call)
    }
}
