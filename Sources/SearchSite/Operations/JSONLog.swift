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

    public func log(event: LogEvent) {
        let entry = Self.entry(
            time: Self.now(), level: event.level, label: label, message: "\(event.message)",
            metadata: metadata.merging(event.metadata ?? [:]) { $1 })
        var line = entry + "\n"
        // One call for a line: lines of several threads do not mix.
        _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// `time`, `level`, `logger` and `message` come first, then the metadata by name; numbers stay
    /// numbers.
    static func entry(
        time: String, level: Logger.Level, label: String, message: String,
        metadata: Logger.Metadata
    ) -> String {
        let first: [(String, JSON)] = [
            ("time", .string(time)), ("level", .string(level.rawValue)),
            ("logger", .string(label)), ("message", .string(message)),
        ]
        let names = Set(first.map(\.0))
        let rest = metadata.sorted { $0.key < $1.key }.filter { !names.contains($0.key) }
        return JSON.object(first + rest.map { ($0.key, value("\($0.value)")) }).text
    }

    private static func value(_ text: String) -> JSON {
        if let integer = Int(text), "\(integer)" == text { return .integer(integer) }
        if let number = Double(text), number.isFinite, "\(number)" == text {
            return .number(number)
        }
        return .string(text)
    }

    /// `2024-05-01T12:34:56.789Z` (RFC 3339).
    private static func now() -> String {
        Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
