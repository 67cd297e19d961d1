import Bytes
import FoundationEssentials

/// Finds credentials where AWS's tools do, in botocore's order: environment variables, a web identity's token,
/// the profile in `~/.aws`, the container's credentials, the instance's role (IMDSv2).
///
/// Sources: "Credentials" in boto3's guide; the AWS SDKs and Tools Reference Guide; AssumeRoleWithWebIdentity in the
/// STS API Reference. What needs more than HTTP and a file (single sign-on, `credential_process`, roles by way of
/// another profile) is refused by name.
public struct AmazonCredentials: Sendable {
    /// The value of an environment variable; nil when it is not set or empty.
    let variable: @Sendable (String) -> String?
    /// The region of the token service, if no variable names it.
    let region: String?

    private let transport: HTTPTransport

    /// - Parameter transport: whom to trust; how long each service may take is decided here.
    public init(
        region: String? = nil, transport: TransportOptions = TransportOptions(),
        variable: @escaping @Sendable (String) -> String?
    ) {
        self.region = region
        self.variable = variable
        self.transport = HTTPTransport(options: transport)
    }

    /// A provider that looks again before temporary credentials expire; nil without any. Blocks.
    /// Throws `S3Error` for a source that is named but cannot be used.
    public func provider() throws -> CredentialProvider? {
        guard let first = try find() else { return nil }
        return CredentialProvider(first) {
            guard let next = try find() else {
                throw S3Error(
                    .connection(.connect),
                    "The AWS credentials have expired, and their source no longer gives new ones.")
            }
            return next
        }
    }

    private func find() throws -> Credentials? {
        if let key = variable("AWS_ACCESS_KEY_ID") ?? variable("AWS_SECRET_ACCESS_KEY") {
            guard let secret = variable("AWS_SECRET_ACCESS_KEY"),
                variable("AWS_ACCESS_KEY_ID") != nil
            else {
                throw refusal("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set")
            }
            return Credentials(
                accessKey: key, secretKey: secret, sessionToken: variable("AWS_SESSION_TOKEN"))
        }
        if let token = variable("AWS_WEB_IDENTITY_TOKEN_FILE"), let role = variable("AWS_ROLE_ARN")
        {
            return try webIdentity(token, role, session: variable("AWS_ROLE_SESSION_NAME"))
        }
        return try profile() ?? container() ?? instance()
    }

    // MARK: Profiles

