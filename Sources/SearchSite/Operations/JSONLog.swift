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
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var time = tm()
        gmtime_r(&now.tv_sec, &time)
        func digits(_ value: Int, _ count: Int) -> String {
            let text = "\(value)"
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = [Int(time.tm_year) + 1_900, Int(time.tm_mon) + 1, Int(time.tm_mday)]
            .map { digits($0, 2) }.joined(separator: "-")
        let clock = [time.tm_hour, time.tm_min, time.tm_sec].map { digits(Int($0), 2) }
            .joined(separator: ":")
        return "\(date)T\(clock).\(digits(now.tv_nsec / 1_000_000, 3))Z"
    }
}
