import Glibc
import ImageSearch

/// A file that gets one JSON object a line for each picture that failed: `key` and `reason`.
///
/// Each line is written at once, so that an interrupted run leaves whole lines.
public final class FailureLog {
    private let descriptor: Int32
    private let path: String

    /// - Throws: one sentence when the file cannot be written.
    public init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FailureLogError(path: path, number: errno) }
    }

    deinit { close(descriptor) }

    /// A JSON string (RFC 8259, section 7).
    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..<"\u{20}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    public func add(_ failure: IngestFailure) throws {
        let line =
            "{\"key\":\(quoted(failure.key)),"
            + "\"reason\":\(quoted(failure.reason))}\n"
        var bytes = Array(line.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FailureLogError(path: path, number: errno) }
            bytes = bytes.dropFirst(count)
        }
    }
}

struct FailureLogError: Error, CustomStringConvertible {
    let path: String
    let number: Int32

    var description: String {
        "the file \(path) for failed pictures cannot be written: \(String(cString: strerror(number)))"
    }
}
