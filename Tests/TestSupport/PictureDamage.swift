/// Picture files damaged at random, the way transfers, disks and attackers damage them.
public struct PictureDamage {
    private var random: SplitMix

    public init(seed: UInt64) {
        random = SplitMix(state: seed)
    }

    /// One of the files, damaged in one to eight places.
    public mutating func damaged(_ files: [[UInt8]]) -> [UInt8] {
        var bytes = files.randomElement(using: &random)!
        for _ in 0..<[1, 1, 1, 1, 2, 2, 4, 8].randomElement(using: &random)! {
            guard bytes.count > 16 else { break }
            damage(&bytes, files)
        }
        // Else a PNG's checksums would keep most damage from the decoder.
        if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]), Bool.random(using: &random) {
            Self.mendChecksums(&bytes)
        }
        return bytes
    }

    private mutating func damage(_ bytes: inout [UInt8], _ files: [[UInt8]]) {
        // Headers are small, so half of the damage goes there.
        let end = Bool.random(using: &random) ? min(bytes.count, 128) : bytes.count
        let at = Int.random(in: 0..<end, using: &random)
        switch Int.random(in: 0..<16, using: &random) {
        case 0...6:
            bytes[at] = .random(in: 0...255, using: &random)
        case 7...8:
            bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 9...10:
            // A number of 2 or 4 bytes at the ends of its range, in either order.
            let patterns: [[UInt8]] = [
                [0, 0], [255, 255], [0, 1], [1, 0], [127, 255], [255, 127], [0, 128], [128, 0],
                [0, 0, 0, 0], [255, 255, 255, 255], [127, 255, 255, 255], [255, 255, 255, 127],
                [0, 0, 255, 255], [255, 255, 0, 0], [128, 0, 0, 0], [0, 0, 0, 128],
            ]
            for (i, byte) in patterns.randomElement(using: &random)!.enumerated()
            where at + i < bytes.count { bytes[at + i] = byte }
        case 11:
            bytes.removeLast(bytes.count - max(at, 16))
        case 12:
            bytes.removeSubrange(at..<min(bytes.count, at + .random(in: 1...64, using: &random)))
        case 13:
            let end = min(bytes.count, at + .random(in: 1...64, using: &random))
            bytes.insert(contentsOf: bytes[at..<end], at: at)
        case 14:
            let other = files.randomElement(using: &random)!
            let from = Int.random(in: 0..<other.count, using: &random)
            let part = other[from..<min(other.count, from + .random(in: 1...200, using: &random))]
            for (i, byte) in part.enumerated() where at + i < bytes.count { bytes[at + i] = byte }
        default:
            let count = Int.random(in: 1...32, using: &random)
            let byte: UInt8 = Bool.random(using: &random) ? 0 : 255
            for i in at..<min(bytes.count, at + count) { bytes[i] = byte }
        }
    }

    private static func mendChecksums(_ bytes: inout [UInt8]) {
        var at = 8
        while at + 12 <= bytes.count {
            let length = bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - at - 12 else { return }
            let end = at + 8 + length
            let crc = bytes[at + 4..<end].reduce(~UInt32(0)) { crc, byte in
                (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in
                    crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1
                }
            }
            for i in 0..<4 {
                bytes[end + i] = UInt8(truncatingIfNeeded: ~crc >> UInt32(24 - 8 * i))
            }
            at = end + 4
        }
    }
}
