import Bytes
import FoundationEssentials

/// AWS Signature Version 4 as pure functions, each stage named after AWS's document ("Authenticating Requests (AWS
/// Signature Version 4)", Amazon S3 API Reference). Unlike for other services, the path is encoded once and never
/// normalised, and every request carries `x-amz-content-sha256`.
package enum SigV4 {
    package static let algorithm = "AWS4-HMAC-SHA256"

    /// What a signature is good for: one day, region and service.
    package struct Scope: Sendable {
        /// The moment in ISO 8601's basic format, `20130524T000000Z`.
        package let timestamp: String
        package let region: String
        package let service: String

        /// Moments outside the years 1970 to 9999 become the nearest one inside.
        package init(_ date: Date, region: String, service: String = "s3") {
            let seconds = min(max(date.timeIntervalSince1970, 0), 253_402_300_799)
            timestamp = Date(timeIntervalSince1970: seconds).formatted(
                Date.ISO8601FormatStyle(dateSeparator: .omitted, timeSeparator: .omitted))
            self.region = region
            self.service = service
        }

        /// `20130524`
        var day: String { String(timestamp.prefix(8)) }
        var text: String { "\(day)/\(region)/\(service)/aws4_request" }
    }

    // MARK: The stages

    package static func canonicalQueryString(_ query: [(name: String, value: String)]) -> String {
        query.map { (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value)) }
            .sorted { $0 < $1 }  // Both are ASCII now, so this is the order of their bytes.
            .map { "\($0.0)=\($0.1)" }
            .joined(separator: "&")
    }

    /// Name and value of each header, names in lower case and in order, the values of a repeated
    /// one joined by commas, runs of spaces in a value made one.
    static func canonicalHeaders(
        _ headers: [(name: String, value: String)]
    ) -> [(name: String, value: String)] {
        var canonical: [(name: String, value: String)] = []
        for header in headers {
            let name = lowercasedASCII(header.name)
            let value = header.value
                .split { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
                .joined(separator: " ")
            if let index = canonical.firstIndex(where: { $0.name == name }) {
                canonical[index].value += ",\(value)"
            } else {
                canonical.append((name, value))
            }
        }
        return canonical.sorted { $0.name < $1.name }
    }

    package static func signedHeaders(_ headers: [(name: String, value: String)]) -> String {
        canonicalHeaders(headers).map(\.name).joined(separator: ";")
    }

    /// - Parameters:
    ///   - path: already percent-encoded, as it goes over the wire.
    ///   - query: not yet encoded.
    ///   - headers: all of them are signed; `host` must be among them.
    ///   - payloadHash: lower-case hexadecimal SHA-256 of the body, or `UNSIGNED-PAYLOAD`.
    package static func canonicalRequest(
        method: String, path: String, query: [(name: String, value: String)],
        headers: [(name: String, value: String)], payloadHash: String
    ) -> String {
        """
        \(method)
        \(path)
        \(canonicalQueryString(query))
        \(canonicalHeaders(headers).map { "\($0.name):\($0.value)\n" }.joined())
        \(signedHeaders(headers))
        \(payloadHash)
        """
    }

    package static func stringToSign(_ canonicalRequest: String, scope: Scope) -> String {
        """
        \(algorithm)
        \(scope.timestamp)
        \(scope.text)
        \(sha256(canonicalRequest.utf8))
        """
    }

    package static func signingKey(secretKey: String, scope: Scope) -> [UInt8] {
        [scope.day, scope.region, scope.service, "aws4_request"]
            .reduce(Array("AWS4\(secretKey)".utf8)) { SHA256.hmac(of: $1.utf8, key: $0) }
    }

    package static func signature(
        of canonicalRequest: String, secretKey: String, scope: Scope
    ) -> String {
        let text = stringToSign(canonicalRequest, scope: scope)
        let key = signingKey(secretKey: secretKey, scope: scope)
        return Hexadecimal.encode(SHA256.hmac(of: text.utf8, key: key))
    }

    // MARK: The two ways to carry a signature

    /// The headers that authenticate a request, those given included: `x-amz-date`, for
    /// S3 `x-amz-content-sha256`, `x-amz-security-token` where there is one, `Authorization`.
    package static func signedByHeaders(
        method: String, path: String, query: [(name: String, value: String)],
        headers: [(name: String, value: String)], payloadHash: String, credentials: Credentials,
        scope: Scope
    ) -> [(name: String, value: String)] {
        var headers = headers
        headers.append(("x-amz-date", scope.timestamp))
        if scope.service == "s3" { headers.append(("x-amz-content-sha256", payloadHash)) }
        if let token = credentials.sessionToken {
            headers.append(("x-amz-security-token", token))
        }
        let request = canonicalRequest(
            method: method, path: path, query: query, headers: headers, payloadHash: payloadHash)
        let signature = signature(of: request, secretKey: credentials.secretKey, scope: scope)
        let authorization =
            "\(algorithm) Credential=\(credentials.accessKey)/\(scope.text), "
            + "SignedHeaders=\(signedHeaders(headers)), Signature=\(signature)"
        return headers + [("Authorization", authorization)]
    }

    /// The query string that authenticates a GET of `path` at `host` for `seconds`. The order of
    /// its parameters is boto3's, so that the URLs are equal byte for byte.
    package static func presignedQuery(
        host: String, path: String, expiresIn seconds: Int, credentials: Credentials,
        requesterPays: Bool = false, scope: Scope
    ) -> String {
        var query: [(name: String, value: String)] = [
            ("X-Amz-Algorithm", algorithm),
            ("X-Amz-Credential", "\(credentials.accessKey)/\(scope.text)"),
            ("X-Amz-Date", scope.timestamp),
            ("X-Amz-Expires", String(seconds)),
            ("X-Amz-SignedHeaders", "host"),
        ]
        if let token = credentials.sessionToken {
            query.append(("X-Amz-Security-Token", token))
        }
        if requesterPays { query.append(("x-amz-request-payer", "requester")) }
        let request = canonicalRequest(
            method: "GET", path: path, query: query, headers: [("host", host)],
            payloadHash: "UNSIGNED-PAYLOAD")
        let signature = signature(of: request, secretKey: credentials.secretKey, scope: scope)
        return query.map {
            "\(PercentEncoding.encode($0.name))=\(PercentEncoding.encode($0.value))&"
        }.joined() + "X-Amz-Signature=\(signature)"
    }

    // MARK: Hashes

    package static func sha256(_ bytes: some Sequence<UInt8>) -> String {
        Hexadecimal.encode(SHA256.digest(of: bytes))
    }
}

func lowercasedASCII(_ text: some StringProtocol) -> String {
    String(
        decoding: text.utf8.map {
            (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0
        }, as: UTF8.self)
}
