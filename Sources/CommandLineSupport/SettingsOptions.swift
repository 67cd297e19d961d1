import ArgumentParser
import ImageSearch

/// The options by which every tool finds its settings.
public struct SettingsOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp("Read the settings from this file instead of .env.", valueName: "file"))
    public var envFile: String?

    public init() {}

    /// Reads the settings, and reports unreadable lines of the file.
    public func read(for tool: String) throws -> Settings {
        let settings = try envFile.map { try Settings(path: $0, isRequired: true) } ?? Settings()
        for warning in settings.warnings { Console.note("\(tool): \(warning)") }
        return settings
    }
}
