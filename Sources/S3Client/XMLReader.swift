import CExpat

/// Reads the XML that S3 answers with, elements and text, by Expat.
///
/// Linking FoundationXML would double the time that a command needs to start. Documents are UTF-8. A document type
/// declaration, where every attack through XML begins, is refused. Memory is bounded by the document's size.
package enum XMLReader {
    package struct Fault: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    package static let maximumDepth = 32

    /// Calls `element` at the end of each element with the local names from the root down to it
    /// and its own text, the text of elements inside it left out. Throws `Fault`, and what `element` throws.
    package static func read(
        _ bytes: [UInt8], element: (_ path: [String], _ text: String) throws -> Void
    ) throws {
        // A byte order mark would make Expat read UTF-16.
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Fault(description: "it is not UTF-8")
        }
        guard let count = Int32(exactly: bytes.count), let parser = XML_ParserCreate("UTF-8") else {
            throw Fault(description: "it is too large")
        }
        defer { XML_ParserFree(parser) }
        try withoutActuallyEscaping(element) { element in
            let document = Document(parser, element)
            defer { document.element = nil }
            XML_SetUserData(parser, Unmanaged.passUnretained(document).toOpaque())
            XML_SetXmlDeclHandler(parser) { context, _, encoding, _ in
                let name = encoding.map { lowercasedASCII(String(cString: $0)) } ?? "utf-8"
                guard name != "utf-8", name != "utf8", name != "us-ascii" else { return }
                Document.at(context).stop(Fault(description: "its encoding is not UTF-8"))
            }
            XML_SetStartDoctypeDeclHandler(parser) { context, _, _, _, _ in
                Document.at(context).stop(
                    Fault(description: "it has a document type declaration, which is refused"))
            }
            XML_SetElementHandler(
                parser, { context, name, _ in Document.at(context).start(String(cString: name!)) },
                { context, _ in Document.at(context).end() })
            XML_SetCharacterDataHandler(parser) { context, text, count in
                Document.at(context).append(UnsafeRawBufferPointer(start: text, count: Int(count)))
            }
            let status = withExtendedLifetime(document) {
                bytes.withUnsafeBytes {
                    XML_Parse(parser, $0.bindMemory(to: CChar.self).baseAddress, count, 1)
                }
            }
            if let error = document.error { throw error }
            guard status == XML_STATUS_OK else {
                let words = XML_ErrorString(XML_GetErrorCode(parser)).map { String(cString: $0) }
                throw Fault(
                    description: "\(words ?? "malformed") at byte "
                        + "\(max(0, XML_GetCurrentByteIndex(parser)))")
            }
        }
    }

    /// What Expat's callbacks write to.
    private final class Document {
        private let parser: XML_Parser
        var element: ((_ path: [String], _ text: String) throws -> Void)?
        private var path: [String] = []
        private var texts: [[UInt8]] = []
        private(set) var error: (any Error)?

        init(_ parser: XML_Parser, _ element: @escaping ([String], String) throws -> Void) {
            self.parser = parser
            self.element = element
        }

        static func at(_ context: UnsafeMutableRawPointer?) -> Document {
            Unmanaged<Document>.fromOpaque(context!).takeUnretainedValue()
        }

        /// Expat still ends an empty element that it has begun.
        func stop(_ error: any Error) {
            if self.error == nil { self.error = error }
            XML_StopParser(parser, XML_FALSE)
        }

        func start(_ name: String) {
            guard path.count < maximumDepth else {
                stop(Fault(description: "its elements are nested more than \(maximumDepth) deep"))
                return
            }
            path.append(String(name.split(separator: ":").last ?? ""))
            texts.append([])
        }

        func append(_ text: UnsafeRawBufferPointer) {
            if error == nil { texts[texts.count - 1] += text }
        }

        func end() {
            guard error == nil else { return }
            do {
                try element?(path, String(decoding: texts.removeLast(), as: UTF8.self))
                path.removeLast()
            } catch {
                stop(error)
            }
        }
    }
}
