import Bytes
import Glibc
import HTTPTypes
import Hummingbird
import ImageSearch
import NIOPosix

extension SearchSite {
    /// `GET /pictures/<key>`, `/thumbnails/<key>` and `/large/<key>`.
    ///
    /// Only the search turns a key into a path, and it refuses keys that lead out of the store. A file is
    /// served only if it is a regular file that begins like a picture.
    func addPictureRoutes(to router: Router<SiteContext>) {
        router.getAndHead("/pictures/**") { request, context in
            try await original(try PicturePath.original.key(in: request), to: request, context)
        }
        router.getAndHead("/thumbnails/**") { request, context in
            try await thumbnail(try PicturePath.thumbnail.key(in: request), to: request, context)
        }
        router.getAndHead("/large/**") { request, context in
            let key = try PicturePath.large.key(in: request)
            guard try await search.facts(of: key) != nil else { throw SiteFailure.noSuchPicture }
            return try await copy(of: key, isLarge: true, to: request, context)
        }
    }

    private func original(
        _ key: String, to request: Request, _ context: SiteContext
    ) async throws -> Response {
        var response: Response
        if case .file? = try? search.location(of: key) {
            guard let file = try await pictures.file(key) else { throw SiteFailure.noSuchPicture }
            response = Self.response(with: file, to: request)
        } else {
            let client = clients.group(of: request, peer: context.peer)
            response = try await Self.response(
                with: try await pictures.stream(key, to: client), to: request)
        }
        if request.uri.query == "download" {
            response.headers[.contentDisposition] = Self.attachment(key)
        }
        return response
    }

    /// The `Content-Disposition` of a download (RFC 6266), with the last part of the key as the file's
    /// name: a plain one for old browsers, and the real one percent-encoded.
    private static func attachment(_ key: String) -> String {
        let name = Array(key.utf8.split(separator: UInt8(ascii: "/")).last ?? key.utf8[...])
        let plain = name.map {
            PercentEncoding.isUnreserved($0) || $0 == UInt8(ascii: " ") ? $0 : UInt8(ascii: "_")
        }
        let encoded = PercentEncoding.encode(String(decoding: name, as: UTF8.self))
        return "attachment; filename=\"\(String(decoding: plain, as: UTF8.self))\"; "
            + "filename*=UTF-8''\(encoded)"
    }

    private func thumbnail(
        _ key: String, to request: Request, _ context: SiteContext
    ) async throws -> Response {
        if let preview = try? await search.preview(of: key) {
            return Self.response(with: preview.bytes, preview.type, to: request)
        }
        // A bucket's pictures are fetched from it, but only those that a search can find.
        if !pictures.isProxy, case .presigned(let url)? = try? search.location(of: key) {
            guard try await search.facts(of: key) != nil else { throw SiteFailure.noSuchPicture }
            return .redirect(to: url, type: .found)
        }
        return try await copy(of: key, isLarge: false, to: request, context)
    }

    private func copy(
        of key: String, isLarge: Bool, to request: Request, _ context: SiteContext
    ) async throws -> Response {
        let copy: [UInt8]?
        if case .file? = try? search.location(of: key) {
            guard let file = try await pictures.file(key) else { throw SiteFailure.noSuchPicture }
            // Only some formats need no copy of a small file.
            guard file.size > Thumbnailer.smallFile || file.format != .jpeg,
                file.size <= PictureStock.maximumBytes
            else { return Self.response(with: file, to: request) }
            copy = try await pictures.copy(of: key, isLarge: isLarge, version: file.entityTag) {
                try file.read(at: 0, count: file.size)
            }
        } else {
            // A store tells nothing of a picture before it is fetched; after an hour it is looked at
            // again.
            let source = pictures
            copy = try await source.copy(
                of: key, isLarge: isLarge, version: "\(time(nil) / 3_600)"
            ) { try source.fetchNow(key) }
        }
        if let copy {
            let type = PictureFormat(prefix: copy)?.mediaType ?? "image/jpeg"
            return Self.response(with: copy, type, to: request)
        }
        if !pictures.isProxy, case .presigned(let url)? = try? search.location(of: key) {
            return .redirect(to: url, type: .found)
        }
        return try await original(key, to: request, context)
    }

