import ClipCore
import Testing

@Suite struct PictureFormatTests {
    static let signatures: [(PictureFormat, [UInt8])] = [
        (.jpeg, [0xFF, 0xD8, 0xFF, 0xE0]),
        (.png, [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]),
        (.webP, Array("RIFF".utf8) + [1, 2, 3, 4] + Array("WEBPVP8 ".utf8)),
        (.gif, Array("GIF87a".utf8)),
        (.gif, Array("GIF89a".utf8)),
        (.bmp, Array("BM".utf8) + [70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]),
        (.tiff, [0x49, 0x49, 42, 0]),
        (.tiff, [0x4D, 0x4D, 0, 42]),
    ]

    @Test func signaturesAreTold() {
        for (format, start) in Self.signatures {
            #expect(PictureFormat(prefix: start) == format)
            #expect(PictureFormat(prefix: start + [UInt8](repeating: 7, count: 100)) == format)
            #expect(PictureFormat(prefix: start.dropFirst()) == nil)
        }
        #expect(PictureFormat(prefix: []) == nil)
        #expect(PictureFormat(prefix: Array("BM is where this text starts.".utf8)) == nil)
        #expect(PictureFormat(prefix: Array("RIFF....WAVEfmt ".utf8)) == nil)
        #expect(PictureFormat(prefix: Array("%PDF-1.7".utf8)) == nil)
    }

    @Test func aSignatureNeedsAllItsBytes() {
        for (_, start) in Self.signatures {
            let needed =
                start[0] == 0xFF ? 3 : start.starts(with: Array("RIFF".utf8)) ? 12 : start.count
            for length in 0..<needed {
                #expect(PictureFormat(prefix: start.prefix(length)) == nil)
            }
            #expect(start.count <= PictureFormat.prefixLength)
        }
    }

    @Test func everyCommittedPictureIsAJPEG() throws {
        for name in Set(GoldenImages.shared.decode.map(\.file)) {
            let bytes = try GoldenImages.picture(name)
            #expect(PictureFormat(prefix: bytes) == .jpeg)
        }
    }
}
