import ArgumentParser

/// The terms of a search in the order of the command line: `--weight` applies to the term before it.
public struct TermArguments: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        case text(String)
        /// A picture's file, address or key.
        case picture(String)
        /// `-`: each line of stdin in turn.
        case line
    }

    public struct Term: Sendable, Equatable {
        public let source: Source
        public var weight: Double
    }

    /// Empty if the command line has none.
    public private(set) var terms: [Term] = []

    /// Wrong usage; one sentence.
    public typealias Mistake = ValidationError

    private static let signs: [String: (isText: Bool, sign: Double)] = [
        "--plus": (true, 1), "--minus": (true, -1),
        "--image": (false, 1), "--minus-image": (false, -1),
    ]

    /// - Parameter arguments: the command line without the options that are not about terms.
    /// - Throws: ``Mistake``.
    public init(_ arguments: [String]) throws(Mistake) {
        var rest = arguments[...]
        var areOptionsOver = false
        var hasText = false
        while let argument = rest.popFirst() {
            if areOptionsOver || argument == "-" || !argument.hasPrefix("-") {
                guard !hasText else {
                    throw Mistake(
                        "Give one TEXT at most: put it in quotes, and add other texts with --plus.")
                }
                hasText = true
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
                throw Mistake("Unknown option '\(name)'.")
            }
            let value: String
            if let equals {
                value = String(argument[argument.index(after: equals)...])
            } else if let next = rest.first, next == "-" || !next.hasPrefix("-") {
                value = next
                rest.removeFirst()
            } else {
                throw Mistake("Missing value for '\(name)'.")
            }
            if let (isText, sign) = Self.signs[name] {
                terms.append(Term(source: isText ? .text(value) : .picture(value), weight: sign))
            } else {
                try weigh(value)
            }
        }
    }

    private mutating func weigh(_ value: String) throws(Mistake) {
        guard let weight = Double(value), weight.isFinite, weight > 0 else {
            throw Mistake("--weight must be a number above 0; use --minus to exclude a text.")
        }
        guard let last = terms.last else {
            throw Mistake("--weight applies to the term before it, and there is none.")
        }
        guard abs(last.weight) == 1 else {
            throw Mistake("--weight was given twice for one term.")
        }
        terms[terms.count - 1].weight = last.weight * weight
    }
}
