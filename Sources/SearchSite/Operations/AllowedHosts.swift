/// The names under which the site may be asked for (the `Host` field, RFC 9110, 7.2).
///
/// A page of another site can make its own name lead to this machine's loopback address, and then read
/// the answers as its own (DNS rebinding). Its name gives it away.
public struct AllowedHosts: Sendable {
    /// `nil` allows every name.
    private let names: Set<String>?

    private static let loopback: Set<String> = ["localhost", "127.0.0.1", "[::1]"]

    /// - Parameters:
    ///   - names: names and addresses without port; when there are none, a site that only this machine
    ///     can reach takes the loopback names, any other takes all.
    ///   - host: what the site listens on.
    init(_ names: [String], host: String) {
        let isLoopback = host == "localhost" || host == "::1" || host.hasPrefix("127.")
        guard !names.isEmpty || isLoopback else {
            self.names = nil
            return
        }
        var allowed = Set(names.map { $0.lowercased() })
        if isLoopback { allowed.formUnion(Self.loopback.union([host])) }
        self.names = allowed
    }

    static let all = AllowedHosts([], host: "0.0.0.0")

    /// - Parameter authority: the `Host` field, with or without a port.
    func allows(_ authority: String?) -> Bool {
        guard let names else { return true }
        guard let authority else { return false }
        var name = authority[...]
        // The port comes after the last colon that is not inside of an IPv6 address's brackets.
        if let colon = name.lastIndex(of: ":"), !name[colon...].contains("]") {
            name = name[..<colon]
        }
        return names.contains(name.lowercased())
    }
}
