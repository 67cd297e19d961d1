import ImageSearch
import Mustache

/// The site's mustache templates, each with the values it shows. Optional values and empty lists
/// leave their section out.
enum Templates {
    private static let names = [
        "page", "box", "examples", "strip", "results", "hit", "picture", "message",
    ]

    /// For the script, which puts it into the page's search box.
    static func render(_ box: SearchBox) -> String {
        """
        <template id="box" data-path="\(HTMLEscaping().escapeText(box.path))" \
        data-placeholder="\(box.placeholder)">\(render(box, "box"))</template>
        """
    }

    /// - Parameter values: the template's own type, below.
    static func render(_ values: Any, _ name: String) -> String {
        library.render(values, withTemplate: name) ?? ""
    }

    private static let library: MustacheLibrary = {
        // Mustache goes back to its own escaping in every partial, so each template asks for ours.
        let escaping = "SITE-HTML"
        MustacheContentTypes.register(HTMLEscaping(), named: escaping)
        var library = MustacheLibrary()
        do {
            for name in names {
                let template = Asset.text("\(name).mustache")
                try library.register(
                    "{{% CONTENT_TYPE:\(escaping)}}\n" + template, named: name)
            }
            for name in ["icon", "camera"] {
                try library.register(Asset.text("\(name).svg"), named: name)
            }
        } catch {
            // Constant text: every test that asks for a page would end here.
            fatalError("a template cannot be parsed: \(error)")
        }
        return library
    }()
}

/// A link with its words, and a sign before them.
struct Link {
    var sign = ""
    let text: String
    let address: String
}

/// A picture that leads somewhere.
struct PictureLink {
    let name: String
    /// Nil where the site has none, such as for a visitor's picture, which it does not keep.
    var thumbnail: String?
    var shape: PictureShape?
    let address: String
    /// Whether it leads to where the visitor is.
    var isCurrent = false
}

/// A whole page. The style sheet and the script go by `view`.
struct PageContent {
    enum View { case home, results, picture }

    let view: View
    let title: String
    /// What the search box holds.
    let query: String
    let box: SearchBox
    /// HTML of another template.
    let content: String
    let siteName: String
    let description = "Find pictures by what they show, in your own words."
    let autofocus: Bool
    /// Whether the script searches while a visitor types.
    let isLive: Bool
    /// HTML that the script shows when the site does not answer.
    let unreachable: String
    let examples: [Link]
    let iconAddress = Asset.icon.address
    let styleAddress = Asset.styleSheet.address
    let scriptAddress = Asset.script.address
}

/// What the search box holds beside words.
struct SearchBox {
    let path: String
    /// Each leads to the search without it.
    let pictures: [PictureLink]
    let fields: [SearchState.Field]
    let placeholder: String
}

/// Some pictures of the collection on the start page, each of which leads to those that resemble it.
struct StripContent {
    let title: String
    let pictures: [PictureLink]
}

/// What a search found. `title`, `status` and `query` are for the script: the document's new title,
/// what a screen reader says, and what belongs into the search box. Addresses that begin with `?` keep
/// the page's path, which for an uploaded picture is long.
struct ResultsContent {
    /// Looked up by name rather than by reflection, since a page has many.
    struct Hit: MustacheParent {
        let rank: Int
        let key: String
        let shape: PictureShape
        /// Whether the browser may fetch it when it comes near.
        let isFarDown: Bool
        let view: String
        let like: String
        let thumbnail: String?
        /// The places of its copies.
        let copies: [Int]
        /// Leads to the picture and its copies.
        let stack: Link?

        func child(named name: String) -> Any? {
            switch name {
            case "rank": rank
            case "key": key
            case "classes": shape.classes
            case "width": shape.width
            case "height": shape.height
            case "isFarDown": isFarDown
            case "view": view
            case "like": like
            case "thumbnail": thumbnail
            case "copies": copies
            case "stack": stack
            default: nil
            }
        }
    }

    struct More {
        /// A page that shows more pictures below those there are.
        let address: String
        /// The part of it that is new.
        let part: String
    }

    let title: String
    let status: String
    let query: String
    let subject: String
    /// Whether the subject is what the visitor typed.
    let isText: Bool
    let count: String
    let isTruncated: Bool
    /// The first picture's place.
    let first: Int
    let hits: [Hit]
    /// Parts of the search, each of which leads to the search without it.
    let chips: [Link]
    /// Of the two forms.
    let path: String
    let hidden: [SearchState.Field]
    /// What the form for filters holds, by the names of its fields; the chosen shape also by its own.
    let filters: [String: String]
    /// The rest of the search.
    let unfiltered: [SearchState.Field]
    let back: String?
    let more: More?
    let hasPages: Bool
}

/// How a picture is laid out: without its pixels, as a square.
struct PictureShape {
    let width: Int
    let height: Int
    /// Classes whose custom properties add up to the ratio of width to height: 1.502 is `a15 c2`. The
    /// security policy allows no style attributes.
    let classes: String

    init(_ facts: PictureFacts) {
        let isKnown = facts.width ?? 0 > 0 && facts.height ?? 0 > 0
        width = isKnown ? facts.width ?? 1 : 480
        height = isKnown ? facts.height ?? 1 : 480
        let ratio = Double(width) / Double(height)
        let thousandths = Int((min(max(ratio, 0.4), 4) * 1_000).rounded())
        var classes = "a\(thousandths / 100)"
        if thousandths / 10 % 10 > 0 { classes += " b\(thousandths / 10 % 10)" }
        if thousandths % 10 > 0 { classes += " c\(thousandths % 10)" }
        // A panorama, or a picture of unknown shape, is shown whole inside its frame.
        if !isKnown || !(0.4...4).contains(ratio) { classes += " fit" }
        self.classes = classes
    }
}

/// One picture, large, with what is known of it.
struct PictureContent {
    let title: String
    let status: String
    let query: String
    let key: String
    let facts: PictureFacts
    let shape: PictureShape
    let source: String?
    /// For browsers that do not show the source.
    let copy: String?
    let download: String?
    let original: String?
    let size: String?
    let taken: String?
    let place: Int?
    let score: String?
    let previous: String?
    let next: String?
    let film: [PictureLink]
    let like: String
    let back: String
    let backLabel: String
}

/// Words instead of pictures: a hint, an empty table, an error.
struct MessageContent {
    let heading: String
    let message: String
    var title: String?
    var query = ""
    var isError = false
    var command: String?
    var link: Link?
    var operatorDetail: String?
    var examples: [Link] = []
}

/// Escapes text for element content and quoted attributes.
///
/// Mustache's own escaping goes by `Character`, and a quotation mark followed by a combining mark
/// is one `Character` that it does not know: the mark would go through and end an attribute. This
/// one goes by bytes.
struct HTMLEscaping: MustacheContentType {
    func escapeText(_ text: String) -> String {
        var escaped: [UInt8] = []
        escaped.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "&"): escaped += "&amp;".utf8
            case UInt8(ascii: "<"): escaped += "&lt;".utf8
            case UInt8(ascii: ">"): escaped += "&gt;".utf8
            case UInt8(ascii: "\""): escaped += "&quot;".utf8
            case UInt8(ascii: "'"): escaped += "&#39;".utf8
            default: escaped.append(byte)
            }
        }
        return String(decoding: escaped, as: UTF8.self)
    }
}
