import Foundation
import PGClient
import Testing

/// Every `sslmode` of libpq (manual, "SSL Support", table of modes) against a server with TLS.
@Suite(.enabled(if: Server.hasTLS)) struct TLSTests {
    func connect(_ query: String, host: String? = nil) throws -> PGConnection {
        let uri = try #require(Server.tlsURI)
        var parts = try #require(URLComponents(string: uri))
        if let host { parts.host = host }
        parts.query = query
        let text = try #require(parts.string)
        return try PGConnection(uri: text)
    }

    func refusal(_ query: String, host: String? = nil) throws -> PGError {
        let error = try #require(throws: PGError.self) { try connect(query, host: host) }
        let uri = try #require(Server.tlsURI)
        let password = try #require(URLComponents(string: uri)?.password)
        #expect(error.kind == .connection)
        #expect(!error.description.contains(password))
        return error
    }

    @Test func modesThatDoNotVerify() throws {
        #expect(try !connect("sslmode=disable").isEncrypted)
        // "allow" tries without TLS first, and this server takes it.
        #expect(try !connect("sslmode=allow").isEncrypted)
        #expect(try connect("sslmode=prefer").isEncrypted)
        #expect(try connect("sslmode=require").isEncrypted)
        let connection = try connect("sslmode=require")
        let row = try connection.execute(
            "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0]
        #expect(try row.bool(0) && row.string(1).hasPrefix("TLSv1"))
    }

    @Test(arguments: ["verify-ca", "verify-full"])
    func modesThatVerify(_ mode: String) throws {
        let ca = try #require(Server.tlsCA)
        #expect(try connect("sslmode=\(mode)&sslrootcert=\(ca)", host: "localhost").isEncrypted)
        // Without the authority that signed the server's certificate.
        #expect(
            try refusal("sslmode=\(mode)&sslrootcert=/nonexistent/ca.crt", host: "localhost")
                .message.contains("root certificate file"))
        let other = FileManager.default.temporaryDirectory.appendingPathComponent(
            Server.freshName() + ".crt")
        try Self.otherAuthority.write(to: other, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: other) }
        #expect(
            try refusal("sslmode=\(mode)&sslrootcert=\(other.path)", host: "localhost")
                .message.contains("certificate verify failed"))
    }

    @Test func hostNameIsVerifiedByVerifyFullOnly() throws {
        let ca = try #require(Server.tlsCA)
        let query = "sslrootcert=\(ca)&hostaddr=127.0.0.1&sslmode="
        #expect(try connect(query + "verify-ca", host: "another.example").isEncrypted)
        #expect(
            try refusal(query + "verify-full", host: "another.example").message.contains(
                "does not match host name \"another.example\""))
    }

    @Test func serverWithoutPgvectorSaysSo() throws {
        let connection = try connect("sslmode=require")
        let error = try #require(throws: PGError.self) {
            try connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        }
        #expect(error.sqlState == "0A000")
        let type = try #require(throws: PGError.self) {
            try connection.execute("SELECT $1::vector", [.vector([1])])
        }
        #expect(type.isUndefinedObject)
        #expect(type.message == "type \"vector\" does not exist")
    }

    /// A self-signed certificate that has signed nothing else:
    /// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500
    /// -subj "/CN=another authority"`.
    static let otherAuthority = """
        -----BEGIN CERTIFICATE-----
        MIIBjzCCATWgAwIBAgIUPmYxZjntEtSipnjdFVexAUH97PQwCgYIKoZIzj0EAwIw
        HDEaMBgGA1UEAwwRYW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIzMDUxMzA3WhgP
        MjEyNjEwMzAwNTEzMDdaMBwxGjAYBgNVBAMMEWFub3RoZXIgYXV0aG9yaXR5MFkw
        EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4ADJylr601GH5HWiI+0Es+Zue32Z0jDh
        Tfv7/JSM7vQwW74jy+IV1flU9VO/Zz6gGSPdaxNs8OlG66evRmlunaNTMFEwHQYD
        VR0OBBYEFPm7FjPB6OoW7lRSGsOMfCaek/O7MB8GA1UdIwQYMBaAFPm7FjPB6OoW
        7lRSGsOMfCaek/O7MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIg
        bdDW6a3KdeltKOq7FCmxYFzt8Qm7DTg4Qd2fIEFJFUMCIQCvx9Jvc/x+gj/qXJlA
        NoJ/6OcCv2b5adpQ5ngjPxaaFg==
        -----END CERTIFICATE-----

        """
}

extension PGConnection {
    fileprivate var isEncrypted: Bool {
        get throws {
            try execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0].bool(0)
        }
    }
}
