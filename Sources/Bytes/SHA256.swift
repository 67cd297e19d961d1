import CCrypto

/// SHA-256 (FIPS 180-4) by libcrypto, which libpq and libcurl bring along.
package final class SHA256 {
    private let context: OpaquePointer

    package init() {
        guard let context = EVP_MD_CTX_new() else { fatalError("libcrypto is out of memory") }
        precondition(EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1)
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    package func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
    }

    package func update(_ bytes: some Sequence<UInt8>) {
        Array(bytes).withUnsafeBytes(update)
    }

    /// The digest of everything so far, 32 bytes; more can follow.
    package func digest() -> [UInt8] {
        let copy = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(copy) }
        var digest = [UInt8](repeating: 0, count: 32)
        precondition(
            EVP_MD_CTX_copy_ex(copy, context) == 1 && EVP_DigestFinal_ex(copy, &digest, nil) == 1)
        return digest
    }

    /// The digest of `bytes`, 32 bytes.
    package static func digest(of bytes: some Sequence<UInt8>) -> [UInt8] {
        let bytes = Array(bytes)
        var digest = [UInt8](repeating: 0, count: 32)
        precondition(EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1)
        return digest
    }

    /// HMAC-SHA-256 (RFC 2104), 32 bytes.
    package static func hmac(of bytes: some Sequence<UInt8>, key: [UInt8]) -> [UInt8] {
        let bytes = Array(bytes)
        var code = [UInt8](repeating: 0, count: 32)
        precondition(
            HMAC(EVP_sha256(), key, Int32(key.count), bytes, bytes.count, &code, nil) != nil)
        return code
    }
}

/// Whether two digests are equal, in a time that does not depend on where they differ.
package func equalInConstantTime(_ one: [UInt8], _ other: [UInt8]) -> Bool {
    one.count == other.count && CRYPTO_memcmp(one, other, one.count) == 0
}
