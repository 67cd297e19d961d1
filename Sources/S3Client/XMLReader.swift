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

    /// An element: the local names from the root down to it, and its own text, that of elements inside it left out.
    package typealias Element = (path: [String], text: String)

    /// All elements, in the order of their ends.
    package static func read(_ bytes: [UInt8]) throws(Fault) -> [Element] {
        let (elements, fault) = beginning(of: bytes)
        if let fault { throw fault }
        return elements
    }

    /// The elements that end before the bytes stop being XML, and what stopped them.
    static func beginning(of bytes: [UInt8]) -> ([Element], Fault?) {
        // A byte order mark would make Expat read UTF-16.
        guard String(validating: bytes, as: UTF8.self) != nil else {
            return ([], Fault(description: "it is not UTF-8"))
        }
        guard let count = Int32(exactly: bytes.count), let parser = XML_ParserCreate("UTF-8") else {
            return ([], Fault(description: "it is too large"))
        }
        defer { XML_ParserFree(parser) }
        let document = Document(parser)
        XML_SetUserData(parser, Unmanaged.passUnretained(document).toOpaque())
        XML_SetXmlDeclHandler(parser) { context, _, encoding, _ in
            let name = encoding.map { lowercasedASCII(String(cString: $0)) } ?? "utf-8"
            guard name != "utf-8", name != "utf8", name != "us-ascii" else { return }
            Document.at(context).stop("its encoding is not UTF-8")
        }
        XML_SetStartDoctypeDeclHandler(parser) { context, _, _, _, _ in
            Document.at(context).stop("it has a document type declaration, which is refused")
        }
        XML_SetElementHandler(
            parser, { context, name, _ in Document.at(context).start(String(cString: name!)) },
            { context, _ in Document.at(context).end() })
        XML_SetCharacterDataHandler(parser) { context, text, count in
            Document.at(context).append(UnsafeRawBufferPointer(start: text, count: Int(count)))
        }
        let status = bytes.withUnsafeBytes {
            XML_Parse(parser, $0.bindMemory(to: CChar.self).baseAddress, count, 1)
        }
        if status != XML_STATUS_OK {
            let words = XML_ErrorString(XML_GetErrorCode(parser)).map { String(cString: $0) }
            document.stop(
                "\(words ?? "malformed") at byte \(max(0, XML_GetCurrentByteIndex(parser)))")
        }
        return (document.elements, document.fault)
    }

    /// What Expat's callbacks write to.
    private final class Document {
        private let parser: XML_Parser
        private var path: [String] = []
        private var texts: [[UInt8]] = []
        private(set) var elements: [Element] = []
        private(set) var fault: Fault?

        init(_ parser: XML_Parser) { self.parser = parser }

        static func at(_ context: UnsafeMutableRawPointer?) -> Document {
            Unmanaged<Document>.fromOpaque(context!).takeUnretainedValue()
        }

        /// Expat still ends an empty element that it has begun.
        func stop(_ reason: String) {
            fault = fault ?? Fault(description: reason)
            XML_StopParser(parser, XML_FALSE)
        }

        func start(_ name: String) {
            guard path.count < maximumDepth else {
                return stop("its elements are nested more than \(maximumDepth) deep")
            }
            path.append(String(name.split(separator: ":").last ?? ""))
            texts.append([])
        }

        func append(_ text: UnsafeRawBufferPointer) {
            if fault == nil { texts[texts.count - 1] += text }
        }

        func end() {
            guard fault == nil else { return }
            elements.append((path, String(decoding: texts.removeLast(), as: UTF8.self)))
            path.removeLast()
        }
    }
}
