import CSiteAssets
import HTTPTypes
import Hummingbird

/// A file of the folder Assets that pages load from the site. Its bytes are part of the executable.
struct Asset: Sendable {
    let path: String
    let contentType: String
    let text: String
    /// Changes with the text.
    let version: String

    private init(_ file: String, at path: String, _ contentType: String) {
        self.path = path
        self.contentType = contentType
        text = Self.text(file)
        version = Self.hash(of: text.utf8)
    }

    /// - Precondition: there is a file of that name; Sources/CSiteAssets lists them.
    static func text(_ file: String) -> String {
        guard let text = CSiteAssetNamed(file) else { fatalError("no asset \(file)") }
        return String(cString: text)
    }

    /// FNV-1a, 64 bits: distinguishes versions of one file, and is not for security.
    static func hash(of bytes: some Sequence<UInt8>) -> String {
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return String(hash, radix: 36)
    }

    /// Path and version.
    var address: String { "\(path)?v=\(version)" }

    static let styleSheet = Asset(
        "site.css", at: "/assets/site.css", "text/css; charset=utf-8")
    static let script = Asset("site.js", at: "/assets/site.js", "text/javascript; charset=utf-8")
    static let icon = Asset("icon.svg", at: "/favicon.svg", "image/svg+xml")
    /// What browsers ask for beside a bare picture.
    static let oldIcon = Asset("icon.svg", at: "/favicon.ico", "image/svg+xml")

    static let all = [styleSheet, script, icon, oldIcon]
}

extension SearchSite {
    /// Style sheet, script and icon. Pages name them with their version, so browsers may keep them.
    func addAssetRoutes(to router: Router<SiteContext>) {
        for asset in Asset.all {
            router.getAndHead(RouterPath(asset.path)) { request, _ in
                let isVersioned = request.uri.query == "v=\(asset.version)"
                return Response(
                    asset.text, asset.contentType,
                    cacheControl: isVersioned
                        ? "public, max-age=31536000, immutable" : "public, max-age=300")
            }
        }
        let description = Asset.text("openapi.json")
        router.getAndHead("/openapi.json") { _, _ in Response(description, "application/json") }
    }
}

extension Response {
    /// A text, which is not to be kept unless the caller says so.
    init(
        _ text: String, _ contentType: String, status: HTTPResponse.Status = .ok,
        cacheControl: String = "no-store"
    ) {
        self.init(
            status: status,
            headers: [.contentType: contentType, .cacheControl: cacheControl],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
