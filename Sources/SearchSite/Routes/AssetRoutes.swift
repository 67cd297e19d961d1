import HTTPTypes
import Hummingbird

extension SearchSite {
    /// Style sheet, script and icon. Pages name them with their version, so browsers may keep them.
    func addAssetRoutes(to router: Router<SiteContext>) {
        for asset in Asset.all {
            router.getAndHead(RouterPath(asset.path)) { request, _ in
                let isVersioned = request.uri.query == "v=\(asset.version)"
                let headers: HTTPFields = [
                    .contentType: asset.contentType,
                    .cacheControl: isVersioned
                        ? "public, max-age=31536000, immutable" : "public, max-age=300",
                ]
                return Response(
                    status: .ok, headers: headers,
                    body: ResponseBody(byteBuffer: ByteBuffer(string: asset.text)))
            }
        }
    }
}
