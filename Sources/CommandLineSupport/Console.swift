import ArgumentParser
import ClipCore
import Dispatch
import FoundationEssentials
import Glibc
import ImageSearch
import S3Client

private let systemWrite = write

/// What the command-line tools share: data goes to stdout, everything for people to stderr.
public enum Console {
    /// What `--version` prints.
    public static let version: String = {
        // Settings are read later, and a `.env` file not at all.
        let cap = ProcessInfo.processInfo.environment["CLIP_MAX_ISA"]
        if let set = cap.flatMap(InstructionSet.init(rawValue:)) { InstructionSet.limit(to: set) }
        return Build.summary
    }()

    /// The same as labels of a metric.
    public static var build: [(String, String)] {
        [
            ("version", Build.version), ("commit", Build.commit ?? ""),
            ("formats", Build.formats.joined(separator: ", ")),
            ("instructions", InstructionSet.inUse.rawValue),
        ]
    }

    /// Writes a line for people.
    public static func note(_ text: String) {
        // Losing messages is no failure.
        _ = write(text + "\n", to: STDERR_FILENO)
    }

    /// Writes one line of data.
    public static func line(_ text: String) { data(text + "\n") }

    /// Writes data as it is.
    public static func data(_ text: String) {
        guard !write(text, to: STDOUT_FILENO) else { return }
        note("the results cannot be written: \(String(cString: strerror(errno)))")
        _exit(1)
    }

    /// Rewrites the current line of the terminal, if stderr is one; an empty text clears it.
    public static func rewriteLine(_ text: String) {
        if isTerminal { _ = write("\r" + text + "\u{1B}[K", to: STDERR_FILENO) }
    }

    /// Notes that a precision was chosen where it does not pay.
    public static func notePrecision(_ settings: Settings) throws {
        let set = InstructionSet.inUse
        let precision = try settings.precision()
        guard precision != .fp32, !set.speedsUpIntegers else { return }
        note(
            "CLIP_PRECISION=\(precision.rawValue) is not faster than fp32 on this processor "
                + "(\(set.rawValue)).")
    }

    /// Whether stdout is a terminal that takes escape sequences. One without hyperlinks ignores them.
    public static var showsHyperlinks: Bool {
        isatty(STDOUT_FILENO) == 1
            && !["", "dumb"].contains(getenv("TERM").map { String(cString: $0) } ?? "")
    }

    /// Whether stderr is a terminal.
    public static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes all of a text; false with `errno` set when that fails.
    static func write(_ text: String, to descriptor: Int32) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wanted, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// Makes sure that stdin, stdout and stderr are open: otherwise the next file or socket to be opened
    /// would take the number of a closed one, and receive what is meant for people.
    public static func openStandardDescriptors() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest free number is this one. Writing to it fails, as it should.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }

    /// Makes text from outside (a key, a file name) safe for one line of a terminal: control characters
    /// are escaped.
    public static func printable(_ text: String) -> String {
        S3Client.printable(text, limit: 2_000)
    }

    /// Runs a tool's work and ends the program: with the code that the work gives, or, after an
    /// error, with one sentence on stderr and exit code 1. No exit handlers run, which would tear down libraries
    /// (OpenSSL among them) that other threads may still be using. Nothing is buffered.
    public static func run(_ tool: String, _ body: () throws -> Int32) -> Never {
        start()
        do { _exit(try body()) } catch { fail(tool, error) }
    }

    /// The same for a tool that serves.
    public static func run(_ tool: String, _ body: () async throws -> Int32) async -> Never {
        start()
        do { _exit(try await body()) } catch { fail(tool, error) }
    }

    /// Runs blocking work on a thread of its own instead of one of Swift's cooperative threads.
    public static func onThread<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await ThreadPool(threads: 1, waiting: 0).run(body)
    }

    private static func start() {
        openStandardDescriptors()
        BLASThreads.useCallingThread()
    }

    private static func fail(_ tool: String, _ error: any Error) -> Never {
        note("\(tool): \(error)")
        _exit(1)
    }

    /// Finds the model file, showing a download's progress.
    public static func locateModel(_ settings: Settings) throws -> String {
        var shown: Int64 = -1
        defer { if shown >= 0, isTerminal { note("") } }
        let waiting = { note("waiting for another process that is downloading the model") }
        return try ModelFile(settings).locate(waiting: waiting) { received, total in
            let megabytes = received / 1_000_000
            guard megabytes != shown else { return }
            shown = megabytes
            let of = total.map { " of \($0 / 1_000_000)" } ?? ""
            let text = "downloading the model: \(megabytes)\(of) MB"
            if isTerminal {
                rewriteLine(text)
            } else if megabytes % 50 == 0 {
                note(text)
            }
        }
    }
}

/// Ctrl-C (SIGINT) and SIGTERM for a tool that can end in order: the first signal asks it to, the second
/// ends it at once.
public enum Interruption {
    private static let received = Monitor<Int32?>(nil)

    /// The exit code after a signal, 128 and its number as in shells: 130 for Ctrl-C, 143 for SIGTERM; nil
    /// when none was received.
    public static var exitCode: Int32? { received.read { $0 }.map { 128 + $0 } }

    /// Handles the signals, except one that the parent process had ignored.
    /// - Parameter handler: called once, on a thread of its own.
    public static func handle(_ handler: @escaping @Sendable () -> Void) {
        let queue = DispatchQueue(label: "signals")
        for number in [SIGINT, SIGTERM] {
            // The source takes the place of the signal's own action.
            let former = signal(number, SIG_IGN)
            if unsafeBitCast(former, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                continue
            }
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                // The reference to itself keeps the source.
                if exitCode != nil || source.data > 1 { _exit(128 + number) }
                received.update { $0 = number }
                handler()
            }
            source.activate()
        }
    }
}

/// Refuses an option's number outside of its range; one that is not given is in it.
public func check<Number: Comparable>(
    _ option: String, _ number: Number?, in range: ClosedRange<Number>
) throws {
    guard number.map(range.contains) ?? true else {
        throw ValidationError("\(option) must be \(range.lowerBound) to \(range.upperBound).")
    }
}

/// The options by which every tool finds its settings.
public struct SettingsOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp("Read the settings from this file instead of .env.", valueName: "file"),
        completion: .file())
    public var envFile: String?

    public init() {}

    /// Reads the settings, and reports unreadable lines of the file.
    public func read(for tool: String) throws -> Settings {
        let settings = try envFile.map { try Settings(path: $0, isRequired: true) } ?? Settings()
        for warning in settings.warnings { Console.note("\(tool): \(warning)") }
        return settings
    }
}
