#if TLS
    import Glibc
    import HummingbirdCore
    import HummingbirdTLS
    import NIOSSL
#endif

/// Why certificate and key cannot be used; one sentence that names the files.
public struct TLSFilesError: Error, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// PEM files: the server's certificate, followed by its chain, and its private key.
public struct TLSFiles: Sendable {
    public let certificate: String
    public let key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

#if TLS
    extension TLSFiles {
        /// TLS 1.2 and later, with the library's choice of ciphers.
        func server(over plain: HTTPServerBuilder) throws(TLSFilesError) -> HTTPServerBuilder {
            let (chain, privateKey) = try read()
            let configuration = Self.configuration(chain, privateKey)
            do {
                // The server itself would only look at the files with its first connection.
                _ = try NIOSSLContext(configuration: configuration)
                return try .tls(plain, tlsConfiguration: configuration)
            } catch {
                throw mismatch(chain, privateKey)
            }
        }

        /// Why browsers will refuse the certificate at a time, in seconds since 1970; nil when its
        /// dates are fine.
        package func warning(at now: Int) throws(TLSFilesError) -> String? {
            for part in try read().chain {
                let (begin, end) = (Int(part.notValidBefore), Int(part.notValidAfter))
                if end < now {
                    return "the TLS certificate \(certificate) expired on \(HTTPDate.text(end)): "
                        + "renew it, then restart web-app"
                }
                if begin > now {
                    return "the TLS certificate \(certificate) is valid only from "
                        + "\(HTTPDate.text(begin)): check this machine's clock"
                }
            }
            return nil
        }

        private func read() throws(TLSFilesError) -> (
            chain: [NIOSSLCertificate], key: NIOSSLPrivateKey
        ) {
            let pem = try Self.contents(of: certificate, called: "certificate")
            guard let chain = try? NIOSSLCertificate.fromPEMBytes(pem), !chain.isEmpty else {
                throw TLSFilesError(
                    "the TLS certificate \(certificate) cannot be used: it must be a PEM file")
            }
            let keyPEM = try Self.contents(of: key, called: "key")
            guard let privateKey = try? NIOSSLPrivateKey(bytes: keyPEM, format: .pem) else {
                throw TLSFilesError(
                    "the TLS key \(key) cannot be used: it must be a PEM file without a password")
            }
            return (chain, privateKey)
        }

        private static func configuration(
            _ chain: [NIOSSLCertificate], _ key: NIOSSLPrivateKey
        ) -> TLSConfiguration {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
            configuration.minimumTLSVersion = .tlsv12
            return configuration
        }

        /// The library refuses a key that is not the first certificate's.
        private func mismatch(
            _ chain: [NIOSSLCertificate], _ privateKey: NIOSSLPrivateKey
        ) -> TLSFilesError {
            let isLater = chain.dropFirst().contains { part in
                (try? NIOSSLContext(configuration: Self.configuration([part], privateKey))) != nil
            }
            return TLSFilesError(
                isLater
                    ? "the TLS certificate \(certificate) has its chain in the wrong order: "
                        + "the certificate of the key \(key) must come first"
                    : "the TLS key \(key) does not belong to the certificate \(certificate)")
        }

        /// - Throws: ``TLSFilesError`` with the system's reason.
        private static func contents(
            of path: String, called name: String
        ) throws(TLSFilesError) -> [UInt8] {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            defer { if descriptor >= 0 { close(descriptor) } }
            // A longer file is not a certificate.
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            var count = 0
            while descriptor >= 0, count < bytes.count {
                let part = bytes[count...].withUnsafeMutableBytes {
                    Glibc.read(descriptor, $0.baseAddress, $0.count)
                }
                if part == 0 { return Array(bytes.prefix(count)) }
                if part < 0 { break }
                count += part
            }
            let reason = count < bytes.count ? String(cString: strerror(errno)) : "it is too large"
            throw TLSFilesError("the TLS \(name) \(path) cannot be read: \(reason)")
        }
    }
#endif
