import ClipCore
import Foundation

/// `ClipBench fp32` (or `int8`, `int7`), `ClipBench peak`: a peer that answers requests on stdin with lines on stdout.
@main
enum ClipBench {
    static func main() {
        BLASThreads.useCallingThread()
        var peer: any Peer
        let argument = CommandLine.arguments.dropFirst().first ?? ""
        // As the tools do. OpenBLAS has OPENBLAS_CORETYPE.
        if let name = ProcessInfo.processInfo.environment["CLIP_MAX_ISA"], !name.isEmpty {
            guard let set = InstructionSet(rawValue: name) else {
                FileHandle.standardError.write(
                    Data("ClipBench: no instruction set \(name)\n".utf8))
                exit(64)
            }
            InstructionSet.limit(to: set)
        }
        if argument == "peak" {
            peer = MultiplicationPeak()
        } else if let precision = Precision(rawValue: argument) {
            peer = ClipPeer(precision)
        } else {
            FileHandle.standardError.write(Data("usage: ClipBench fp32|int8|int7|peak\n".utf8))
            exit(64)
        }
        let encoder = JSONEncoder()
        while let line = readLine() {
            var reply = Reply()
            do {
                reply = try answer(JSONDecoder().decode(Request.self, from: Data(line.utf8)), &peer)
            } catch {
                reply.error = "\(error)"
            }
            // A reply holds numbers and strings only.
            guard let data = try? encoder.encode(reply) else { exit(1) }
            FileHandle.standardOutput.write(data + Data("\n".utf8))
        }
    }

    private static func answer(_ request: Request, _ peer: inout any Peer) throws -> Reply {
        func given<T>(_ value: T?) throws -> T {
            guard let value else {
                throw Unsupported(description: "the request lacks something for \(request.task)")
            }
            return value
        }
        switch request.task {
        case .load: return try peer.load(given(request.load))
        case .configure:
            try peer.configure(given(request.configuration))
            return Reply()
        case .embed:
            return Reply(
                vectors: try peer.embed(given(request.source), count: given(request.count)))
        case .embedTexts: return Reply(vectors: try peer.embed(texts: given(request.texts)))
        case .measure:
            return Reply(
                seconds: [try peer.measure(given(request.source), count: given(request.count))])
        case .measureText:
            return Reply(
                seconds: try peer.measure(
                    text: given(request.text), repeats: given(request.repeats)))
        }
    }
}

/// Seconds that some work takes.
func seconds(_ work: () throws -> Void) rethrows -> Double {
    let duration = try ContinuousClock().measure(work)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}