    private func profile() throws -> Credentials? {
        let home = variable("HOME") ?? ""
        func path(_ name: String, _ standard: String) -> String {
            let path = variable(name) ?? "~/.aws/\(standard)"
            return path.hasPrefix("~/") ? home + path.dropFirst() : path
        }
        let given = variable("AWS_PROFILE") ?? variable("AWS_DEFAULT_PROFILE")
        let name = given ?? "default"
        let shared = Self.profiles(path("AWS_SHARED_CREDENTIALS_FILE", "credentials"))[name]
        let config = Self.profiles(path("AWS_CONFIG_FILE", "config"), isConfig: true)[name]
        guard shared != nil || config != nil else {
            guard let given else { return nil }
            throw refusal("the profile \(quoted(given)), which AWS_PROFILE names, is not in ~/.aws")
        }
        let settings = (config ?? [:]).merging(shared ?? [:]) { $1 }
        if let role = settings["role_arn"], let token = settings["web_identity_token_file"] {
            return try webIdentity(token, role, session: settings["role_session_name"])
        }
        for unsupported in ["role_arn", "sso_session", "sso_start_url", "login_session"]
        where settings[unsupported] != nil {
            throw refusal(
                "the profile \(quoted(name)) uses \(unsupported), which is not supported: "
                    + "run `aws configure export-credentials --format env` and set what it prints")
        }
        for source in [shared, config] {
            guard let source, let key = source["aws_access_key_id"] else { continue }
            guard let secret = source["aws_secret_access_key"] else {
                throw refusal("the profile \(quoted(name)) has no aws_secret_access_key")
            }
            return Credentials(
                accessKey: key, secretKey: secret, sessionToken: source["aws_session_token"])
        }
        guard settings["credential_process"] == nil else {
            throw refusal(
                "the profile \(quoted(name)) uses credential_process, which is not supported: "
                    + "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
        }
        return nil
    }

    /// The settings of each profile in a file; empty where it cannot be read.
    private static func profiles(
        _ path: String, isConfig: Bool = false
    ) -> [String: [String: String]] {
        var profiles: [String: [String: String]] = [:]
        var profile: String?
        for line in (text(of: path) ?? "").split(whereSeparator: \.isNewline) {
            // Indented lines belong to the setting above them (`s3 =`).
            guard let first = line.first, first != "#", first != ";", first.isWhitespace == false
            else { continue }
            if first == "[", let end = line.firstIndex(of: "]") {
                let words = line[line.index(after: line.startIndex)..<end]
                    .split(separator: " ", maxSplits: 1).map { trim($0) }
                // In the configuration file all profiles but the default one begin with "profile".
                switch (isConfig, words.count) {
                case (true, 2): profile = words[0] == "profile" ? words[1] : nil
                case (true, _) where words != ["default"]: profile = nil
                default: profile = words.joined(separator: " ")
                }
                if let profile { profiles[profile] = profiles[profile] ?? [:] }
            } else if let profile, let equals = line.firstIndex(of: "=") {
                let value = trim(line[line.index(after: equals)...])
                profiles[profile]?[lowercasedASCII(trim(line[..<equals]))] =
                    value.isEmpty ? nil : value
            }
        }
        return profiles
    }

    private static func trim(_ text: some StringProtocol) -> String {
        text.trimmed().replacing("\"", with: "")
    }

    private static func text(of file: String) -> String? {
        FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) }
    }

    // MARK: Services

    /// AssumeRoleWithWebIdentity, whose request is not signed.
    private func webIdentity(_ file: String, _ role: String, session: String?) throws -> Credentials
    {
        guard let token = Self.text(of: file) else {
            throw refusal("the web identity's token \(quoted(file)) cannot be read")
        }
        let region = variable("AWS_REGION") ?? variable("AWS_DEFAULT_REGION") ?? region
        guard region.map(Region.isValid) != false else {
            throw refusal("AWS_REGION is not letters, digits and hyphens")
        }
        let address =
            variable("AWS_ENDPOINT_URL_STS") ?? variable("AWS_ENDPOINT_URL")
            ?? region.map { "https://sts.\(Region.amazonHost(for: $0).dropFirst(3))" }
            ?? "https://sts.amazonaws.com"
        var request = HTTPRequest(url: address.hasSuffix("/") ? address : address + "/")
        request.method = "POST"
        request.headers = [("Content-Type", "application/x-www-form-urlencoded")]
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", role),
            ("RoleSessionName", session ?? "clip-search"), ("WebIdentityToken", Self.trim(token)),
        ]
        request.body = Array(
            fields.map { "\($0)=\(PercentEncoding.encode($1))" }.joined(separator: "&").utf8)
        let (status, body) = try send(request, within: .seconds(10))
        guard status == 200 else {
            let code = ServiceError(parsing: body).code
            throw refusal(
                "\(address) does not give credentials for the role \(quoted(role)): HTTP status "
                    + "\(status)\(code.map { " (\($0))" } ?? "")")
        }
        var found: [String: String] = [:]
        for (path, text) in XMLReader.beginning(of: body).0
        where path.dropLast().last == "Credentials" {
            found[path.last ?? ""] = text
        }
        return try temporary(found, from: address)
    }

    private func container() throws -> Credentials? {
        let address: String
        if let path = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            address = "http://169.254.170.2" + path
        } else if let full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            let endpoint = try Endpoint(String(full.prefix { $0 != "?" }))
            let agents = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]
            guard endpoint.scheme == .https || endpoint.isLoopback || agents.contains(endpoint.host)
            else {
                throw refusal(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or name this machine or the container's agent"
                )
            }
            address = full
        } else {
            return nil
        }
        var request = HTTPRequest(url: address)
        request.headers = [("Accept", "application/json")]
        if let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            guard let token = Self.text(of: file) else {
                throw refusal(
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE \(quoted(file)) cannot be read")
            }
            request.headers.append(("Authorization", Self.trim(token)))
        } else if let token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN") {
            request.headers.append(("Authorization", token))
        }
        let (status, body) = try send(request)
        guard status == 200 else {
            throw refusal("the container's credentials are refused: HTTP status \(status)")
        }
        return try document(body, from: "the container's agent")
    }

    /// nil where there is no such service, or no role.
    private func instance() throws -> Credentials? {
        guard lowercasedASCII(variable("AWS_EC2_METADATA_DISABLED") ?? "") != "true" else {
            return nil
        }
        let isIPv6 =
            lowercasedASCII(variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") ?? "") == "ipv6"
        var base =
            variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
            ?? (isIPv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254")
        while base.hasSuffix("/") { base.removeLast() }
        let role = base + "/latest/meta-data/iam/security-credentials/"

        var request = HTTPRequest(url: base + "/latest/api/token")
        request.method = "PUT"
        request.body = []
        request.headers = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")]
        guard let (status, token) = try? send(request), status == 200 else {
            return nil
        }
        func get(_ address: String) throws -> String? {
            var request = HTTPRequest(url: address)
            let token = Self.trim(String(decoding: token, as: UTF8.self))
            request.headers = [("x-aws-ec2-metadata-token", token)]
            let (status, body) = try send(request)
            return status == 200 ? String(decoding: body, as: UTF8.self) : nil
        }
        guard let name = try get(role)?.split(whereSeparator: \.isNewline).first else { return nil }
        guard let answer = try get(role + PercentEncoding.encode(String(name))) else {
            throw refusal("the instance's role \(quoted(String(name))) has no credentials")
        }
        return try document(Array(answer.utf8), from: "the instance's metadata service")
    }

    /// The JSON of the container's and the instance's service.
    private func document(_ bytes: [UInt8], from source: String) throws -> Credentials {
        /// A member; nil where it is not text.
        struct Member: Decodable {
            let text: String?
            init(from decoder: any Decoder) throws {
                text = try? decoder.singleValueContainer().decode(String.self)
            }
        }
        let members = try? JSONDecoder().decode([String: Member].self, from: Data(bytes))
        var found = members?.compactMapValues(\.text) ?? [:]
        found["SessionToken"] = found["Token"]
        return try temporary(found, from: source)
    }

    /// - Parameter found: by the names of STS's answer.
    private func temporary(_ found: [String: String], from source: String) throws -> Credentials {
        guard let key = found["AccessKeyId"], let secret = found["SecretAccessKey"] else {
            throw refusal("what \(source) answers holds no credentials")
        }
        let expiration = try found["Expiration"].map { text in
            let plain = try? Date(text, strategy: .iso8601)
            guard
                let date = plain
                    ?? (try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text))
            else { throw refusal("the credentials of \(source) end at a time that cannot be read") }
            return date
        }
        return Credentials(
            accessKey: key, secretKey: secret, sessionToken: found["SessionToken"],
            expiration: expiration)
    }

    private func refusal(_ fault: String) -> S3Error {
        S3Error(.setting, "No AWS credentials: \(fault).")
    }

    // MARK: HTTP

    /// The answer's status and body, of at most 64 KiB.
    /// - Parameter limit: the container's and the instance's service answer at once or not at all.
    private func send(
        _ request: HTTPRequest, within limit: Duration = .seconds(1)
    ) throws -> (status: Int, body: [UInt8]) {
        let endpoint = try Endpoint(String(request.url.prefix { $0 != "?" }))
        var request = request
        request.bypassesProxy = endpoint.scheme == .http
        var body: [UInt8] = []
        let head = try transport.perform(request, at: endpoint, timeout: limit) { _, piece in
            body += piece
            return body.count <= 64 << 10
        }
        return (head.status, body)
    }
}
