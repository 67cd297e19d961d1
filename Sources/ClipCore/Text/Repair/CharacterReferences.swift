/// HTML character references: `&eacute;`, `&#233;`, `&#xE9;`.
enum CharacterReferences {
    private static let ampersand: UInt32 = 0x26
    private static let semicolon: UInt32 = 0x3B

    /// Python's `html.unescape`, which follows HTML 5 (13.2.5.72 and on): references without
    /// a semicolon count as well, as the longest name that the text starts with.
    static func unescape(_ text: Scalars) -> Scalars {
        replace(text) { numericReference(text, at: $0) ?? namedReference(text, at: $0) }
    }

    /// ftfy's `unescape_html`: only references with a semicolon, and in capitals also those whose
    /// name in small letters is known (`&NTILDE;`), unless HTML knows a start of it.
    static func unescapeUnambiguous(_ text: Scalars) -> Scalars {
        replace(text) { unambiguous(text, at: $0) }
    }

    /// - Parameter reference: where the one that begins at an ampersand ends, and what it stands for.
    private static func replace(_ text: Scalars, _ reference: (Int) -> (Int, Scalars)?) -> Scalars {
        guard text.contains(ampersand) else { return text }
        return text.replacingMatches { text[$0] == ampersand ? reference($0) : nil }
    }

    /// `&#?[0-9A-Za-z]{1,24};`, if it stands for something.
    private static func unambiguous(_ text: Scalars, at start: Int) -> (Int, Scalars)? {
        var position = start + 1
        let isNumeric = position < text.count && text[position] == 0x23
        if isNumeric { position += 1 }
        let nameStart = position
        while position < text.count, position < nameStart + 24, isAlphanumeric(text[position]) {
            position += 1
        }
        guard position > nameStart, position < text.count, text[position] == semicolon
        else { return nil }
        let end = position + 1
        if isNumeric {
            // One that stands for a semicolon is left alone, like one that ends too early.
            guard let (numberEnd, value) = numericReference(text, at: start), numberEnd == end,
                value != [semicolon]
            else { return nil }
            return (end, value)
        }
        let name = text[nameStart..<position]
        if let entity = NamedEntities.find(name) { return (end, entity.value) }
        return capitalised(name).map { (end, $0) }
    }

    private static func capitalised(_ name: ArraySlice<UInt32>) -> Scalars? {
        guard !name.contains(where: { (0x61...0x7A).contains($0) }) else { return nil }
        let small = name.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }
        guard let entity = NamedEntities.find(small[...]), longestPrefix(of: name) == nil
        else { return nil }
        return entity.value.flatMap { value in
            CharacterRules.scalar(value).properties.uppercaseMapping.unicodeScalars.map(\.value)
        }
    }

    // MARK: Numbers

    /// `&#[0-9]+;?` or `&#[xX][0-9a-fA-F]+;?`: where it ends and what it stands for.
    private static func numericReference(_ text: Scalars, at start: Int) -> (Int, Scalars)? {
        var position = start + 1
        guard position < text.count, text[position] == 0x23 else { return nil }
        position += 1
        var radix: UInt32 = 10
        if position < text.count, text[position] | 0x20 == 0x78 {
            radix = 16
            position += 1
        }
        let digits = position
        var number: UInt32 = 0
        while position < text.count, let digit = digitValue(text[position]), digit < radix {
            // Everything beyond Unicode means the same.
            number = min(number * radix + digit, 0x110000)
            position += 1
        }
        guard position > digits else { return nil }
        if position < text.count, text[position] == semicolon { position += 1 }
        return (position, character(of: number))
    }

    /// What a number stands for, by the rules of "numeric character reference end state" as
    /// Python has them: characters that may not be in HTML vanish.
    private static func character(of number: UInt32) -> Scalars {
        switch number {
        case 0, 0xD800...0xDFFF, 0x110000...: return [0xFFFD]
        case 0x80...0x9F: return [Encoding.windows1252.scalar(of: UInt8(number))]
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0xFDD0...0xFDEF: return []
        case _ where number & 0xFFFE == 0xFFFE: return []
        default: return [number]
        }
    }

    private static func digitValue(_ value: UInt32) -> UInt32? {
        switch value {
        case 0x30...0x39: return value - 0x30
        case 0x41...0x46, 0x61...0x66: return (value | 0x20) - 0x61 + 10
        default: return nil
        }
    }

    private static func isAlphanumeric(_ value: UInt32) -> Bool {
        (0x30...0x39).contains(value) || (0x61...0x7A).contains(value | 0x20)
    }

    // MARK: Names

    /// `&[^\t\n\f <&#;]{1,32};?`, if it is or starts with a known name.
    private static func namedReference(_ text: Scalars, at start: Int) -> (Int, Scalars)? {
        let nameStart = start + 1
        var position = nameStart
        name: while position < text.count, position < nameStart + 32 {
            switch text[position] {
            case 0x09, 0x0A, 0x0C, 0x20, 0x3C, 0x26, 0x23, 0x3B: break name
            default: position += 1
            }
        }
        guard position > nameStart else { return nil }
        let name = text[nameStart..<position]
        let hasSemicolon = position < text.count && text[position] == semicolon
        let end = hasSemicolon ? position + 1 : position
        if let entity = NamedEntities.find(name), hasSemicolon || entity.standsAlone {
            return (end, entity.value)
        }
        guard let (length, value) = longestPrefix(of: name) else { return nil }
        // What follows the prefix has been read, and is not looked at again.
        return (end, value + text[(nameStart + length)..<end])
    }

    /// The longest name that counts without a semicolon and that `name` starts with.
    private static func longestPrefix(of name: ArraySlice<UInt32>) -> (Int, Scalars)? {
        for length in stride(from: min(name.count, NamedEntities.longestAlone), to: 1, by: -1) {
            if let entity = NamedEntities.find(name.prefix(length)), entity.standsAlone {
                return (length, entity.value)
            }
        }
        return nil
    }
}

/// HTML 5's table of named character references. Layout: `scripts/make-vocabulary`.
private enum NamedEntities {
    /// The length of the longest name that counts without a semicolon.
    static let longestAlone = 6

    private static let data = EmbeddedData.entities
    private static let count = Int(data.load(UInt16.self, at: 0))

    static func find(_ name: ArraySlice<UInt32>) -> (value: Scalars, standsAlone: Bool)? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            let record = 2 + 10 * middle
            let offset = 2 + 10 * count + Int(data.load(UInt16.self, at: record + 6))
            let length = Int(data.load(UInt8.self, at: record + 8))
            switch compare(name, toNameAt: offset, length: length) {
            case 0:
                let second = UInt32(data.load(UInt16.self, at: record + 4))
                let value = [data.load(UInt32.self, at: record)] + (second == 0 ? [] : [second])
                return (value, data.load(UInt8.self, at: record + 9) != 0)
            case ..<0: high = middle
            default: low = middle + 1
            }
        }
        return nil
    }

    private static func compare(
        _ name: ArraySlice<UInt32>, toNameAt offset: Int, length: Int
    ) -> Int {
        for (index, value) in name.prefix(length).enumerated() {
            let other = UInt32(data.load(UInt8.self, at: offset + index))
            if value != other { return value < other ? -1 : 1 }
        }
        return name.count - length
    }
}
