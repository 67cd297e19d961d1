import ClipCore
import Foundation
import Testing

/// The pickle machine against CPython's pickles, and against hostile pickles.
@Suite struct PickleTests {
    struct Golden: Decodable {
        let `protocol`: Int
        let pickle: String
        let rendered: String
    }

    private func parse<R>(_ bytes: [UInt8], _ body: (Pickle) throws -> R) throws -> R {
        try bytes.withUnsafeBytes { try body(try Pickle($0)) }
    }

    /// As `render` in make_fixtures.py.
    private func render(_ pickle: Pickle, _ bytes: [UInt8], _ reference: Pickle.Reference) -> String
    {
        func all(_ references: [Pickle.Reference]) -> String {
            references.map { render(pickle, bytes, $0) }.joined(separator: ",")
        }
        func pairs() -> String {
            pickle.members(reference).map {
                render(pickle, bytes, $0.key) + "=" + render(pickle, bytes, $0.value)
            }.joined(separator: ",")
        }
        func hex(_ number: UInt64, _ digits: Int) -> String {
            let text = String(number, radix: 16)
            return String(repeating: "0", count: digits - text.count) + text
        }
        switch pickle[reference] {
        case .none: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .int(let value): return String(value)
        case .float(let value): return "f" + hex(value.bitPattern, 16)
        case .text(let range): return "t" + bytes[range].map { hex(UInt64($0), 2) }.joined()
        case .global: return "global"
        case .tuple(let index): return "(" + all(pickle.items[index]) + ")"
        case .list(let index): return "[" + all(pickle.items[index]) + "]"
        case .dictionary: return "{" + pairs() + "}"
        case .object: return "object{" + pairs() + "}"
        case .persistent: return "persistent"
        }
    }

