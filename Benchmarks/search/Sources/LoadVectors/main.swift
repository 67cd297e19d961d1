import Foundation
import PGClient

/// Fills a table with the vectors of a file by binary COPY, and prints what it took as JSON.
///
///     load-vectors URI TABLE FILE DIMENSION COUNT
///
/// FILE holds fp32 numbers of this machine's byte order, `[≥ COUNT, DIMENSION]`. Keys are
/// `pictures/000/000000000.jpg` and so on.
func load() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 6, let dimension = Int(arguments[4]),
        let count = Int(arguments[5])
    else {
        throw PGUsage()
    }
    let file = try Data(contentsOf: URL(filePath: arguments[3]), options: .alwaysMapped)
    guard file.count >= 4 * dimension * count else { throw PGUsage() }
    let connection = try PGConnection(uri: arguments[1], applicationName: "load-vectors")
    let start = ContinuousClock.now
    let rows = try connection.copyIn(
        "COPY \(arguments[2]) (filename, embedding) FROM STDIN (FORMAT binary)"
    ) { writer in
        try file.withUnsafeBytes { bytes in
            let floats = bytes.bindMemory(to: Float.self)
            for row in 0..<count {
                let vector = Array(floats[row * dimension..<(row + 1) * dimension])
                try writer.write([.text(key(row)), .vector(vector)])
            }
        }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let user = Double(usage.ru_utime.tv_sec) + Double(usage.ru_utime.tv_usec) / 1e6
    print(#"{"rows": \#(rows), "seconds": \#(seconds), "client_user_seconds": \#(user)}"#)
}

struct PGUsage: Error, CustomStringConvertible {
    let description = "usage: load-vectors URI TABLE FILE DIMENSION COUNT"
}

func key(_ row: Int) -> String {
    func padded(_ number: Int, _ length: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, length - digits.count)) + digits
    }
    return "pictures/\(padded(row / 1_000 % 1_000, 3))/\(padded(row, 9)).jpg"
}

do {
    try load()
} catch {
    FileHandle.standardError.write(Data("load-vectors: \(error)\n".utf8))
    exit(1)
}
