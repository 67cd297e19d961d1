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

    /// Of a parser that does not know which file it reads; ``Checkpoint`` adds the name.
    package init(_ fault: String) { self.init(file: "", fault: fault) }

    /// The same error of this file, if it names none.
    func naming(_ file: String) -> CheckpointError {
        self.file.isEmpty ? CheckpointError(file: file, fault: fault) : self
    }

    public var description: String { "\(file): \(fault)" }
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
    /// What stands in place of the file that was meant: a pointer to it, or a page about it.
    static func placeholder(_ bytes: UnsafeRawBufferPointer) -> String? {
        let text = start(bytes)
        if text.hasPrefix("version https://git-lfs.github.com/spec/") {
            return "is a Git LFS pointer, not the file it stands for; fetch it with git lfs pull"
        }
        if text.hasPrefix("<!doctype html") || text.hasPrefix("<html") {
            return "is a web page (HTML); download the file itself, not the page about it"
        }
        return nil
    }

    private static func start(_ bytes: UnsafeRawBufferPointer) -> String {
        let text = String(decoding: bytes.prefix(1_024), as: UTF8.self)
        return String(text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }).lowercased()
    }

    /// What a file is, when its first bytes show that it holds no weights that can be read.
    static func describe(_ bytes: UnsafeRawBufferPointer) -> String? {
        if let what = placeholder(bytes) { return what }
        let text = start(bytes)
        if text.hasPrefix("{") {
            return text.contains("\"weight_map\"")
                ? "is the index of a model in several files, which is not supported; save the model in one file"
                : "is a JSON file, not a model; name the file of weights, or its directory"
        }
        func unsupported(_ kind: String) -> String {
            "is \(kind), which is not supported; use the model's PyTorch or safetensors file"
        }
        if text.hasPrefix("gguf") { return unsupported("a GGUF file") }
        if bytes.starts(with: [0x89] + "HDF".utf8) { return unsupported("an HDF5 file (Keras)") }
        if bytes.starts(with: [0x1F, 0x8B]) { return "is compressed with gzip; unpack it first" }
        // A protocol buffer: field 1, ir_version, is a small number; then comes the producer's name or
        // the graph.
        if bytes.count > 3, bytes[0] == 0x08, (1...32).contains(bytes[1]),
            [0x12, 0x1A, 0x22, 0x3A, 0x42].contains(bytes[2])
        {
            return unsupported("an ONNX file")
        }
        if bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) {
            return
                "is in the format that torch.save wrote before PyTorch 1.6; load and save it again with a newer PyTorch"
        }
        return nil
    }
}
