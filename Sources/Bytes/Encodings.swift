/// Base 16 (RFC 4648, section 8).
package enum Hexadecimal {
    private static let lowerCase = Array("0123456789abcdef".utf8)

    /// Two lower-case digits for each byte.
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            text.append(lowerCase[Int(byte >> 4)])
            text.append(lowerCase[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The value of a digit of either case; nil for another character.
    package static func value(_ digit: UInt8) -> UInt8? {
        Character(Unicode.Scalar(digit)).hexDigitValue.map { UInt8($0) }
    }
}

/// Percent-encoding (RFC 3986, section 2.1), as SigV4's `UriEncode` and HTML's forms need it.
package enum PercentEncoding {
    /// Whether `byte` is one of the unreserved characters of RFC 3986, section 2.3.
    package static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// Encodes every byte of the text's UTF-8 that is not unreserved, with upper-case digits.
    /// - Parameter keepingSlashes: for a whole path, where a slash separates.
    package static func encode(_ text: String, keepingSlashes: Bool = false) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count * 2)
        for byte in text.utf8 {
            if isUnreserved(byte) || (keepingSlashes && byte == UInt8(ascii: "/")) {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// Decodes `%XX`. A `%` without two hexadecimal digits stays as it is, as in the URL Standard and
    /// Python's `urllib.parse.unquote`.
    /// - Parameter plusIsSpace: whether `+` means a space, as in forms.
    package static func decode(_ bytes: some Collection<UInt8>, plusIsSpace: Bool) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2).compactMap(Hexadecimal.value)
            if byte == UInt8(ascii: "%"), digits.count == 2 {
                decoded.append(digits[0] << 4 | digits[1])
                rest = rest.dropFirst(2)
            } else {
                decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return decoded
    }

    /// The same for text; nil where the decoded bytes are not UTF-8.
    package static func decode(_ text: String, plusIsSpace: Bool = false) -> String? {
        String(validating: decode(Array(text.utf8), plusIsSpace: plusIsSpace), as: UTF8.self)
    }
}

extension StringProtocol {
    /// The text without such characters at its ends.
    package func trimmed(_ isTrimmed: (Character) -> Bool = \.isWhitespace) -> String {
        guard let first = firstIndex(where: { !isTrimmed($0) }),
            let last = lastIndex(where: { !isTrimmed($0) })
        else { return "" }
        return String(self[first...last])
    }
}
