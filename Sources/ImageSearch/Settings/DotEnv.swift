/// Reads `.env` files as python-dotenv reads them, so that a file written for the Python demo means
/// the same here: `export`, quotes, escapes, comments, values over several lines, `${NAME}` and
/// `${NAME:-default}`. Lines that cannot be read are skipped, as there, and reported.
///
/// swift-configuration's reader supports neither quotes nor `export`.
/// Source: python-dotenv 1.1, `dotenv/parser.py` and `dotenv/variables.py`.
package enum DotEnv {
    /// - Parameters:
    ///   - text: the file's contents.
    ///   - environment: wins over earlier lines in `${NAME}`.
    ///   - onUnreadable: gets the number of each line that cannot be read, from 1.
    /// - Returns: values by name; the last of equal names counts.
    package static func parse(
        _ text: String, environment: [String: String] = [:],
        onUnreadable: (_ line: Int) -> Void = { _ in }
    ) -> [String: String] {
        // A name without a value also removes the value that it had.
        var values: [String: String?] = [:]
        var scanner = Scanner(Array(text.unicodeScalars))
        while let binding = scanner.nextBinding(onUnreadable) {
            guard let (name, raw) = binding else { continue }
            let value = raw.map {
                interpolate($0) { environment[$0].map(Optional.some) ?? values[$0] }
            }
            values.updateValue(value, forKey: name)
        }
        return values.compactMapValues { $0 }
    }

    /// Replaces `${NAME}` and `${NAME:-default}`; an unknown name without default is empty, and so is
    /// one that is known but has no value.
    private static func interpolate(_ raw: String, _ lookUp: (String) -> String??) -> String {
        var result = ""
        var rest = raw[...]
        while let start = rest.firstRange(of: "${"),
            let end = rest[start.upperBound...].firstIndex(of: "}")
        {
            let inside = rest[start.upperBound..<end]
            let name: Substring
            let fallback: Substring?
            if let separator = inside.firstIndex(of: ":") {
                guard inside[separator...].hasPrefix(":-") else {
                    // Not a reference, such as `${A:B}`: left as it is.
                    result += rest[..<start.upperBound]
                    rest = rest[start.upperBound...]
                    continue
                }
                name = inside[..<separator]
                fallback = inside[separator...].dropFirst(2)
            } else {
                name = inside
                fallback = nil
            }
            result += rest[..<start.lowerBound]
            result += (lookUp(String(name)) ?? fallback.map(String.init)) ?? ""
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }
}

private struct Scanner {
    private let scalars: [Unicode.Scalar]
    private var position = 0

    init(_ scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private struct Malformed: Error {}

    /// The next line's name and value: nil at the end of the file, `.some(nil)` for a comment or a
    /// line that cannot be read.
    mutating func nextBinding(_ onUnreadable: (Int) -> Void) -> (name: String, value: String?)?? {
        skip { $0.properties.isWhitespace }
        guard position < scalars.count else { return nil }
        let start = position
        do {
            return .some(try binding())
        } catch {
            onUnreadable(lineNumber(of: start))
            skip { !Self.isLineEnd($0) }
            return .some(nil)
        }
    }

    /// From 1; `\n`, `\r` and `\r\n` each end a line.
    private func lineNumber(of position: Int) -> Int {
        scalars[..<position].indices.count { index in
            scalars[index] == "\n" && (index == 0 || scalars[index - 1] != "\r")
                || scalars[index] == "\r"
        } + 1
    }

    private mutating func binding() throws -> (name: String, value: String?)? {
        skipExport()
        let name = try name()
        skipBlanks()
        var value: String?
        if peek == "=", name != nil {
            position += 1
            skipBlanks()
            value = try self.value()
        }
        skipBlanks()
        if peek == "#" { skip { !Self.isLineEnd($0) } }
        skipBlanks()
        guard peek.map(Self.isLineEnd) ?? true else { throw Malformed() }
        return name.map { ($0, value) }
    }

    private mutating func skipExport() {
        let word = Array("export".unicodeScalars)
        guard scalars[position...].starts(with: word),
            position + word.count < scalars.count,
            Self.isBlank(scalars[position + word.count])
        else { return }
        position += word.count
        skipBlanks()
    }

    private mutating func name() throws -> String? {
        if peek == "#" { return nil }
        if peek == "'" {
            let start = position
            position += 1
            let name = take { $0 != "'" }
            guard !name.isEmpty, peek == "'" else {
                position = start
                throw Malformed()
            }
            position += 1
            return name
        }
        let name = take { $0 != "=" && $0 != "#" && !$0.properties.isWhitespace }
        guard !name.isEmpty else { throw Malformed() }
        return name
    }

    private mutating func value() throws -> String {
        switch peek {
        case "'": return try quoted(by: "'", escapes: ["\\": "\\", "'": "'"])
        case "\"":
            return try quoted(
                by: "\"",
                escapes: [
                    "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}", "f": "\u{C}",
                    "n": "\n", "r": "\r", "t": "\t", "v": "\u{B}",
                ])
        default:
            var line = Array(take { !Self.isLineEnd($0) }.unicodeScalars)
            // A comment begins at a # behind white space; a # within a word belongs to the value.
            for index in line.indices.dropFirst()
            where line[index] == "#" && line[index - 1].properties.isWhitespace {
                line.removeSubrange(index...)
                break
            }
            while line.last?.properties.isWhitespace == true { line.removeLast() }
            return String(String.UnicodeScalarView(line))
        }
    }

    /// A quoted value, which may go over several lines. Unknown escapes stay as they are.
    private mutating func quoted(
        by quote: Unicode.Scalar, escapes: [Unicode.Scalar: Unicode.Scalar]
    ) throws -> String {
        let start = position
        position += 1
        var raw: [Unicode.Scalar] = []
        while let scalar = peek, scalar != quote {
            // The quote itself may be escaped; which escapes mean something is settled below.
            if scalar == "\\", position + 1 < scalars.count, scalars[position + 1] == quote {
                raw.append(scalar)
                position += 1
            }
            raw.append(scalars[position])
            position += 1
        }
        guard peek == quote else {
            // Only this line is lost, not everything after the quote.
            position = start
            throw Malformed()
        }
        position += 1

        var text = String.UnicodeScalarView()
        var index = 0
        while index < raw.count {
            if raw[index] == "\\", index + 1 < raw.count, let meant = escapes[raw[index + 1]] {
                text.append(meant)
                index += 2
            } else {
                text.append(raw[index])
                index += 1
            }
        }
        return String(text)
    }

    private var peek: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    private mutating func skip(while condition: (Unicode.Scalar) -> Bool) {
        while let scalar = peek, condition(scalar) { position += 1 }
    }

    private mutating func skipBlanks() { skip(while: Self.isBlank) }

    private mutating func take(while condition: (Unicode.Scalar) -> Bool) -> String {
        let start = position
        skip(while: condition)
        return String(String.UnicodeScalarView(scalars[start..<position]))
    }

    private static func isLineEnd(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\n" || scalar == "\r"
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace && !isLineEnd(scalar)
    }
}
