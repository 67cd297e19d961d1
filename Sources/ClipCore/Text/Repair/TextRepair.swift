/// ftfy's `fix_text` with its default settings.
///
/// All of its repairs are here: HTML character references (unless a line before or the line itself
/// has a "<"), mojibake, C1 controls, ligatures, character width, curly quotes, line breaks, terminal
/// escapes, control characters, NFC. Surrogates need none, as no Swift text has them.
///
/// After python-ftfy 6.3.1 (Copyright 2023 Robyn Speer, Apache License 2.0).
///
/// One thing differs: `Effort` bounds the work that a hostile line can cause, where ftfy goes on for
/// time proportional to the square of its length.
enum TextRepair {
    /// ftfy repairs lines separately, and longer ones in parts of this many characters.
    private static let longestSegment = 1_000_000

    static func fixText(_ text: Scalars) -> Scalars {
        var result = Scalars()
        result.reserveCapacity(text.count)
        var unescapes = true
        var position = 0
        while position < text.count {
            let limit = min(text.count, position + longestSegment)
            let lineBreak = text[position..<limit].firstIndex(of: 0x0A)
            let end = lineBreak.map { $0 + 1 } ?? limit
            let segment = Scalars(text[position..<end])
            // Text with a tag in it is HTML, from here on.
            if segment.contains(0x3C) { unescapes = false }
            result.append(contentsOf: fixSegment(segment, unescapes: unescapes))
            position = end
        }
        return result
    }

    private static func fixSegment(_ segment: Scalars, unescapes: Bool) -> Scalars {
        // Nothing below concerns such a text.
        if segment.allSatisfy({ (0x20...0x7E).contains($0) && $0 != 0x26 || $0 == 0x0A }) {
            return segment
        }
        var effort = Effort()
        var text = segment
        while true {
            var fixed = unescapes ? CharacterReferences.unescapeUnambiguous(text) : text
            fixed = Mojibake.fix(fixed, effort: &effort)
            fixed = Mojibake.fixC1Controls(fixed)
            fixed = standardiseCharacters(fixed)
            fixed = standardiseLineBreaks(fixed)
            fixed = removeTerminalEscapes(fixed)
            fixed.removeAll(where: isUnwantedControl)
            fixed = Normalization.nfc(fixed)
            if fixed == text || !effort.spend(text.count) { return fixed }
            text = fixed
        }
    }

    /// `fix_latin_ligatures`, `fix_character_width` and `uncurl_quotes`, which have only the
    /// apostrophe in ŉ in common.
    private static func standardiseCharacters(_ text: Scalars) -> Scalars {
        // The first character that any of them replaces.
        guard text.contains(where: { $0 >= 0x132 }) else { return text }
        return text.replacingMatches { position in
            let value = text[position]
            guard value >= 0x132 else { return nil }
            let replacement = MojibakeTables.shared.replacement(of: value)
            if let replacement { return (position + 1, replacement.map(straightQuote)) }
            let quote = straightQuote(value)
            return quote == value ? nil : (position + 1, [quote])
        }
    }

    private static func straightQuote(_ value: UInt32) -> UInt32 {
        switch value {
        case 0x2BC, 0x2018...0x201B: return 0x27
        case 0x201C...0x201F: return 0x22
        default: return value
        }
    }

    /// `fix_line_breaks`: CR LF, CR, U+0085, U+2028 and U+2029 become LF.
    private static func standardiseLineBreaks(_ text: Scalars) -> Scalars {
        text.replacingMatches { position in
            guard [0x0D, 0x85, 0x2028, 0x2029].contains(text[position]) else { return nil }
            let isPair = text[position...].starts(with: [0x0D, 0x0A])
            return (position + (isPair ? 2 : 1), [0x0A])
        }
    }

    /// `ESC [`, digits of any script and semicolons, an ASCII letter.
    private static func removeTerminalEscapes(_ text: Scalars) -> Scalars {
        text.replacingMatches { position in
            terminalEscapeEnd(text, at: position).map { ($0, []) }
        }
    }

    private static func terminalEscapeEnd(_ text: Scalars, at start: Int) -> Int? {
        guard text[start] == 0x1B, start + 1 < text.count, text[start + 1] == 0x5B
        else { return nil }
        let parameter = { $0 == 0x3B || CharacterRules.isDecimalDigit($0) }
        guard let end = text[(start + 2)...].firstIndex(where: { !parameter($0) }),
            (0x61...0x7A).contains(text[end] | 0x20)
        else { return nil }
        return end + 1
    }

    /// `remove_control_chars`.
    private static func isUnwantedControl(_ value: UInt32) -> Bool {
        switch value {
        case 0x00...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x206A...0x206F, 0xFEFF, 0xFFF9...0xFFFC:
            return true
        default:
            return false
        }
    }
}

/// How often a line may be gone over.
///
/// ftfy repeats its repairs until nothing changes. Each round makes the text shorter, but it may be
/// by one character reference only ("&amp;amp;amp;…"): the square of the length in all. Here a line
/// is given up on, as far repaired as it is, after about 16 million characters in all rounds, and
/// not before 16 rounds: lines of up to 8,000 characters always get to their end.
struct Effort {
    private var rounds = 0
    private var characters = 0

    /// Counts a round over this number of characters; false if it was the last one.
    mutating func spend(_ count: Int) -> Bool {
        rounds += 1
        characters += count
        return rounds < 16 || characters < 1 << 24
    }
}
