/// ftfy's `fix_encoding`: text that was UTF-8 but was read in another encoding ("schÃ¶n").
///
/// After python-ftfy 6.3.1, `ftfy/__init__.py`, `fixes.py` and `chardata.py`
/// (Copyright 2023 Robyn Speer, Apache License 2.0), whose regular expressions are matchers here.
enum Mojibake {
    /// Repairs a text until nothing changes any more.
    static func fix(_ text: Scalars, effort: inout Effort) -> Scalars {
        var text = text
        while true {
            let fixed = fixOnce(text, effort: &effort)
            if fixed == text || !effort.spend(text.count) { return fixed }
            text = fixed
        }
    }

    private static func fixOnce(_ text: Scalars, effort: inout Effort) -> Scalars {
        guard text.contains(where: { $0 >= 0x80 }), MojibakeTables.shared.isBad(text)
        else { return text }

        for encoding in Encoding.all {
            guard let encoded = encoding.encode(text) else { continue }
            var bytes = encoded
            // In Mac Roman it would match an en dash and a space.
            if encoding != .macRoman { bytes = restoreNoBreakSpaces(bytes) }
            if encoding.isSloppy { bytes = replaceLossySequences(bytes) }
            if let decoded = UTF8Variants.decode(bytes) { return decoded }
        }
        let fixed = decodeInconsistent(text, effort: &effort)
        if fixed != text { return fixed }
        if let reread = latin1AsWindows1252(text), reread != text { return reread }
        return fixC1Controls(text)
    }

    /// Whole texts of Latin-1 that use no byte unknown to Windows-1252.
    private static func latin1AsWindows1252(_ text: Scalars) -> Scalars? {
        guard text.allSatisfy({ $0 < 0x100 }) else { return nil }
        let fixed = fixC1Controls(text)
        return fixed.contains(where: { (0x80...0x9F).contains($0) }) ? nil : fixed
    }

    /// Reads C1 controls as Windows-1252, as browsers do.
    static func fixC1Controls(_ text: Scalars) -> Scalars {
        guard text.contains(where: { (0x80...0x9F).contains($0) }) else { return text }
        return text.map {
            (0x80...0x9F).contains($0) ? Encoding.windows1252.scalar(of: UInt8($0)) : $0
        }
    }

    // MARK: Pieces of mojibake in other text

    /// `decode_inconsistent_utf8`: repairs pieces that look like UTF-8 each by itself.
    private static func decodeInconsistent(_ text: Scalars, effort: inout Effort) -> Scalars {
        var result = Scalars()
        result.reserveCapacity(text.count)
        let clues = text.map(MojibakeTables.shared.clues(of:))
        var position = 0
        while position < text.count {
            let start = position
            if start == 0 || clues[start - 1] & MojibakeTables.strictContinuation == 0 {
                while let length = sequenceLength(clues, at: position) { position += length }
            }
            let piece = text[start..<position]
            if piece.isEmpty {
                result.append(text[start])
                position += 1
            } else if piece.count < text.count, MojibakeTables.shared.isBad(piece) {
                result.append(contentsOf: fix(Scalars(piece), effort: &effort))
            } else {
                result.append(contentsOf: piece)
            }
        }
        return result
    }

    private static func sequenceLength(_ clues: [UInt8], at start: Int) -> Int? {
        guard start < clues.count else { return nil }
        let length: Int
        switch clues[start] & 0b111 {
        case MojibakeTables.firstOfTwo: length = 2
        case MojibakeTables.firstOfThree: length = 3
        case MojibakeTables.firstOfFour: length = 4
        default: return nil
        }
        guard start + length <= clues.count else { return nil }
        return clues[(start + 1)..<(start + length)].allSatisfy {
            $0 & MojibakeTables.continuation != 0
        } ? length : nil
    }

    // MARK: Bytes that have been altered

    /// `restore_byte_a0`: spaces that must have been byte A0, as part of UTF-8.
    private static func restoreNoBreakSpaces(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.indices.contains(where: { alteredLength(bytes, at: $0) != nil })
        else { return bytes }
        // "Ã la" was "à la": there the space is kept as well.
        let words = bytes.replacingMatches { position in
            isWordOfAGrave(bytes, at: position) ? (position + 1, [0xC3, 0xA0]) : nil
        }
        return words.replacingMatches { position in
            alteredLength(words, at: position).map { length in
                let end = position + length
                return (end, words[position..<end].map { $0 == 0x20 ? 0xA0 : $0 })
            }
        }
    }

