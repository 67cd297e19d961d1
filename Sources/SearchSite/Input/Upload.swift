import Hummingbird

/// A picture that a visitor or a program sends, with the fields beside it.
struct Upload {
    /// The file, not empty.
    let picture: [UInt8]
    /// Those of the address, then those of the form.
    let fields: FormFields
    /// Keeps the bytes of all uploads in memory bounded.
    private let share: Budget.Share

    /// Receives the body: `multipart/form-data` with a file in the field `picture`, or the picture
    /// itself as `image/…` or `application/octet-stream`.
    /// - Throws: ``SiteFailure``.
    init(_ request: Request, to site: SearchSite, from client: String) async throws {
        guard let share = site.uploads.take(0, for: client) else { throw SiteFailure.overloaded }
        self.share = share
        let type = request.headers[.contentType] ?? ""
        let name = type.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        let boundary = MultipartForm.boundary(in: type)
        guard boundary != nil || name.hasPrefix("image/") || name == "application/octet-stream"
        else { throw SiteFailure.noForm }
        let limit = site.configuration.maximumUploadBytes
        // The form's own lines come on top of the picture.
        let room = boundary == nil ? 0 : SearchSite.maximumFormSize
        guard let body = try await request.bytes(upTo: limit + room, of: share) else {
            throw SiteFailure.tooLarge(limit: limit)
        }
        var fields = FormFields((request.uri.query ?? "").utf8)
        if let boundary {
            guard let parts = MultipartForm.parts(of: body, boundary: boundary) else {
                throw SiteFailure.badForm
            }
            var picture: [UInt8]?
            for part in parts {
                if part.name.elementsEqual("picture".utf8) {
                    picture = picture ?? Array(part.value)
                } else {
                    fields.append(name: part.name, value: Array(part.value))
                }
            }
            self.picture = picture ?? []
        } else {
            picture = body
        }
        self.fields = fields
        guard !picture.isEmpty else { throw SiteFailure.noPicture }
        guard picture.count <= limit else { throw SiteFailure.tooLarge(limit: limit) }
    }
}

extension SiteFailure {
    fileprivate static let noPicture = SiteFailure(
        status: .badRequest, heading: "No picture was chosen",
        message: "Choose a picture first, then press the button again.")

    fileprivate static let badForm = SiteFailure(
        status: .badRequest, heading: "The form did not arrive as a whole",
        message: "Please choose the picture again.")
}
