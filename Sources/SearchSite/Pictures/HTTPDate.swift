import Glibc

/// Dates as HTTP fields have them.
enum HTTPDate {
    /// The preferred form of RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func text(_ secondsSince1970: Int) -> String {
        var (seconds, time) = (secondsSince1970, tm())
        gmtime_r(&seconds, &time)
        var text = [CChar](repeating: 0, count: 64)
        // The names are English: the tools never leave the C locale.
        let length = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &time)
        return String(decoding: text.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
