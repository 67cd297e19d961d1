import ImageSearch

/// Where pages get pictures from: from the site itself when the store is a directory or the site
/// stands before the store, else from the store by links that work for an hour.
struct PictureAddresses: Sendable {
    let search: any PictureSearch
    /// Whether the site fetches pictures from the store for its visitors.
    let isProxy: Bool

    /// The whole picture. `nil` when it cannot be said where it is, or that is no web address.
    func original(of key: String) -> String? {
        address(of: key, here: PicturePath.path)
    }

    /// The picture small, for the grid. Of a store with links it is the picture itself, which the site
    /// never sees.
    func thumbnail(of key: String) -> String? {
        address(of: key, here: PicturePath.thumbnail)
    }

    private func address(of key: String, here: (String) -> String) -> String? {
        switch try? search.location(of: key) {
        case .file?: here(key)
        case .presigned? where isProxy: here(key)
        case .presigned(let url)?: WebOrigin(of: url) == nil ? nil : url
        case nil: nil
        }
    }

    /// The origin of the store's links, for the content security policy: that of the link of a made-up
    /// key. Signing a link asks no server.
    var origin: String? {
        original(of: "picture.jpg").flatMap { WebOrigin(of: $0)?.text }
    }
}
