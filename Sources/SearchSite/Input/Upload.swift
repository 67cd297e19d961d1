import Bytes
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
        let share = try site.uploads.take(0, for: client)
        self.share = share
        let boundary = MultipartForm.boundary(in: request.headers[.contentType] ?? "")
        let type = request.mediaType ?? ""
        guard boundary != nil || type.hasPrefix("image/") || type == "application/octet-stream"
        else { throw SiteFailure.noForm }
        let limit = site.configuration.maximumUploadBytes
        // The form's own lines come on top of the picture.
        let room = boundary == nil ? 0 : SearchSite.maximumFormSize
        guard let body = try await request.bytes(upTo: limit + room, of: share) else {
            throw SiteFailure.tooLarge(limit: limit)
        }
        var fields = FormFields(of: request)
        if let boundary {
            guard let parts = MultipartForm.parts(of: body, boundary: boundary) else {
                throw SiteFailure.badForm
            }
            picture = parts.first { $0.name == "picture" }.map { Array($0.value) } ?? []
            for part in parts where part.name != "picture" {
                fields.append(name: part.name, value: Array(part.value))
            }
        } else {
            picture = body
        }
        self.fields = fields
        guard !picture.isEmpty else { throw SiteFailure.noPicture }
        guard picture.count <= limit else { throw SiteFailure.tooLarge(limit: limit) }
    }
}

extension Request {
    /// The type of the body without its parameters, in lower case.
    var mediaType: String? {
        headers[.contentType]?.prefix { $0 != ";" }.trimmed().lowercased()
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

/// The parts of a `multipart/form-data` body (RFC 7578, RFC 2046, section 5.1).
enum MultipartForm {
    /// More parts, and longer headers, than any form of this site has.
    private static let maximumParts = 64
    private static let maximumHeaderBytes = 8 << 10

    /// The boundary that a `Content-Type` field names (RFC 2046, 5.1.1: 1 to 70 characters).
    /// - Returns: `nil` when the type is another, or has no boundary.
    static func boundary(in contentType: String) -> [UInt8]? {
        let parameters = parameters(of: contentType)
        guard parameters[0].name == "multipart/form-data",
            let boundary = parameters.first(where: { $0.name == "boundary" })?.value.utf8,
            (1...70).contains(boundary.count)
        else { return nil }
        return Array(boundary)
    }

    /// The fields' names and values.
    /// - Returns: `nil` when the body is not of this form, or ends before its last boundary.
    static func parts(
        of body: [UInt8], boundary: [UInt8]
    ) -> [(name: String, value: ArraySlice<UInt8>)]? {
        let delimiter = [13, 10, 45, 45] + boundary
        // The first delimiter may come at the very beginning, without the line before it.
        var place = delimiter.count - 2
        if !body.starts(with: delimiter.dropFirst(2)) {
            guard let first = find(delimiter, in: body, from: 0) else { return nil }
            place = first + delimiter.count
        }
        var parts: [(name: String, value: ArraySlice<UInt8>)] = []
        while true {
            if body.dropFirst(place).starts(with: [45, 45]) { return parts }
            // White space may follow a delimiter on its line.
            while place < body.count, body[place] == 32 || body[place] == 9 { place += 1 }
            guard parts.count < maximumParts, body.dropFirst(place).starts(with: [13, 10]),
                let headerEnd = find([13, 10, 13, 10], in: body, from: place),
                headerEnd - place <= maximumHeaderBytes,
                let end = find(delimiter, in: body, from: headerEnd + 2),
                let name = name(in: String(decoding: body[place..<headerEnd], as: UTF8.self))
            else { return nil }
            parts.append((name, body[min(headerEnd + 4, end)..<end]))
            place = end + delimiter.count
        }
    }

    /// The field's name in a part's `Content-Disposition`.
    private static func name(in header: String) -> String? {
        for line in header.split(separator: "\r\n") {
            let field = line.split(separator: ":", maxSplits: 1)
            guard field.count == 2, field[0].trimmed().lowercased() == "content-disposition" else {
                continue
            }
            let parameters = parameters(of: field[1])
            guard parameters[0].name == "form-data" else { return nil }
            return parameters.first { $0.name == "name" }?.value
        }
        return nil
    }

    /// `form-data; name="a"; filename="b"` as names in lower case and values, at least one;
    /// quotation marks may hold anything, `\"` a quotation mark.
    private static func parameters(of text: some StringProtocol) -> [(name: String, value: String)]
    {
        var parameters: [(name: String, value: String)] = []
        var (name, value) = ("", "")
        var (isInValue, isQuoted, isEscaped) = (false, false, false)
        func end() {
            parameters.append((name.trimmed().lowercased(), value.trimmed()))
            (name, value, isInValue) = ("", "", false)
        }
        for scalar in String(text).unicodeScalars {
            switch scalar {
            case _ where isEscaped:
                value.unicodeScalars.append(scalar)
                isEscaped = false
            case "\\" where isQuoted: isEscaped = true
            case "\"" where isInValue: isQuoted.toggle()
            case ";" where !isQuoted: end()
            case "=" where !isInValue: isInValue = true
            default:
                if isInValue {
                    value.unicodeScalars.append(scalar)
                } else {
                    name.unicodeScalars.append(scalar)
                }
            }
        }
        end()
        return parameters
    }

    /// The first place of a needle at or after another place. A needle begins with CR, which pictures
    /// rarely hold, so skipping to the next one makes this quick.
    private static func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        var place = start
        while let next = bytes[place...].firstIndex(of: needle[0]) {
            if bytes[next...].starts(with: needle) { return next }
            place = next + 1
        }
        return nil
    }
}
