/// The formats that are served, told by a file's first bytes (the signatures of the MIME Sniffing
/// Standard, section 6.1, and of TIFF 6.0, section 2), never by its name.
enum PictureFormat: String, CaseIterable {
    case jpeg = "image/jpeg"
    case png = "image/png"
    case gif = "image/gif"
    case webp = "image/webp"
    case bmp = "image/bmp"
    case tiff = "image/tiff"

    /// How many bytes tell any format.
    static let signatureLength = 12

    var contentType: String { rawValue }

    /// - Parameter bytes: the beginning of a file.
    init?(beginning bytes: [UInt8]) {
        func has(_ signature: [UInt8], at offset: Int = 0) -> Bool {
            bytes.dropFirst(offset).starts(with: signature)
        }
        if has([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if has(Array("GIF87a".utf8)) || has(Array("GIF89a".utf8)) {
            self = .gif
        } else if has(Array("RIFF".utf8)) && has(Array("WEBP".utf8), at: 8) {
            self = .webp
        } else if has([0x49, 0x49, 42, 0]) || has([0x4D, 0x4D, 0, 42]) {
            self = .tiff
        } else if has(Array("BM".utf8)) {
            self = .bmp
        } else {
            return nil
        }
    }
}
