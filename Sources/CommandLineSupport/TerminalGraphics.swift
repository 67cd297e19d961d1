import ClipCore
import FoundationEssentials
import Glibc

/// Small pictures in a terminal, by the protocol that the terminal supports.
public enum TerminalGraphics: String, Sendable, CaseIterable {
    /// https://sw.kovidgoyal.net/kitty/graphics-protocol
    case kitty
    /// https://iterm2.com/documentation-images.html
    case iTerm2
    /// DEC STD 070, Graphics Programming, chapter "Sixel".
    case sixel

    /// Pixels of a small picture's longer side, at most.
    public static let maximumSide = 240

    /// The protocol of the terminal at stdout; nil when stdout is not a terminal or it shows no pictures.
    public static var detected: TerminalGraphics? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        let environment = ProcessInfo.processInfo.environment
        return named(by: environment) ?? (reportsSixel() ? .sixel : nil)
    }

    /// The protocol that a terminal announces in its environment variables.
    package static func named(by environment: [String: String]) -> TerminalGraphics? {
        func value(_ name: String) -> String { environment[name] ?? "" }
        // A multiplexer passes the terminal's variables on, but not pictures.
        let term = value("TERM")
        guard value("TMUX").isEmpty, value("STY").isEmpty, !term.hasPrefix("screen"),
            !term.hasPrefix("tmux")
        else { return nil }
        let program = value("TERM_PROGRAM")
        if term == "xterm-kitty" || term == "xterm-ghostty" || program == "ghostty"
            || !value("KITTY_WINDOW_ID").isEmpty
        {
            return .kitty
        }
        if ["iTerm.app", "WezTerm", "mintty"].contains(program) || value("LC_TERMINAL") == "iTerm2"
        {
            return .iTerm2
        }
        return nil
    }

    /// The escape sequence that shows a picture file small; nil when it cannot be decoded.
    public func thumbnail(of file: [UInt8]) -> String? {
        guard let image = try? ImageDecoder(limits: .query).decode(file) else { return nil }
        let small = Self.reduced(image)
        return switch self {
        case .kitty: Self.kittyEscape(small)
        case .iTerm2: Self.iTerm2Escape(small)
        case .sixel: SixelImage.encode(small)
        }
    }

    /// The picture in red, green and blue, no side longer than ``maximumSide``.
    package static func reduced(_ image: PixelImage) -> PixelImage {
        let long = max(image.width, image.height)
        guard long > maximumSide else { return image.convertedToRGB() }
        let width = max(1, image.width * maximumSide / long)
        let height = max(1, image.height * maximumSide / long)
        return Resampler(width: width, height: height)
            .resize(image, columns: 0..<width, rows: 0..<height).convertedToRGB()
    }

    /// Raw pixels in base64, in pieces of 4,096 characters, the protocol's limit.
    private static func kittyEscape(_ image: PixelImage) -> String {
        let data = Array(Data(image.pixels).base64EncodedString().utf8)
        return stride(from: 0, to: data.count, by: 4_096).map { start in
            let end = min(start + 4_096, data.count)
            // q=2: no reply.
            let head = start == 0 ? "a=T,q=2,f=24,s=\(image.width),v=\(image.height)," : ""
            let piece = String(decoding: data[start..<end], as: UTF8.self)
            return "\u{1B}_G\(head)m=\(end == data.count ? 0 : 1);\(piece)\u{1B}\\"
        }.joined()
    }

    private static func iTerm2Escape(_ image: PixelImage) -> String {
        // A small picture always fits into a JPEG file.
        let file = JPEGEncoder(quality: 95).encode(image) ?? []
        let data = Data(file).base64EncodedString()
        return
            "\u{1B}]1337;File=inline=1;size=\(file.count);width=\(image.width)px;height=\(image.height)px:\(data)\u{07}"
    }

    // MARK: Asking the terminal

    /// Whether the terminal's answer to DA1 (device attributes) lists 4, sixel graphics. Waits at most
    /// 0.2 s, for terminals that do not answer.
    private static func reportsSixel() -> Bool {
        let terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard terminal >= 0 else { return false }
        defer { close(terminal) }
        // Another program in the foreground must not be disturbed.
        guard tcgetpgrp(terminal) == getpgrp() else { return false }
        var former = termios()
        guard tcgetattr(terminal, &former) == 0 else { return false }
        var raw = former
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        guard tcsetattr(terminal, TCSANOW, &raw) == 0 else { return false }
        defer { tcsetattr(terminal, TCSANOW, &former) }
        let question = Array("\u{1B}[c".utf8)
        guard write(terminal, question, question.count) == question.count else { return false }
        var answer: [UInt8] = []
        let deadline = ContinuousClock.now + .milliseconds(200)
        while answer.count < 128, answer.last != UInt8(ascii: "c") {
            let left = (deadline - .now) / .milliseconds(1)
            var wanted = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
            var byte: UInt8 = 0
            guard left > 0, poll(&wanted, 1, Int32(left.rounded(.up))) == 1,
                read(terminal, &byte, 1) == 1
            else { return false }
            answer.append(byte)
        }
        return listsSixel(String(decoding: answer, as: UTF8.self))
    }

    /// - Parameter answer: such as `ESC [ ? 62 ; 4 ; 22 c`.
    package static func listsSixel(_ answer: String) -> Bool {
        guard let start = answer.firstRange(of: "\u{1B}[?"), answer.hasSuffix("c") else {
            return false
        }
        let attributes = answer[start.upperBound...].dropLast().split(separator: ";")
        // The first number is the kind of terminal.
        return attributes.dropFirst().contains("4")
    }
}
