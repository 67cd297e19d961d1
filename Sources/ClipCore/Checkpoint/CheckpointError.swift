/// Why a model file could not be used: one sentence that names the file and the fault.
public struct CheckpointError: Error, Equatable, CustomStringConvertible {
    /// The file as the caller named it.
    public let file: String
    /// What is wrong with it, as the end of a sentence.
    public let fault: String

    public init(file: String, fault: String) {
        self.file = file
        self.fault = fault
    }

    public var description: String { "\(file): \(fault)" }
}

/// A fault found deep inside a parser that does not know which file it reads;
/// ``Checkpoint`` adds the name.
package struct CheckpointFault: Error, Equatable {
    package let message: String

    package init(_ message: String) { self.message = message }
}

/// Text taken from a file, made fit for an error message: bounded, printable ASCII.
func quoted(_ text: some StringProtocol) -> String {
    var shown = ""
    for scalar in text.unicodeScalars.prefix(80) {
        shown.unicodeScalars.append((32...126).contains(scalar.value) ? scalar : "?")
    }
    return "\"\(shown)\(text.unicodeScalars.count > 80 ? "…" : "")\""
}