    @Test func readsWhatCPythonWrites() throws {
        let golden = try CheckpointFixtures.json([Golden].self, "pickles.json")
        #expect(golden.map(\.protocol) == Array(0...5))
        for case let item in golden {
            let digits = Array(item.pickle.utf8)
            let bytes = stride(from: 0, to: digits.count, by: 2).map {
                UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)!
            }
            let rendered = try parse(bytes) { render($0, bytes, $0.root) }
            #expect(rendered == item.rendered, "protocol \(item.protocol)")
        }
    }

    /// Short pickles, written by hand after pickletools, and what they build.
    @Test(arguments: [
        ("I-12\n.", "-12"), ("I01\n.", "True"), ("I00\n.", "False"), ("L99L\n.", "99"),
        ("L99999999999999999999L\n.", "None"), ("F1.5\n.", "f3ff8000000000000"), ("N.", "None"),
        ("(1K\u{5}.", "5"), ("NK\u{7}0.", "None"),
        ("(K\u{1}K\u{2}l.", "[1,2]"), ("(K\u{1}K\u{2}d.", "{1=2}"), ("(K\u{1}t.", "(1)"),
        ("K\u{1}2\u{86}.", "!"), ("]K\u{1}aK\u{2}a.", "[1,2]"), ("](K\u{1}K\u{2}e.", "[1,2]"),
        ("}K\u{1}K\u{2}s.", "{1=2}"), ("}(K\u{1}K\u{2}u.", "{1=2}"), ("cos\nsystem\n.", "global"),
        ("cos\nsystem\n(VX\ntR.", "object{}"), ("VX\nQ.", "persistent"),
        ("K\u{9}p3\n0g3\n.", "9"), ("K\u{9}q\u{3}0h\u{3}.", "9"), ("](K\u{1}e.", "[1]"),
    ])
    func readsByHand(_ text: String, _ rendered: String) throws {
        // Opcodes above 127 are one byte each.
        let bytes = text.unicodeScalars.map { UInt8($0.value) }
        switch rendered {
        case "!": #expect(try parse(bytes) { render($0, bytes, $0.root) } == "(1,1)")
        default: #expect(try parse(bytes) { render($0, bytes, $0.root) } == rendered)
        }
    }

    @Test(arguments: [
        // Stack and mark underflow.
        "", ".", "0.", "1.", "2.", "t.", "l.", "d.", "a.", "e.", "s.", "u.", "R.", "b.", "Q.",
        "\u{81}.", "\u{85}.", "\u{86}.", "\u{87}.", "\u{92}.", "\u{93}.", "\u{94}.", "q\u{1}.",
        "K\u{1}(a.", "K\u{1}(0.", "K\u{1}(2.", "K\u{1}K\u{2}(\u{86}t.", "(.",
        // Numbers and lengths that end early or are none.
        "K", "M\u{1}", "J\u{1}\u{1}", "G\u{1}", "\u{8A}\u{5}\u{1}.", "Ix\n.", "Fx\n.", "I1", "L1",
        "\u{8B}\u{FF}\u{FF}\u{FF}\u{FF}.", "X\u{FF}\u{FF}\u{FF}\u{FF}.", "\u{8C}\u{5}a.",
        "\u{8D}\u{FF}\u{FF}\u{FF}\u{FF}\u{FF}\u{FF}\u{FF}\u{FF}.", "\u{95}\u{1}", "\u{80}", "Vabc",
        "L\n.", "L-\n.", "L99999999999999999999x\n.",
        // The memo.
        "h\u{1}.", "j\u{1}\u{1}\u{1}\u{1}.", "gx\n.", "g-1\n.", "Np99999999999\n.",
        // Wrong containers, odd pairs, opcodes that model files do not use.
        "K\u{1}K\u{2}a.", "]K\u{1}K\u{2}s.", "}(K\u{1}u.", "(K\u{1}d.", "K\u{1}Nb.", "}K\u{1}a.",
        "(cos\nsystem\no.", "(ios\nsystem\n.", "\u{82}\u{1}.", "Pid\n.", "\u{97}.", "\u{98}.",
        "\u{FF}.",
    ])
    func refuses(_ text: String) throws {
        let bytes = text.unicodeScalars.map { UInt8($0.value) }
        #expect(throws: CheckpointError.self) { try parse(bytes) { _ in } }
    }

    /// A million levels, of lists, tuples and marks; opening, walking and releasing must not recurse.
    @Test func survivesDeepNesting() throws {
        let deep = 900_000
        let lists = [UInt8](repeating: UInt8(ascii: "]"), count: deep)
        let appends = [UInt8](repeating: UInt8(ascii: "a"), count: deep - 1)
        try parse(lists + appends + [UInt8(ascii: ".")]) { #expect($0.items.count == deep) }
        let tuples = [UInt8](repeating: 0x85, count: deep)
        try parse([UInt8(ascii: "N")] + tuples + [UInt8(ascii: ".")]) { pickle in
            #expect(pickle.tuple(pickle.root)?.count == 1)
        }
        let marks = [UInt8](repeating: UInt8(ascii: "("), count: deep)
        try parse(marks + Array("N.".utf8)) { #expect($0[$0.root] == .none) }
        // As dictionaries inside a file.
        let nested = Array("}X\u{1}\0\0\0a".utf8)
        var bytes: [UInt8] = []
        for _ in 0..<300_000 { bytes += nested }
        bytes += Array("N".utf8) + [UInt8](repeating: UInt8(ascii: "s"), count: 300_000)
        #expect(
            try faultOfLoading(ZipWriter.torch(bytes + [UInt8(ascii: ".")]))?
                .contains("holds no CLIP model") == true)
    }

    @Test func survivesContainersThatHoldThemselves() throws {
        try parse(Array("]q\u{0}h\u{0}a.".utf8)) { pickle in
            guard case .list(let index) = pickle[pickle.root] else {
                Issue.record("no list")
                return
            }
            #expect(pickle.items[index] == [pickle.root])
        }
        let dictionary = Array("}q\u{0}X\u{1}\0\0\0ah\u{0}s.".utf8)
        #expect(
            try faultOfLoading(ZipWriter.torch(dictionary))?.contains("holds no CLIP model") == true
        )
        // Twice itself: the number of paths doubles with each level.
        let doubling = Array("}q\u{0}X\u{1}\0\0\0ah\u{0}sX\u{1}\0\0\0bh\u{0}s.".utf8)
        #expect(
            try faultOfLoading(ZipWriter.torch(doubling))?.contains("more parts than any model")
                == true)
    }

    /// Few bytes that stand for much: each must end with an error, soon and in little memory.
    @Test func refusesBombs() throws {
        func run(_ opcode: UInt8, _ count: Int) -> [UInt8] {
            [UInt8](repeating: opcode, count: count)
        }
        let bombs: [[UInt8]] = [
            Array("N".utf8) + run(UInt8(ascii: "2"), 15_000_000),
            run(UInt8(ascii: "N"), 15_000_000), run(UInt8(ascii: "("), 15_000_000),
            run(UInt8(ascii: ")"), 15_000_000), run(UInt8(ascii: "}"), 15_000_000),
            Array("N".utf8) + run(0x94, 15_000_000),
        ]
        for bomb in bombs {
            let fault = try faultOfLoading(ZipWriter.torch(bomb + [UInt8(ascii: ".")]))
            #expect(fault?.contains("more values than any model") == true)
        }
        let large = run(0x80, 17 << 20)
        #expect(
            try faultOfLoading(ZipWriter.torch(large))?.contains("larger than any model") == true)
    }

    /// One text of 15 MB that is the key of everything.
    @Test func readsNoLongTextAgainAndAgain() throws {
        var bytes = PickleWriter.text(String(repeating: "k", count: 15_000_000)) + [0x71, 0]
        bytes += Array("0}(".utf8)
        for _ in 0..<150_000 { bytes += Array("h\0h\0".utf8) }
        bytes += Array("u.".utf8)
        #expect(try faultOfLoading(ZipWriter.torch(bytes))?.contains("holds no CLIP model") == true)
        // The same as the name of a class whose instance is everywhere.
        var objects = Array("}".utf8) + PickleWriter.text("a") + [0x71, 1, 0x30]
        objects += PickleWriter.text(String(repeating: "k", count: 15_000_000)) + [0x71, 0, 0x30]
        objects += Array("(".utf8)
        for _ in 0..<100_000 { objects += Array("h\u{1}h\0h\0".utf8) + [0x93, 0x29, 0x52] }
        objects += Array("u.".utf8)
        #expect(
            try faultOfLoading(ZipWriter.torch(objects))?.contains("holds no CLIP model") == true)
    }
}
