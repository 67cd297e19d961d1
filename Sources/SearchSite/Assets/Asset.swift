/// A file that pages load from the site itself, compiled in so that the executable is all there is.
struct Asset: Sendable {
    let path: String
    let contentType: String
    let text: String
    /// Changes with the text.
    let version: String

    init(path: String, contentType: String, text: String) {
        self.path = path
        self.contentType = contentType
        self.text = text
        version = Self.hash(of: text.utf8)
    }

    /// FNV-1a, 64 bits: tells versions of one file apart, protects nothing.
    static func hash(of bytes: some Sequence<UInt8>) -> String {
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return String(hash, radix: 36)
    }

    /// Path and version.
    var address: String { "\(path)?v=\(version)" }

    static let styleSheet = Asset(
        path: "/assets/site.css", contentType: "text/css; charset=utf-8", text: styleSheetText)
    static let script = Asset(
        path: "/assets/site.js", contentType: "text/javascript; charset=utf-8", text: scriptText)
    static let icon = Asset(
        path: "/favicon.svg", contentType: "image/svg+xml", text: standaloneIcon)
    /// What browsers ask for beside a bare picture.
    static let oldIcon = Asset(
        path: "/favicon.ico", contentType: "image/svg+xml", text: standaloneIcon)

    static let all = [styleSheet, script, icon, oldIcon]

    private static let standaloneIcon = iconTemplate.replacing(
        "<svg ", with: "<svg xmlns=\"http://www.w3.org/2000/svg\" ", maxReplacements: 1)
}
