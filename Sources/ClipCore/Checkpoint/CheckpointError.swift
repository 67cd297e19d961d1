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

/// Files that people take for weights.
enum OtherFile {
    /// What a file is, when its first bytes show that it holds no weights that can be read.
    static func describe(_ bytes: UnsafeRawBufferPointer) -> String? {
        let start = String(decoding: bytes.prefix(1_024), as: UTF8.self)
        let text = start.drop { $0.isWhitespace || $0 == "\u{FEFF}" }.lowercased()
        if text.hasPrefix("version https://git-lfs.github.com/spec/") {
            return
                "is a Git LFS pointer, not the weights it stands for; fetch them with git lfs pull"
        }
        if text.hasPrefix("<!doctype html") || text.hasPrefix("<html") {
            return
                "is a web page (HTML), not a model; download the file itself, not the page about it"
        }
        if text.hasPrefix("{") {
            return start.contains("\"weight_map\"")
                ? "is the index of a model in several files, which is not supported; save the model in one file"
                : "is a JSON file, not a model; name the file of weights, or its directory"
        }
        if text.hasPrefix("gguf") {
            return
                "is a GGUF file, which is not supported; use the model's PyTorch or safetensors file"
        }
        // A protocol buffer: field 1, ir_version, is a small number; then comes the producer's name or
        // the graph.
        if bytes.count > 3, bytes[0] == 0x08, (1...32).contains(bytes[1]),
            [0x12, 0x1A, 0x22, 0x3A, 0x42].contains(bytes[2])
        {
            return
                "is an ONNX file, which is not supported; use the model's PyTorch or safetensors file"
        }
        if bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) {
            return
                "is in the format that torch.save wrote before PyTorch 1.6; load and save it again with a newer PyTorch"
        }
        return nil
    }
}
