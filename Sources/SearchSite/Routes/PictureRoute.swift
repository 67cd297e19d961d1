import HTTPTypes
import Hummingbird
import ImageSearch
import NIOPosix

extension SearchSite {
    /// `GET /pictures/<key>`: the bytes of a picture when the store is a directory.
    ///
    /// The search alone turns a key into a path, and refuses keys that lead out of the store. What
    /// is there is served only if it is a regular file that begins like a picture.
    func addPictureRoute(to router: Router<SiteContext>) {
        router.getAndHead("/pictures/**") { request, _ in
            guard let key = PicturePath.key(in: request.uri.path),
                case .file(let path)? = try? search.location(of: key),
                let file = try await NIOThreadPool.singleton.runIfActive({
                    PictureFile(path: path)
                })
            else { throw SiteFailure.noSuchPicture }
            return Self.response(with: file, to: request)
        }
    }

    private static func response(with file: PictureFile, to request: Request) -> Response {
        let headers: HTTPFields = [
            .contentType: file.format.contentType,
            .cacheControl: "private, max-age=300",
            .eTag: file.entityTag,
            .lastModified: file.lastModified,
        ]
        if isUnchanged(file, since: request) {
            return Response(status: .notModified, headers: headers)
        }
        let body = ResponseBody(contentLength: file.size) { writer in
            let chunk = 64 * 1024
            var offset = 0
            while offset < file.size {
                let (start, count) = (offset, min(chunk, file.size - offset))
                let bytes = try await NIOThreadPool.singleton.runIfActive {
                    file.read(at: start, count: count)
                }
                // A file that shrank meanwhile cannot fill the promised length: the connection
                // ends, and the browser sees a broken picture instead of waiting.
                guard let bytes, bytes.count == count else { throw PictureChanged() }
                try await writer.write(ByteBuffer(bytes: bytes))
                offset += count
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    /// RFC 9110, 13.1: `If-Modified-Since` counts only without `If-None-Match`. The dates compare
    /// as texts, because a browser sends back the one that it got.
    private static func isUnchanged(_ file: PictureFile, since request: Request) -> Bool {
        let tags = request.headers[values: .ifNoneMatch]
        guard tags.isEmpty else {
            return tags.joined(separator: ",").split(separator: ",").contains { tag in
                let name = tag.drop { $0 == " " }.prefix { $0 != " " }
                return name == "*" || name == file.entityTag || name == "W/\(file.entityTag)"
            }
        }
        return request.headers[.ifModifiedSince] == file.lastModified
    }
}

private struct PictureChanged: Error {}
