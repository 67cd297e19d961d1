import ClipCore
import CommandLineSupport
import Foundation
import Testing

/// What a terminal gets, read back: JPEG by libjpeg, sixels by a reader of the manual's rules.
struct TerminalGraphicsTests {
    private static let photo = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "ClipCoreTests/Fixtures/image/size-640x427.jpg")

    private static func reduced() throws -> (file: [UInt8], image: PixelImage) {
        let file = [UInt8](try Data(contentsOf: photo))
        return (file, TerminalGraphics.reduced(try ImageDecoder().decode(file)))
    }

    @Test func terminalsAreKnownByTheirVariables() {
        func named(_ variables: [String: String]) -> TerminalGraphics? {
            TerminalGraphics.named(by: variables)
        }
        #expect(named(["TERM": "xterm-kitty"]) == .kitty)
        #expect(named(["TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"]) == .kitty)
        #expect(named(["TERM_PROGRAM": "iTerm.app"]) == .iTerm2)
        #expect(named(["TERM_PROGRAM": "WezTerm"]) == .iTerm2)
        #expect(named(["TERM": "xterm-256color"]) == nil && named([:]) == nil)
        // Inside a multiplexer, the variables are those of the terminal around it.
        #expect(named(["TERM": "tmux-256color", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x"]) == nil)
        #expect(TerminalGraphics.listsSixel("\u{1B}[?62;4;22c"))
        #expect(!TerminalGraphics.listsSixel("\u{1B}[?4;22c"))
        #expect(!TerminalGraphics.listsSixel("\u{1B}[?62;22c") && !TerminalGraphics.listsSixel("4"))
    }

    @Test func iTerm2GetsAJPEG() throws {
        let (file, image) = try Self.reduced()
        #expect(image.width == 240 && image.height == 160 && image.mode == .rgb)
        let text = try #require(TerminalGraphics.iTerm2.thumbnail(of: file))
        #expect(text.hasPrefix("\u{1B}]1337;File=inline=1;") && text.hasSuffix("\u{07}"))
        let data = text.split(separator: ":", maxSplits: 1)[1].dropLast()
        let jpeg = try #require(Data(base64Encoded: String(data)))
        let shown = try ImageDecoder().decode([UInt8](jpeg))
        #expect(shown.width == image.width && shown.height == image.height && shown.mode == .rgb)
        let errors = zip(shown.pixels, image.pixels).map { abs(Int($0) - Int($1)) }
        // The photo is noisy, and JPEG has half the resolution in colour.
        #expect(errors.reduce(0, +) < 8 * errors.count)
    }

    @Test func kittyGetsPixelsInPieces() throws {
        let (file, image) = try Self.reduced()
        let text = try #require(TerminalGraphics.kitty.thumbnail(of: file))
        let pieces = text.split(separator: "\u{1B}\\")
        var data = ""
        for (number, piece) in pieces.enumerated() {
            let parts = piece.split(separator: ";", maxSplits: 1)
            #expect(parts[0].hasPrefix("\u{1B}_G") && parts[1].count <= 4_096)
            #expect(parts[0].hasSuffix(number == pieces.count - 1 ? "m=0" : "m=1"))
            data += parts[1]
        }
        #expect(pieces[0].contains("f=24,s=240,v=160"))
        #expect(try #require(Data(base64Encoded: data)) == Data(image.pixels))
    }

    @Test func sixelsShowThePicture() throws {
        let (file, image) = try Self.reduced()
        let text = try #require(TerminalGraphics.sixel.thumbnail(of: file))
        let shown = try #require(Self.read(text, width: image.width, height: image.height))
        // Dithered: each pixel is one of 216 colours, and a stretch of them has the right mean.
        for block in stride(from: 0, to: image.pixels.count - 7_200, by: 7_200) {
            for channel in 0..<3 {
                func mean(_ pixels: [UInt8]) -> Double {
                    let part = stride(from: block + channel, to: block + 7_200, by: 3)
                    return part.reduce(0) { $0 + Double(pixels[$1]) } / 2_400
                }
                #expect(abs(mean(shown) - mean(image.pixels)) < 4)
            }
        }
    }

    @Test func otherFilesShowNothing() {
        for graphics in TerminalGraphics.allCases {
            #expect(graphics.thumbnail(of: []) == nil)
            #expect(graphics.thumbnail(of: Array("\u{1B}]0;title".utf8)) == nil)
        }
    }

    /// Reads sixels: `#n;2;r;g;b` defines, `#n` selects, `!n` repeats, `$` and `-` go back and on.
    private static func read(_ text: String, width: Int, height: Int) -> [UInt8]? {
        guard text.hasPrefix("\u{1B}P"), text.hasSuffix("\u{1B}\\") else { return nil }
        var bytes = Array(text.utf8.dropLast(2))[...]
        bytes = bytes.dropFirst(bytes.firstIndex(of: UInt8(ascii: "\""))! - bytes.startIndex + 1)
        func numbers() -> [Int] {
            let part = bytes.prefix { (48...57).contains($0) || $0 == 59 }
            bytes = bytes.dropFirst(part.count)
            return String(decoding: part, as: UTF8.self).split(separator: ";").compactMap {
                Int($0)
            }
        }
        guard numbers() == [1, 1, width, height] else { return nil }
        var colours: [Int: [UInt8]] = [:]
        var pixels = [UInt8](repeating: 0, count: width * height * 3)
        var (colour, x, top, times) = (0, 0, 0, 1)
        while let byte = bytes.popFirst() {
            switch byte {
            case UInt8(ascii: "#"):
                let values = numbers()
                colour = values[0]
                if values.count == 5 {
                    colours[colour] = values[2...].map { UInt8(($0 * 255 + 50) / 100) }
                }
            case UInt8(ascii: "!"): times = numbers()[0]
            case UInt8(ascii: "$"): x = 0
            case UInt8(ascii: "-"): (x, top) = (0, top + 6)
            case 63...126:
                for _ in 0..<times {
                    for row in 0..<6 where (byte - 63) >> row & 1 == 1 {
                        guard x < width, top + row < height, let rgb = colours[colour] else {
                            return nil
                        }
                        let place = ((top + row) * width + x) * 3
                        pixels.replaceSubrange(place..<place + 3, with: rgb)
                    }
                    x += 1
                }
                times = 1
            default: return nil
            }
        }
        return pixels
    }
}
