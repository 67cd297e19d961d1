import CPostgreSQL

/// A checked connection string, URI or `key=value`, and the secrets in it.
///
/// libpq parses it (PostgreSQL manual, "Connection Strings"). Its messages quote what they could not read, and it
/// reads a password with an unencoded `@` or `/` as something else; both cases are caught here.
package struct ConnectionString {
    package let text: String
    /// Keyword and decoded value of everything the string sets.
    package let parameters: [String: String]
    private let secrets: Set<String>

    package init(_ text: String) throws(PGError) {
        guard !text.allSatisfy(\.isWhitespace) else {
            throw PGError(.connection, "the connection string is empty")
        }
        guard !text.utf8.contains(0) else {
            throw PGError(.connection, "the connection string holds a NUL character")
        }
        if Self.hasMisplacedAt(text) {
            throw PGError(
                .connection,
                "the connection URI has an unencoded @ or / in its password or database name: "
                    + "write %40 for @ and %2F for /")
        }
        var fault: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &fault) else {
            let message = fault.map { String(cString: $0) } ?? "out of memory"
            if let fault { PQfreemem(fault) }
            throw PGError(
                .connection,
                "the connection string cannot be read: " + Self.redactQuotes(message, of: text))
        }
        defer { PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                parameters[String(cString: keyword)] = String(cString: value)
            }
            option += 1
        }
        self.text = text
        self.parameters = parameters
        secrets = Self.rawSecrets(of: text).union(
            parameters.filter { Self.isSecret($0.key) }.values)
    }

    /// `message` without the secrets of this string, in their decoded or encoded form.
    ///
    /// libpq and the server quote whatever they repeat, so every occurrence inside double quotes is removed, unless
    /// the quoted text is the whole host, user or database name. Outside are fixed words ("password authentication
    /// failed"): a secret that is such a word stays, since removing it would give it away.
    /// - Parameter password: found elsewhere by libpq (PGPASSWORD, the password file, a service file).
    package func scrub(_ message: String, password: String = "") -> String {
        let secrets = secrets.union([password]).subtracting([""])
        // Longest first: a secret may be part of another.
        let ordered = secrets.sorted { $0.utf8.count > $1.utf8.count }
        let telling = ordered.filter { secret in
            secret.utf8.count >= 3 && secret != parameters["port"]
                && !secret.unicodeScalars.allSatisfy(\.properties.isAlphabetic)
        }
        var names = Set(["user", "dbname"].compactMap { parameters[$0] })
        for keyword in ["host", "hostaddr"] {
            names.formUnion((parameters[keyword] ?? "").split(separator: ",").map(String.init))
        }
        var text = message
        for secret in ordered where secret.contains("\"") {
            text = text.replacing(secret, with: "***")
        }
        var parts = text.split(separator: "\"", omittingEmptySubsequences: false).map(String.init)
        for index in parts.indices {
            let isQuoted = index % 2 == 1 && index < parts.count - 1
            if isQuoted && names.contains(parts[index]) { continue }
            for secret in isQuoted ? ordered : telling {
                parts[index] = parts[index].replacing(secret, with: "***")
            }
        }
        return parts.joined(separator: "\"")
    }

    // MARK: - What is secret

    private static func isSecret(_ keyword: String) -> Bool {
        // password, sslpassword, passfile; libpq 18: oauth_client_secret, scram_client_key, …
        keyword.contains("pass") || keyword.contains("secret") || keyword.hasPrefix("scram_")
    }

    /// A URI's user information, which ends at the first `@` before any `/` (as libpq reads it), and the rest.
    private static func parts(_ text: String) -> (user: Substring?, rest: Substring)? {
        let uri = /postgres(?:ql)?:\/\/(?:([^@\/]*)@)?([\s\S]*)/
        return text.wholeMatch(of: uri).map { ($0.1, $0.2) }
    }

    /// Whether a URI has another `@` before its query: part of an unencoded password, half of which libpq would look up
    /// as a host name.
    private static func hasMisplacedAt(_ text: String) -> Bool {
        parts(text)?.rest.prefix { $0 != "?" }.contains("@") ?? false
    }

    /// The secrets of a URI as they are written, percent-encoding and all.
    private static func rawSecrets(of text: String) -> Set<String> {
        guard let (user, rest) = parts(text) else { return [] }
        let pairs = rest.drop { $0 != "?" }.dropFirst().split(separator: "&")
            .map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        let found = pairs.filter { $0.count == 2 && isSecret($0[0]) }.map { $0[1] }
        return Set(
            found + (user?.split(separator: ":", maxSplits: 1).dropFirst().map(String.init) ?? []))
    }

    /// libpq's message about a string that it could not parse, without its quotes, which may be the password. The name
    /// of an unknown URI parameter stays, since it may be a typing error.
    private static func redactQuotes(_ message: String, of text: String) -> String {
        guard let first = message.firstIndex(of: "\""), let last = message.lastIndex(of: "\""),
            first < last
        else { return message }
        let quoted = message[message.index(after: first)..<last]
        let query = parts(text)?.rest.drop { $0 != "?" } ?? ""
        let isParameter =
            !query.contains("@")
            && (query.contains("?\(quoted)=") || query.contains("&\(quoted)="))
        let shown = isParameter && !isSecret(String(quoted)) ? quoted : "…"
        return "\(message[...first])\(shown)\(message[last...])"
    }
}

extension ConnectionString: CustomStringConvertible, CustomReflectable {
    package var description: String { "a PostgreSQL connection string" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
