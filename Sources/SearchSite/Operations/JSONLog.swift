import FoundationEssentials
import Glibc
import ImageSearch
import Logging

/// Writes each entry as one JSON object on a line of stderr, for collectors of logs.
public struct JSONLog: LogHandler {
    public var logLevel = Logger.Level.info
    public var metadata: Logger.Metadata = [:]
    private let label: String

    public init(label: String) { self.label = label }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// `time`, `level`, `logger` and `message` come first, then the metadata by name; numbers stay
    /// numbers.
    public func log(event: LogEvent) {
        // `2024-05-01T12:34:56.789Z` (RFC 3339).
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        let first: [(String, JSON)] = [
            ("time", .string(time)), ("level", .string(event.level.rawValue)),
            ("logger", .string(label)), ("message", .string("\(event.message)")),
        ]
        let rest = metadata.merging(event.metadata ?? [:]) { $1 }
            .filter { (name, _) in !first.contains { $0.0 == name } }.sorted { $0.key < $1.key }
            .map { ($0.key, Self.value("\($0.value)")) }
        var line = JSON.object(first + rest).text + "\n"
        // One call for a line: lines of several threads do not mix.
        _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func value(_ text: String) -> JSON {
        if let integer = Int(text), "\(integer)" == text { return .integer(integer) }
        if let number = Double(text), number.isFinite, "\(number)" == text {
            return .number(number)
        }
        return .string(text)
    }
}
