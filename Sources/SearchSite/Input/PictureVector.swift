import FoundationEssentials

/// An uploaded picture's embedding as a piece of an address, so that a search by picture has an
/// address like every other: it needs nothing kept on the server, and works after a restart and for
/// anyone it is sent to. The picture cannot be reconstructed from it.
///
/// Each component is one byte, `±√(|x| / max) × 127`: the root gives the many small components the
/// steps that the few large ones of CLIP's embeddings would take from them. The cosine between an
/// embedding and what comes back is above 0.9999. The bytes are written in base64url without padding
/// (RFC 4648, section 5): 683 characters for ViT-B/32's 512 components.
struct PictureVector: Equatable {
    /// A unit vector.
    let components: [Float]
    /// As the address has it.
    let text: String

    /// Far above any CLIP's embedding dimension.
    private static let maximumDimension = 4_096

    /// - Parameter embedding: finite and not zero.
    init(_ embedding: [Float]) {
        let largest = embedding.reduce(0) { max($0, abs($1)) }
        self.init(
            bytes: embedding.map { component in
                let root = largest > 0 ? (abs(component) / largest).squareRoot() : 0
                return UInt8(bitPattern: Int8(((component < 0 ? -root : root) * 127).rounded()))
            })
    }

    /// A vector that gets no address, as exact as it came.
    init(exact embedding: [Float]) {
        components = embedding
        text = ""
    }

    /// - Returns: `nil` for anything that ``init(_:)`` cannot have written.
    init?(text: some StringProtocol) {
        let text = String(text)
        let padding = String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        let plain = text.replacing("-", with: "+").replacing("_", with: "/") + padding
        guard let bytes = Data(base64Encoded: plain), (1...Self.maximumDimension) ~= bytes.count,
            !bytes.contains(0x80), bytes.contains(where: { $0 == 127 || $0 == 0x81 })
        else { return nil }
        self.init(bytes: Array(bytes))
        guard self.text == text else { return nil }
    }

    private init(bytes: [UInt8]) {
        text = Data(bytes).base64EncodedString().filter { $0 != "=" }
            .replacing("+", with: "-").replacing("/", with: "_")
        let components = bytes.map { byte in
            let root = Float(Int8(bitPattern: byte)) / 127
            return root * abs(root)
        }
        let length = components.reduce(0) { $0 + $1 * $1 }.squareRoot()
        self.components = components.map { $0 / length }
    }
}
