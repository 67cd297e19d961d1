/// The terms of a search as a command line lists them, in its order: `--weight` counts for the term
/// before it, and a parser that gathers each option by itself would lose which that is.
public struct TermArguments: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        case text(String)
        /// A picture's file, address or key.
        case picture(String)
        /// `-`: each line of stdin in its turn.
        case line
    }

    public struct Term: Sendable, Equatable {
        public let source: Source
        public var weight: Double
    }

    public private(set) var terms: [Term] = []

    /// A command line that has no sense; one sentence.
    public struct Mistake: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    private static let signs: [String: (isText: Bool, sign: Double)] = [
        "--plus": (true, 1), "--minus": (true, -1),
        "--image": (false, 1), "--minus-image": (false, -1),
    ]

    /// - Parameters:
    ///   - arguments: the command line without the tool's name, which the tool's own parser has found
    ///     well-formed.
    ///   - otherOptions: the names of options that have a value and are none of the terms'.
    /// - Throws: ``Mistake``.
    public init(_ arguments: [String], otherOptions: Set<String>) throws(Mistake) {
        var rest = arguments[...]
        var areOptionsOver = false
        while let argument = rest.popFirst() {
            if areOptionsOver || argument == "-" || !argument.hasPrefix("-") {
                terms.append(Term(source: argument == "-" ? .line : .text(argument), weight: 1))
                continue
            }
            if argument == "--" {
                areOptionsOver = true
                continue
            }
            let equals = argument.firstIndex(of: "=")
            let name = String(argument[..<(equals ?? argument.endIndex)])
            guard name == "--weight" || Self.signs[name] != nil else {
                if otherOptions.contains(name), equals == nil { _ = rest.popFirst() }
                continue
            }
            let value = equals.map { String(argument[argument.index(after: $0)...]) }
            guard let value = value ?? rest.popFirst() else { break }
            if let (isText, sign) = Self.signs[name] {
                terms.append(Term(source: isText ? .text(value) : .picture(value), weight: sign))
            } else {
                try weigh(value)
            }
        }
        guard terms.filter({ $0.source == .line }).count <= 1 else {
            throw Mistake(description: "- stands for stdin and can be given once.")
        }
    }

    private mutating func weigh(_ value: String) throws(Mistake) {
        guard let weight = Double(value), weight.isFinite, weight > 0 else {
            throw Mistake(
                description: "--weight must be a number above 0; --minus turns a term around.")
        }
        guard let last = terms.last else {
            throw Mistake(description: "--weight counts for the term before it; there is none.")
        }
        guard abs(last.weight) == 1 else {
            throw Mistake(description: "--weight was given twice for one term.")
        }
        terms[terms.count - 1].weight = last.weight * weight
    }
}
