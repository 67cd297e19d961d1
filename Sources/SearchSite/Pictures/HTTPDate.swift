import Glibc

/// Dates as HTTP fields have them.
enum HTTPDate {
    /// The preferred form of RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func text(secondsSince1970 seconds: Int) -> String {
        var seconds = seconds
        var time = tm()
        gmtime_r(&seconds, &time)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        let month = months[Int(time.tm_mon)]
        let date = "\(digits(time.tm_mday)) \(month) \(1_900 + Int(time.tm_year))"
        let clock = [time.tm_hour, time.tm_min, time.tm_sec].map(digits).joined(separator: ":")
        return "\(days[Int(time.tm_wday)]), \(date) \(clock) GMT"
    }

    private static func digits(_ number: Int32) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
