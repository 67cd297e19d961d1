import S3Client

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

private let systemWrite = write

/// What the command-line tools share: data goes to stdout, everything for people to stderr.
public enum Console {
    /// Writes a line for people.
    public static func note(_ text: String) {
        write(text + "\n", to: STDERR_FILENO)
    }

    /// Writes one line of data.
    public static func line(_ text: String) {
        write(text + "\n", to: STDOUT_FILENO)
    }

    /// Rewrites the current line of the terminal; an empty text clears it.
    public static func rewriteLine(_ text: String) {
        write("\r" + text + "\u{1B}[K", to: STDERR_FILENO)
    }

    /// Whether people look at stderr.
    public static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = systemWrite(descriptor, rest.baseAddress, rest.count)
                if count < 0 {
                    // Nobody reads any more, or the disk is full: there is no one left to tell.
                    guard errno == EINTR || errno == EAGAIN else { return }
                    continue
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }

    /// Text from outside (a key, a file name) made fit for one line of a terminal: control characters
    /// are shown, not obeyed.
    public static func printable(_ text: String) -> String {
        S3Client.printable(text, limit: 2_000)
    }

    /// Runs a tool's work and turns an error into one sentence on stderr and exit code 1.
    public static func run(_ tool: String, _ body: () throws -> Void) {
        do {
            try body()
        } catch {
            fail(tool, error)
        }
    }

    /// Ends the program with one sentence on stderr and exit code 1.
    public static func fail(_ tool: String, _ error: any Error) -> Never {
        note("\(tool): \(error)")
        exit(1)
    }

    /// Finds the model file, showing a download's progress.
    public static func locateModel(_ settings: Settings) throws -> String {
        var shown: Int64 = -1
        let path = try ModelFile(settings).locate { received, total in
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
        if shown >= 0, isTerminal { note("") }
        return path
    }
}
