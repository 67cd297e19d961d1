import ClipCore
import Foundation
import TestSupport

// Decodes damaged pictures: fuzz-images COUNT SEED FOLDER…
//
// For each format found in the folders, COUNT pictures are damaged and made into CLIP's square. Prints what
// became of them; the exit code is 1 when one took more than two seconds of processor time, or all
// together more than 1 GiB of memory. What a sanitizer finds ends the program.

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count >= 3, let count = Int(arguments[1]), let seed = UInt64(arguments[2]) else {
    FileHandle.standardError.write(Data("usage: fuzz-images COUNT SEED FOLDER…\n".utf8))
    exit(64)
}

var files: [ImageFormat: [[UInt8]]] = [:]
for folder in arguments.dropFirst(2) {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    for name in names {
        guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)"),
            let format = data.withUnsafeBytes({ try? ImageDecoder.format(of: $0) })
        else { continue }
        files[format, default: []].append([UInt8](data))
    }
}

func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
}

func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss / 1024
}

let preprocessor = ImagePreprocessor(resolution: 224)
var isBad = false
for format in ImageFormat.allCases {
    guard let seeds = files[format] else { continue }
    var damage = PictureDamage(seed: seed)
    var (read, slowest, slowestAt) = (0, 0.0, 0)
    for round in 0..<count {
        let bytes = damage.damaged(seeds)
        let start = processorSeconds()
        if (try? preprocessor.values(encoded: bytes)) != nil { read += 1 }
        let time = processorSeconds() - start
        if time > slowest { (slowest, slowestAt) = (time, round) }
        if time > 2 { isBad = true }
    }
    print(
        "\(format.rawValue): \(count) damaged pictures from \(seeds.count), \(read) still readable,",
        "slowest \(String(format: "%.2f", slowest)) s (number \(slowestAt)), peak so far \(peakMemory()) MiB"
    )
}
if peakMemory() > 1024 { isBad = true }
exit(isBad ? 1 : 0)
