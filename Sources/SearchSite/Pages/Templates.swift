import Mustache

/// The site's mustache templates, ready to render.
enum Templates {
    enum Name: String, CaseIterable {
        case page, icon, camera, examples, results, hit, picture, message
    }

    static func render(_ name: Name, _ values: [String: Any]) -> String {
        // Every name is in the library, see below.
        library.render(values, withTemplate: name.rawValue) ?? ""
    }

    private static let library: MustacheLibrary = {
        // Mustache goes back to its own escaping in every partial, so each template says for
        // itself that it wants ours; see HTMLEscaping.
        let escaping = "SITE-HTML"
        MustacheContentTypes.register(HTMLEscaping(), named: escaping)
        var library = MustacheLibrary()
        for name in Name.allCases {
            do {
                let template = "{{% CONTENT_TYPE:\(escaping)}}\n" + source(of: name)
                try library.register(template, named: name.rawValue)
            } catch {
                // Constant text; the first request of any test would end here.
                fatalError("template \(name.rawValue): \(error)")
            }
        }
        return library
    }()

    private static func source(of name: Name) -> String {
        switch name {
        case .page: pageTemplate
        case .icon: iconTemplate
        case .camera: cameraTemplate
        case .examples: examplesTemplate
        case .results: resultsTemplate
        case .hit: hitTemplate
        case .picture: pictureTemplate
        case .message: messageTemplate
        }
    }
}
