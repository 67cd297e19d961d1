#if TLS
    import Glibc
    import HummingbirdCore
    import HummingbirdTLS
    import Logging
    import NIOSSL

    /// PEM files: the server's certificate, followed by its chain, and its private key.
    struct TLSFiles {
        let certificate: String
        let key: String

        /// TLS 1.2 and later, with the library's choice of ciphers. Certificates that browsers will refuse for
        /// their dates are logged.
        func server(
            over plain: HTTPServerBuilder, logger: Logger
        ) throws(SiteOptionError) -> HTTPServerBuilder {
            let pem = try Self.contents(of: certificate, called: "certificate")
            guard let chain = try? NIOSSLCertificate.fromPEMBytes(pem), !chain.isEmpty else {
                throw SiteOptionError(
                    "the TLS certificate \(certificate) cannot be used: it must be a PEM file")
            }
            let keyPEM = try Self.contents(of: key, called: "key")
            guard let privateKey = try? NIOSSLPrivateKey(bytes: keyPEM, format: .pem) else {
                throw SiteOptionError(
                    "the TLS key \(key) cannot be used: it must be a PEM file without a password")
            }
            let configuration = Self.configuration(chain, privateKey)
            // The server itself would only look at the files with its first connection.
            guard (try? NIOSSLContext(configuration: configuration)) != nil,
                let server = try? HTTPServerBuilder.tls(plain, tlsConfiguration: configuration)
            else { throw mismatch(chain, privateKey) }
            let now = time(nil)
            for part in chain {
                let (begin, end) = (Int(part.notValidBefore), Int(part.notValidAfter))
                if end < now {
                    logger.warning(
                        """
                        the TLS certificate \(certificate) expired on \(HTTPDate.text(end)): \
                        renew it, then restart web-app
                        """)
                } else if begin > now {
                    logger.warning(
                        """
                        the TLS certificate \(certificate) is valid only from \
                        \(HTTPDate.text(begin)): check this machine's clock
                        """)
                }
            }
            return server
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
        ) -> SiteOptionError {
            let isLater = chain.dropFirst().contains { part in
                (try? NIOSSLContext(configuration: Self.configuration([part], privateKey))) != nil
            }
            return SiteOptionError(
                isLater
                    ? "the TLS certificate \(certificate) has its chain in the wrong order: "
                        + "the certificate of the key \(key) must come first"
                    : "the TLS key \(key) does not belong to the certificate \(certificate)")
        }

        /// - Throws: ``SiteOptionError`` with the system's reason.
        private static func contents(
            of path: String, called name: String
        ) throws(SiteOptionError) -> [UInt8] {
            let file = fopen(path, "re")
            defer { _ = file.map { fclose($0) } }
            // A longer file is not a certificate.
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = file.map { fread(&bytes, 1, bytes.count, $0) }
            if let file, let count, ferror(file) == 0, count < bytes.count {
                return Array(bytes.prefix(count))
            }
            let reason = count == bytes.count ? "it is too large" : String(cString: strerror(errno))
            throw SiteOptionError("the TLS \(name) \(path) cannot be read: \(reason)")
        }
    }
#endif
