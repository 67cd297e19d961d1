/// Reads one field of an `application/x-www-form-urlencoded` text: a form's body or an address's
/// query (URL Standard, 5.1).
enum FormFields {
    /// The first field with a name, percent-decoded and otherwise unchecked bytes.
    /// - Parameter text: the encoded fields.
    /// - Returns: `nil` when no field has the name.
    static func value(of name: String, in text: some Collection<UInt8>) -> [UInt8]? {
        for field in text.split(separator: UInt8(ascii: "&")) {
            let equals = field.firstIndex(of: UInt8(ascii: "=")) ?? field.endIndex
            guard decoded(field[..<equals]).elementsEqual(name.utf8) else { continue }
            return decoded(field[equals...].dropFirst())
        }
        return nil
    }

    private static func decoded(_ bytes: some Collection<UInt8>) -> [UInt8] {
        PercentEncoding.decode(bytes, plusIsSpace: true)
    }
}
