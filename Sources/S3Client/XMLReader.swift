/// A small, strict reader of the XML that S3 answers with.
///
/// Why not Foundation's: linking FoundationXML doubles the time that a command needs to start, and
/// its parser takes document type declarations, where every attack through XML begins. S3's
/// documents are elements and text; this reads those by XML 1.0 (fifth edition), plus
/// attributes, comments, CDATA sections and processing instructions, and refuses a `<!DOCTYPE`, so
/// that there are no entities but the five predefined ones and characters by number. Takes one
/// thing that XML 1.0 forbids and S3 sends: control characters by number (`&#x1;`).
///
/// Memory is bounded by the document's size; nesting by `maximumDepth`.
package struct XMLReader {
    package struct Fault: Error, Equatable, CustomStringConvertible {
        package let description: String
        package let offset: Int
    }

    package static let maximumDepth = 32

    private let bytes: [UInt8]
    private var index = 0

    /// Calls `element` at the end of each element with the local names from the root down to it
    /// and its own text, the text of elements inside it left out.
    package static func read(
        _ bytes: [UInt8], element: (_ path: [String], _ text: String) throws -> Void
    ) throws {
        var reader = XMLReader(bytes: bytes)
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Fault(description: "it is not UTF-8", offset: 0)
        }
        try reader.document(element)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func fault(_ description: String) -> Fault {
        Fault(description: description, offset: index)
    }

    // MARK: Grammar

    private mutating func document(
        _ element: (_ path: [String], _ text: String) throws -> Void
    ) throws {
        if next([0xEF, 0xBB, 0xBF]) { index += 3 }
        if next("<?xml"), index + 5 < bytes.count, isSpace(bytes[index + 5]) {
            try declaration()
        }

        var path: [String] = []
        var names: [ArraySlice<UInt8>] = []
        var texts: [[UInt8]] = []
        var sawRoot = false
        while index < bytes.count {
            if bytes[index] != UInt8(ascii: "<") {
                guard let last = texts.indices.last else {
                    guard isSpace(bytes[index]) else {
                        throw fault("there is text outside of the root element")
                    }
                    index += 1
                    continue
                }
                try text(into: &texts[last])
            } else if next("<!--") {
                try comment()
            } else if next("<![CDATA[") {
                guard let last = texts.indices.last else {
                    throw fault("there is text outside of the root element")
                }
                index += 9
                let end = try find("]]>")
                while index < end { try appendCharacter(to: &texts[last]) }
                index = end + 3
            } else if next("<!") {
                throw fault("it has a document type declaration, which is refused")
            } else if next("<?") {
                try processingInstruction()
            } else if next("</") {
                index += 2
                let name = try name()
                skipSpace()
                try expect(">")
                guard let open = names.last, open == name else {
                    throw fault("an end tag does not match its start tag")
                }
                try close()
            } else {
                guard path.isEmpty == false || sawRoot == false else {
                    throw fault("it has a second root element")
                }
                sawRoot = true
                index += 1
                let name = try name()
                guard path.count < Self.maximumDepth else {
                    throw fault("its elements are nested more than \(Self.maximumDepth) deep")
                }
                let local = name.split(separator: UInt8(ascii: ":")).last ?? name
                path.append(String(decoding: local, as: UTF8.self))
                names.append(name)
                texts.append([])
                try attributes()
                if next("/>") {
                    index += 2
                    try close()
                } else {
                    try expect(">")
                }
            }
        }
        guard sawRoot else { throw fault("it has no root element") }
        guard path.isEmpty else { throw fault("it ends inside an element") }

        func close() throws {
            let text = texts.removeLast()
            try element(path, String(decoding: text, as: UTF8.self))
            path.removeLast()
            names.removeLast()
        }
    }

    private mutating func declaration() throws {
        let start = index
        let end = try find("?>")
        let text = lowercasedASCII(String(decoding: bytes[start..<end], as: UTF8.self))
        if let encoding = text.split(separator: "encoding", maxSplits: 1).dropFirst().first {
            let value = encoding.drop { $0 == " " || $0 == "\t" || $0 == "=" || $0 == "\n" }
            let name = value.dropFirst().prefix { $0 != "\"" && $0 != "'" }
            guard name == "utf-8" || name == "utf8" || name == "us-ascii" || name == "ascii" else {
                throw fault("its encoding is not UTF-8")
            }
        }
        index = end + 2
    }

    private mutating func comment() throws {
        index += 4
        let end = try find("--")
        while index < end { try skipCharacter() }
        guard end + 2 < bytes.count, bytes[end + 2] == UInt8(ascii: ">") else {
            throw fault("a comment has two hyphens inside")
        }
        index = end + 3
    }

    private mutating func processingInstruction() throws {
        index += 2
        let target = try name()
        guard lowercasedASCII(String(decoding: target, as: UTF8.self)) != "xml" else {
            throw fault("an XML declaration is not at the beginning")
        }
        guard next("?>") || (index < bytes.count && isSpace(bytes[index])) else {
            throw fault("a processing instruction is malformed")
        }
        let end = try find("?>")
        while index < end { try skipCharacter() }
        index = end + 2
    }

    private mutating func attributes() throws {
        var seen: [ArraySlice<UInt8>] = []
        while true {
            let before = index
            skipSpace()
            guard index < bytes.count else { throw fault("it ends inside a tag") }
            if bytes[index] == UInt8(ascii: ">") || bytes[index] == UInt8(ascii: "/") { return }
            guard index > before else { throw fault("a tag is malformed") }
            let attribute = try name()
            guard seen.contains(attribute) == false, seen.count < 16 else {
                throw fault("a tag repeats an attribute or has too many")
            }
            seen.append(attribute)
            skipSpace()
            try expect("=")
            skipSpace()
            guard index < bytes.count,
                bytes[index] == UInt8(ascii: "\"") || bytes[index] == UInt8(ascii: "'")
            else { throw fault("an attribute's value has no quotes") }
            let quote = bytes[index]
            index += 1
            var value: [UInt8] = []
            while index < bytes.count, bytes[index] != quote {
                guard bytes[index] != UInt8(ascii: "<") else {
                    throw fault("an attribute's value has a < inside")
                }
                if bytes[index] == UInt8(ascii: "&") {
                    try reference(into: &value)
                } else {
                    try skipCharacter()
                }
            }
            try expect(quote == UInt8(ascii: "\"") ? "\"" : "'")
        }
    }

    /// Character data up to the next `<`.
    private mutating func text(into text: inout [UInt8]) throws {
        while index < bytes.count, bytes[index] != UInt8(ascii: "<") {
            if bytes[index] == UInt8(ascii: "&") {
                try reference(into: &text)
            } else if next("]]>") {
                throw fault("its text has a ]]> that ends nothing")
            } else {
                try appendCharacter(to: &text)
            }
        }
    }

    /// `&lt;`, `&#60;`, `&#x3C;` and the like.
    private mutating func reference(into text: inout [UInt8]) throws {
        let body = bytes[(index + 1)...].prefix(12)
        guard let length = body.firstIndex(of: UInt8(ascii: ";")).map({ $0 - body.startIndex })
        else { throw fault("an & begins no reference") }
        let name = String(decoding: body.prefix(length), as: UTF8.self)
        switch name {
        case "lt": text.append(UInt8(ascii: "<"))
        case "gt": text.append(UInt8(ascii: ">"))
        case "amp": text.append(UInt8(ascii: "&"))
        case "quot": text.append(UInt8(ascii: "\""))
        case "apos": text.append(UInt8(ascii: "'"))
        default:
            let digits = name.dropFirst(name.hasPrefix("#x") ? 2 : 1)
            guard name.hasPrefix("#"), digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }),
                let value = UInt32(digits, radix: name.hasPrefix("#x") ? 16 : 10),
                value != 0, value != 0xFFFE, value != 0xFFFF, let scalar = Unicode.Scalar(value)
            else { throw fault("it refers to an entity or character that there is not") }
            text.append(contentsOf: UTF8.encode(scalar)!)
        }
        index += length + 2
    }

    // MARK: Characters

    /// One byte of character data; line ends become a line feed (section 2.11).
    private mutating func appendCharacter(to text: inout [UInt8]) throws {
        if bytes[index] == UInt8(ascii: "\r") {
            text.append(UInt8(ascii: "\n"))
            index += next([0x0D, 0x0A]) ? 2 : 1
            return
        }
        text.append(bytes[index])
        try skipCharacter()
    }

    private mutating func skipCharacter() throws {
        let byte = bytes[index]
        guard byte >= 0x20 || isSpace(byte), next([0xEF, 0xBF, 0xBE]) == false,
            next([0xEF, 0xBF, 0xBF]) == false
        else { throw fault("it has a character that XML forbids") }
        index += 1
    }

    /// The bytes beyond ASCII are let through without looking at which letters they are.
    private mutating func name() throws -> ArraySlice<UInt8> {
        let start = index
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "_"), UInt8(ascii: ":"), 0x80...:
                try skipCharacter()
                continue
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."):
                if index > start {
                    index += 1
                    continue
                }
            default: break
            }
            break
        }
        guard index > start, index - start <= 256 else { throw fault("a name is malformed") }
        return bytes[start..<index]
    }

    private func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    private mutating func skipSpace() {
        while index < bytes.count, isSpace(bytes[index]) { index += 1 }
    }

    private func next(_ expected: StaticString) -> Bool {
        expected.withUTF8Buffer { next($0) }
    }

    private func next(_ expected: some Collection<UInt8>) -> Bool {
        bytes.count - index >= expected.count
            && bytes[index..<(index + expected.count)].elementsEqual(expected)
    }

    private mutating func expect(_ expected: StaticString) throws {
        guard next(expected) else { throw fault("a tag is malformed") }
        index += expected.utf8CodeUnitCount
    }

    /// The offset of the next `end` from here on.
    private func find(_ end: StaticString) throws -> Int {
        let found: Int? = end.withUTF8Buffer { end in
            var at = index
            while at + end.count <= bytes.count {
                if bytes[at] == end[0], bytes[at..<(at + end.count)].elementsEqual(end) {
                    return at
                }
                at += 1
            }
            return nil
        }
        guard let found else {
            throw fault("it ends inside a comment, a CDATA section or an instruction")
        }
        return found
    }
}