    /// `\xc3 (?! |quele|quela|quilo|s )`: "à" as a word, except Portuguese "às" and "àquele".
    private static func isWordOfAGrave(_ bytes: [UInt8], at position: Int) -> Bool {
        guard bytes[position...].starts(with: [0xC3, 0x20]) else { return false }
        let rest = bytes[(position + 2)...]
        return ![" ", "quele", "quela", "quilo", "s "].contains { rest.starts(with: $0.utf8) }
    }

    /// `ALTERED_UTF8_RE`: the length of a sequence that would be UTF-8 if its space were an A0.
    private static func alteredLength(_ bytes: [UInt8], at start: Int) -> Int? {
        let lead = bytes[start]
        guard lead >= 0xC2, start + 1 < bytes.count else { return nil }
        let second = bytes[start + 1]
        switch lead {
        case 0xC2, 0xC3, 0xC5, 0xCE, 0xD0, 0xD9:
            return second == 0x20 ? 2 : nil
        case 0xE0...0xE3:
            guard start + 2 < bytes.count else { return nil }
            let third = bytes[start + 2]
            if lead >= 0xE2, second == 0x20, isClearContinuation(third) { return 3 }
            return isClearContinuation(second) && third == 0x20 ? 3 : nil
        case 0xF0:
            guard start + 3 < bytes.count else { return nil }
            let rest = bytes[(start + 1)...(start + 3)]
            let spaces = rest.count { $0 == 0x20 }
            let continuations = rest.count { (0x80...0xBF).contains($0) }
            return spaces == 1 && continuations == 2 ? 4 : nil
        default:
            return nil
        }
    }

    /// 80…BF without the two bytes that often are characters of their own.
    private static func isClearContinuation(_ byte: UInt8) -> Bool {
        (0x80...0xBF).contains(byte) && byte != 0x85 && byte != 0xA0
    }

    /// `replace_lossy_sequences`: UTF-8 in which 1A stands for a lost byte means U+FFFD.
    private static func replaceLossySequences(_ bytes: [UInt8]) -> [UInt8] {
        bytes.replacingMatches { position in
            lossyLength(bytes, at: position).map { (position + $0, [0xEF, 0xBF, 0xBD]) }
        }
    }

    /// `LOSSY_UTF8_RE`: the length of a sequence that has lost a byte.
    private static func lossyLength(_ bytes: [UInt8], at start: Int) -> Int? {
        let lead = bytes[start]
        guard lead == 0x1A || lead >= 0xC2 else { return nil }
        let rest = bytes[(start + 1)...]
        switch lead {
        case 0x1A:
            return 1
        case 0xC2...0xDF:
            guard let second = rest.first else { return nil }
            return second == 0x1A || (second == 0x3F && lead <= 0xC3) ? 2 : nil
        case 0xE0...0xEF:
            if lead == 0xED, isLossySurrogatePair(rest.prefix(5)) { return 6 }
            return isLossyTail(rest.prefix(2), count: 2) ? 3 : nil
        case 0xF0...0xF4:
            return isLossyTail(rest.prefix(3), count: 3) ? 4 : nil
        default:
            return nil
        }
    }

    /// Bytes 80…BF and 1A, with one in the place of which may be a question mark and that is lost
    /// in any case.
    private static func isLossyTail(_ tail: ArraySlice<UInt8>, count: Int) -> Bool {
        guard tail.count == count else { return false }
        let lost = tail.count { $0 == 0x1A }
        let questions = tail.count { $0 == 0x3F }
        let kept = tail.count { (0x80...0xBF).contains($0) }
        return lost + questions + kept == count && questions <= 1 && lost + questions >= 1
    }

    /// A0…AF x ED B0…BF y, where x and y are continuation bytes, 1A or a question mark, and at
    /// least one is not the first.
    private static func isLossySurrogatePair(_ tail: ArraySlice<UInt8>) -> Bool {
        let tail = [UInt8](tail)
        guard tail.count == 5, (0xA0...0xAF).contains(tail[0]), tail[2] == 0xED,
            (0xB0...0xBF).contains(tail[3])
        else { return false }
        let ends = [tail[1], tail[4]]
        let lost = ends.count { $0 == 0x1A || $0 == 0x3F }
        let kept = ends.count { (0x80...0xBF).contains($0) }
        return lost + kept == 2 && lost >= 1
    }
}