    // MARK: Responses

    private static func response(with file: PictureFile, to request: Request) -> Response {
        let headers: HTTPFields = [
            .contentType: file.format.mediaType, .cacheControl: "private, max-age=300",
            .eTag: file.entityTag, .lastModified: file.lastModified,
        ]
        return response(headers, size: file.size, to: request) { offset, count in
            try await NIOThreadPool.singleton.runIfActive {
                try file.read(at: offset, count: count)
            }
        }
    }

    private static func response(
        with bytes: [UInt8], _ type: String, to request: Request
    ) -> Response {
        let headers: HTTPFields = [
            .contentType: type, .cacheControl: "private, max-age=3600",
            .eTag: "\"\(Asset.hash(of: bytes))\"",
        ]
        return response(headers, size: bytes.count, to: request) { offset, count in
            Array(bytes[offset..<offset + count])
        }
    }

    /// What `read` gives piece by piece, unless the browser has it already.
    private static func response(
        _ headers: HTTPFields, size: Int, to request: Request,
        read: @escaping @Sendable (_ offset: Int, _ count: Int) async throws -> [UInt8]
    ) -> Response {
        if isUnchanged(headers, since: request) {
            return Response(status: .notModified, headers: headers)
        }
        let body = ResponseBody(contentLength: size) { writer in
            let chunk = 64 * 1024
            for offset in stride(from: 0, to: size, by: chunk) {
                let count = min(chunk, size - offset)
                let bytes = try await read(offset, count)
                // A file that has shrunk cannot fill the promised length: the connection is closed,
                // and the browser shows a broken picture instead of waiting.
                guard bytes.count == count else { throw PictureChanged() }
                try await writer.write(ByteBuffer(bytes: bytes))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    /// An original from the store, passed on as it arrives.
    private static func response(
        with stream: PictureStream, to request: Request
    ) async throws -> Response {
        var head: ObjectHead?
        var beginning: [UInt8] = []
        while beginning.count < PictureFormat.prefixLength, let piece = try await stream.next() {
            head = head ?? piece.head
            beginning += piece.bytes
        }
        guard let format = PictureFormat(prefix: beginning) else {
            throw SiteFailure.noSuchPicture
        }
        var headers: HTTPFields = [
            .contentType: format.mediaType, .cacheControl: "private, max-age=300",
        ]
        if let etag = head?.etag, etag.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            headers[.eTag] = "\"\(etag)\""
            if isUnchanged(headers, since: request) {
                return Response(status: .notModified, headers: headers)
            }
        }
        let body = ResponseBody(
            contentLength: head?.size.flatMap { Int(exactly: $0) }
        ) { [beginning] writer in
            try await writer.write(ByteBuffer(bytes: beginning))
            // An error in the middle closes the connection: the length promised is not reached.
            while let piece = try await stream.next() {
                try await writer.write(ByteBuffer(bytes: piece.bytes))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    /// RFC 9110, 13.1: `If-Modified-Since` counts only without `If-None-Match`. The dates compare
    /// as texts, because a browser sends back the one that it got.
    private static func isUnchanged(_ headers: HTTPFields, since request: Request) -> Bool {
        let tags = request.headers[values: .ifNoneMatch]
        guard tags.isEmpty else {
            let tag = headers[.eTag] ?? ""
            return tags.joined(separator: ",").split(separator: ",").contains { other in
                let name = other.drop { $0 == " " }.prefix { $0 != " " }
                return name == "*" || name == tag || name == "W/\(tag)"
            }
        }
        let date = headers[.lastModified]
        return date != nil && request.headers[.ifModifiedSince] == date
    }
}

private struct PictureChanged: Error {}
