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

/// The parts of a `multipart/form-data` body (RFC 7578, RFC 2046, section 5.1).
enum MultipartForm {
    struct Part {
        /// The field's name as bytes; a name says nothing about its encoding.
        let name: [UInt8]
        /// Whether the field is a file's.
        let isFile: Bool
        let value: ArraySlice<UInt8>
    }

    /// More parts, and longer headers, than any form of this site has.
    private static let maximumParts = 64
    private static let maximumHeaderBytes = 8 << 10

    /// The boundary that a `Content-Type` field names (RFC 2046, 5.1.1: 1 to 70 characters).
    /// - Returns: `nil` when the type is another, or has no boundary.
    static func boundary(in contentType: String) -> [UInt8]? {
        var parameters = contentType.split(separator: ";", omittingEmptySubsequences: false)
            .map { Array($0.utf8).trimmed }
        guard !parameters.isEmpty,
            parameters.removeFirst().lowercased.elementsEqual("multipart/form-data".utf8)
        else { return nil }
        for parameter in parameters {
            guard let equals = parameter.firstIndex(of: UInt8(ascii: "=")),
                Array(parameter[..<equals]).trimmed.lowercased.elementsEqual("boundary".utf8)
            else { continue }
            var value = Array(parameter[(equals + 1)...]).trimmed
            if value.count >= 2, value.first == UInt8(ascii: "\""), value.last == value.first {
                value = Array(value.dropFirst().dropLast())
            }
            return (1...70).contains(value.count) ? value : nil
        }
        return nil
    }

    /// - Returns: `nil` when the body is not of this form, or ends before its last boundary.
    static func parts(of body: [UInt8], boundary: [UInt8]) -> [Part]? {
        let delimiter = [13, 10, 45, 45] + boundary
        // The first delimiter may come at the very beginning, without the line before it.
        let first = Array(delimiter.dropFirst(2))
        var place: Int
        if body.starts(with: first) {
            place = first.count
        } else if let found = find(delimiter, in: body, from: 0) {
            place = found + delimiter.count
        } else {
            return nil
        }
        var parts: [Part] = []
        while true {
            if body.dropFirst(place).starts(with: [45, 45]) { return parts }
            // White space may follow a delimiter on its line.
            while place < body.count, body[place] == 32 || body[place] == 9 { place += 1 }
            guard parts.count < maximumParts, body.dropFirst(place).starts(with: [13, 10]),
                let headerEnd = find([13, 10, 13, 10], in: body, from: place),
                headerEnd - place <= maximumHeaderBytes,
                let end = find(delimiter, in: body, from: headerEnd + 2)
            else { return nil }
            let header = Array(body[min(place + 2, headerEnd)..<headerEnd])
            guard let (name, isFile) = field(inHeader: header) else { return nil }
            let start = min(headerEnd + 4, end)
            parts.append(Part(name: name, isFile: isFile, value: body[start..<end]))
            place = end + delimiter.count
        }
    }

    /// The name in a part's `Content-Disposition`, and whether there is a file's name beside it.
    private static func field(inHeader header: [UInt8]) -> (name: [UInt8], isFile: Bool)? {
        for line in lines(of: header) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
                Array(line[..<colon]).trimmed.lowercased.elementsEqual("content-disposition".utf8)
            else { continue }
            let parameters = parameters(of: Array(line[(colon + 1)...]))
            guard parameters.first?.name.elementsEqual("form-data".utf8) == true,
                let name = parameters.first(where: { $0.name.elementsEqual("name".utf8) })
            else { return nil }
            let isFile = parameters.contains {
                $0.name.elementsEqual("filename".utf8) || $0.name.elementsEqual("filename*".utf8)
            }
            return (name.value, isFile)
        }
        return nil
    }

    private static func lines(of header: [UInt8]) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var rest = header[...]
        while let end = rest.indices.first(where: { rest[$0...].starts(with: [13, 10]) }) {
            lines.append(Array(rest[..<end]))
            rest = rest[(end + 2)...]
        }
        return lines + [Array(rest)]
    }

    /// `form-data; name="a"; filename="b"` as names and values; quotation marks may hold anything,
    /// `\"` a quotation mark.
    private static func parameters(of text: [UInt8]) -> [(name: [UInt8], value: [UInt8])] {
        var parameters: [(name: [UInt8], value: [UInt8])] = []
        var (name, value): ([UInt8], [UInt8]) = ([], [])
        var (isInValue, isQuoted, isEscaped) = (false, false, false)
        func end() {
            parameters.append((name.trimmed.lowercased, value.trimmed))
            (name, value, isInValue) = ([], [], false)
        }
        for byte in text {
            switch byte {
            case _ where isEscaped:
                value.append(byte)
                isEscaped = false
            case UInt8(ascii: "\\") where isQuoted: isEscaped = true
            case UInt8(ascii: "\"") where isInValue: isQuoted.toggle()
            case UInt8(ascii: ";") where !isQuoted: end()
            case UInt8(ascii: "=") where !isInValue: isInValue = true
            default:
                if isInValue { value.append(byte) } else { name.append(byte) }
            }
        }
        end()
        return parameters
    }

    /// The first place of a needle at or after another place. A needle begins with CR, which pictures
    /// rarely hold, so skipping to the next one makes this quick.
    private static func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        guard let first = needle.first, start >= 0 else { return nil }
        return bytes.withUnsafeBufferPointer { bytes in
            needle.withUnsafeBufferPointer { needle in
                var place = start
                while place + needle.count <= bytes.count {
                    if bytes[place] == first {
                        var length = 1
                        while length < needle.count, bytes[place + length] == needle[length] {
                            length += 1
                        }
                        if length == needle.count { return place }
                    }
                    place += 1
                }
                return nil
            }
        }
    }
}

extension [UInt8] {
    /// Without spaces and tabs around it.
    fileprivate var trimmed: [UInt8] {
        let isSpace = { (byte: UInt8) in byte == 32 || byte == 9 }
        return Array(drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }

    /// In small ASCII letters.
    fileprivate var lowercased: [UInt8] {
        map { (UInt8(ascii: "A")...UInt8(ascii: "Z")) ~= $0 ? $0 + 32 : $0 }
    }
}
