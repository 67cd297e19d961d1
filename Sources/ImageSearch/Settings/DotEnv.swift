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
        let reference = /\$\{([^}:]*)(?::-([^}]*))?\}/.matchingSemantics(.unicodeScalar)
        var scanner = Scanner(text)
        while let start = scanner.nextLine() {
            do {
                guard let (name, raw) = try scanner.binding() else { continue }
                let value = raw?.replacing(reference) { match in
                    let name = String(match.1)
                    let known = environment[name].map(Optional.some) ?? values[name]
                    // A name that is known but has no value is empty, whatever the default.
                    return (known ?? match.2.map(String.init)) ?? ""
                }
                values.updateValue(value, forKey: name)
            } catch {
                onUnreadable(scanner.lineNumber(of: start))
                scanner.skipLine()
            }
        }
        return values.compactMapValues { $0 }
    }
}

/// Reads one line's name and value after the other, scalar by scalar.
private struct Scanner {
    private let text: String
    private var rest: Substring

    // Kept, since a pattern is compiled on its first use.
    private let emptyLines = scalars(/(?:\s+|#[^\r\n]*)*/)
    private let restOfLine = scalars(/[^\r\n]*/)
    private let export = scalars(/export[^\S\r\n]+/)
    private let quotedName = scalars(/'([^']+)'/)
    private let plainName = scalars(/[^=#\s]+/)
    private let blanks = scalars(/[^\S\r\n]*/)
    private let equals = scalars(/=[^\S\r\n]*/)
    private let end = scalars(/[^\S\r\n]*(?:#[^\r\n]*)?/)
    private let singleQuoted = scalars(/'((?:\\'|[^'])*)'/)
    private let doubleQuoted = scalars(/"((?:\\"|[^"])*)"/)
    private let escapeInSingle = scalars(/\\([\\'])/)
    private let escapeInDouble = scalars(/\\([\\'"abfnrtv])/)
    /// A comment begins at a # behind white space; a # within a word belongs to the value.
    private let trailing = scalars(/\s+(?:#[\s\S]*)?\z/)

    private static func scalars<Output>(_ regex: Regex<Output>) -> Regex<Output> {
        regex.matchingSemantics(.unicodeScalar)
    }

    init(_ text: String) {
        self.text = text
        rest = text[...]
    }

    private struct Malformed: Error {}

    /// Takes what matches here; nil if nothing does.
    @discardableResult
    private mutating func take<Output>(_ regex: Regex<Output>) -> Output? {
        let match = rest.prefixMatch(of: regex)
        if let match { rest = rest[match.range.upperBound...] }
        return match?.output
    }

    private var next: Unicode.Scalar? { rest.unicodeScalars.first }

    /// Goes to the next line that is neither empty nor a comment; nil at the end of the file.
    mutating func nextLine() -> String.Index? {
        take(emptyLines)
        return rest.isEmpty ? nil : rest.startIndex
    }

    /// From 1; `\n`, `\r` and `\r\n` each end a line.
    func lineNumber(of start: String.Index) -> Int {
        text[..<start].count { ["\n", "\r", "\r\n"].contains($0) } + 1
    }

    mutating func skipLine() { take(restOfLine) }

    /// The line's name and value; nil for a comment.
    mutating func binding() throws -> (name: String, value: String?)? {
        take(export)
        var name: Substring?
        if next != "#" {
            name = next == "'" ? take(quotedName)?.1 : take(plainName)
            if name == nil { throw Malformed() }
        }
        take(blanks)
        var value: String?
        if name != nil, take(equals) != nil { value = try self.value() }
        take(end)
        guard next == nil || next == "\n" || next == "\r" else { throw Malformed() }
        return name.map { (String($0), value) }
    }

    /// A quoted value may go over several lines, and its quote may be escaped. Unknown escapes stay as they are.
    private mutating func value() throws -> String {
        let raw: Substring?
        let escape: Regex<(Substring, Substring)>
        switch next {
        case "'": (raw, escape) = (take(singleQuoted)?.1, escapeInSingle)
        case "\"": (raw, escape) = (take(doubleQuoted)?.1, escapeInDouble)
        default: return String((take(restOfLine) ?? "").replacing(trailing, with: ""))
        }
        guard let raw else { throw Malformed() }
        let meanings: [Substring: String] = [
            "a": "\u{7}", "b": "\u{8}", "f": "\u{C}", "n": "\n", "r": "\r", "t": "\t", "v": "\u{B}",
        ]
        return String(raw.replacing(escape) { meanings[$0.1] ?? String($0.1) })
    }
}
