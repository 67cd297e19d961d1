import FoundationEssentials

/// What no tensor shows of a model: read from the file beside the weights, or OpenAI's rules.
package struct ModelDescription {
    package struct Tower: Equatable {
        package var activation: Activation
        package var headWidth = 64
        /// Attention heads, where their number is stated instead of their width.
        package var heads: Int?
        /// Of the layer norms.
        package var epsilon: Float = 1e-5
    }

    /// A size that the file states, which the tensors must have too.
    struct Claim {
        let setting: String
        let value: Int
        let size: KeyPath<ClipConfiguration, Int>
    }

    package var architecture = Architecture.clip
    package var vision: Tower
    package var text: Tower
    /// Side of the images in pixels, where it need not be a multiple of the patches' side.
    package var imageSize: Int?
    package var tokenizer = TokenizerKind.clip(.openAI)
    /// Whether texts are projected; images of SigLIP never are.
    package var projectsTexts = true
    package var preprocessing = ImagePreprocessing.openAI
    /// The name of the file that says so; nil when nothing but the activation is known.
    package var file: String?
    var claims: [Claim] = []

    /// - Parameter activation: of both towers; all else is as in OpenAI's models.
    package init(activation: Activation) {
        vision = Tower(activation: activation)
        text = vision
    }

    mutating func claim(
        _ setting: String, _ value: Int?, _ size: KeyPath<ClipConfiguration, Int>
    ) {
        if let value { claims.append(Claim(setting: setting, value: value, size: size)) }
    }

    package static var openAI: ModelDescription { ModelDescription(activation: .quickGELU) }
}

/// One object of a configuration file. Each setting is taken once; what is left at the end is not
/// understood, and refused.
struct ConfigurationSection {
    /// The file, for messages.
    let file: String
    /// The path of the object within the file, with a dot at its end; empty for the outermost.
    let path: String
    private var values: [String: JSONValue]

    func failure(_ fault: String) -> CheckpointError { CheckpointError(file: file, fault: fault) }

    private func isWrong(_ name: String, _ value: JSONValue) -> CheckpointError {
        failure("the setting \(path)\(name) = \(value.shown) is not supported")
    }

    func peek(_ name: String) -> JSONValue? { values[name] }

    mutating func take(_ name: String) -> JSONValue? { values.removeValue(forKey: name) }

    /// Settings that cannot change an embedding.
    mutating func ignore(_ names: Set<String>) {
        for name in names { values[name] = nil }
    }

    mutating func section(_ name: String) throws(CheckpointError) -> ConfigurationSection? {
        guard let value = take(name), value != .null else { return nil }
        guard case .object(let inner) = value else { throw isWrong(name, value) }
        return ConfigurationSection(file: file, path: "\(path)\(name).", values: inner)
    }

    mutating func int(_ name: String) throws(CheckpointError) -> Int? {
        guard let value = take(name), value != .null else { return nil }
        guard let int = value.int else { throw isWrong(name, value) }
        return int
    }

    mutating func number(_ name: String) throws(CheckpointError) -> Double? {
        guard let value = take(name), value != .null else { return nil }
        guard case .number(let number) = value else { throw isWrong(name, value) }
        return number
    }

    /// A side of a square: a number, or two equal ones.
    mutating func side(_ name: String) throws(CheckpointError) -> Int? {
        guard let value = take(name), value != .null else { return nil }
        var sides: [JSONValue]
        switch value {
        case .number: sides = [value]
        case .array(let values): sides = values
        case .object(let values) where Set(values.keys) == ["height", "width"]:
            sides = Array(values.values)
        default: throw isWrong(name, value)
        }
        guard let side = sides.first?.int, sides.allSatisfy({ $0 == sides[0] }) else {
            throw isWrong(name, value)
        }
        return side
    }

    /// Three numbers, one for each channel.
    mutating func channels(_ name: String) throws(CheckpointError) -> [Float]? {
        guard let value = take(name), value != .null else { return nil }
        guard case .array(let values) = value, values.count == 3 else { throw isWrong(name, value) }
        return try values.map { (element) throws(CheckpointError) in
            guard case .number(let number) = element, number.isFinite else {
                throw isWrong(name, value)
            }
            return Float(number)
        }
    }

    /// One of the values that are understood.
    mutating func choice<T>(
        _ name: String, _ choices: [(JSONValue, T)]
    ) throws(CheckpointError) -> T? {
        guard let value = take(name), value != .null else { return nil }
        guard let choice = choices.first(where: { $0.0 == value }) else {
            throw isWrong(name, value)
        }
        return choice.1
    }

    mutating func flag(_ name: String) throws(CheckpointError) -> Bool? {
        try choice(name, [(.bool(true), true), (.bool(false), false)])
    }

    /// A setting that must have the value that changes nothing, or be left out.
    mutating func expect(_ name: String, _ neutral: JSONValue...) throws(CheckpointError) {
        _ = try choice(name, neutral.map { ($0, ()) })
    }

    /// - Throws: ``CheckpointError`` naming a setting that was not taken.
    func finish() throws(CheckpointError) {
        if let (name, value) = values.min(by: { $0.key < $1.key }) { throw isWrong(name, value) }
    }
}

extension ConfigurationSection {
    /// Reads a file that holds one JSON object.
    /// - Returns: nil when there is no such file.
    init?(file: String) throws(CheckpointError) {
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        let mapped = try MappedFile(path: file)
        if let what = OtherFile.placeholder(mapped.bytes) {
            throw CheckpointError(file: file, fault: what)
        }
        guard mapped.bytes.count <= 4 << 20, case .object(let values)? = JSONValue(mapped.bytes)
        else {
            throw CheckpointError(
                file: file, fault: "is not a JSON object, or one of its objects has a name twice")
        }
        self.init(file: file, path: "", values: values)
    }
}
