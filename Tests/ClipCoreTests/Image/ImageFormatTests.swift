import ClipCore
import Testing

@Suite struct ImageFormatTests {
    static let signatures: [(ImageFormat, [UInt8])] = [
        (.jpeg, [0xFF, 0xD8, 0xFF, 0xE0]),
        (.png, [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]),
        (.webP, Array("RIFF".utf8) + [1, 2, 3, 4] + Array("WEBPVP8 ".utf8)),
        (.gif, Array("GIF87a".utf8)),
        (.gif, Array("GIF89a".utf8)),
        (.bmp, Array("BM".utf8) + [70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]),
        (.tiff, [0x49, 0x49, 42, 0]),
        (.tiff, [0x4D, 0x4D, 0, 42]),
        (.heic, [0, 0, 0, 24] + Array("ftypheic\0\0\0\0mif1heic".utf8)),
        (.heic, [0, 0, 0, 24] + Array("ftypmif1\0\0\0\0mif1heic".utf8)),
        (.avif, [0, 0, 0, 24] + Array("ftypavif\0\0\0\0mif1miaf".utf8)),
        (.avif, [0, 0, 0, 24] + Array("ftypmif1\0\0\0\0miafavif".utf8)),
        (.jpegXL, [0xFF, 0x0A]),
        (.jpegXL, [0, 0, 0, 12, 0x4A, 0x58, 0x4C, 0x20, 0x0D, 0x0A, 0x87, 0x0A]),
        (.jpeg2000, [0, 0, 0, 12, 0x6A, 0x50, 0x20, 0x20, 0x0D, 0x0A, 0x87, 0x0A]),
        (.jpeg2000, [0xFF, 0x4F, 0xFF, 0x51]),
        (.raw, [0, 0, 0, 24] + Array("ftypcrx \0\0\0\u{1}crx isom".utf8)),
        (.raw, Array("FUJIFILMCCD-RAW 0201".utf8)),
    ]

    @Test func signaturesAreTold() {
        for (format, start) in Self.signatures {
            guard format.isBuiltIn else {
                #expect(ImageFormat(prefix: start) == nil)
                #expect(ImageFormat.unsupportedName(prefix: start) == format.rawValue)
                continue
            }
            #expect(ImageFormat(prefix: start) == format)
            #expect(ImageFormat(prefix: start + [UInt8](repeating: 7, count: 100)) == format)
            #expect(ImageFormat(prefix: start.dropFirst()) == nil)
        }
        #expect(ImageFormat(prefix: []) == nil)
        #expect(ImageFormat(prefix: Array("BM is where this text starts.".utf8)) == nil)
        #expect(ImageFormat(prefix: Array("RIFF....WAVEfmt ".utf8)) == nil)
        #expect(ImageFormat(prefix: Array("%PDF-1.7".utf8)) == nil)
    }

    /// The formats that Pillow with its plugins reads, and this project does not.
    @Test(
        arguments: [
            ("PSD", Array("8BPS\0\u{1}".utf8)),
            ("QOI", Array("qoif".utf8)),
            ("OpenEXR", [0x76, 0x2F, 0x31, 1]),
        ] as [(String, [UInt8])])
    func unsupportedFormatsAreNamed(_ name: String, _ start: [UInt8]) throws {
        let bytes = start + [UInt8](repeating: 7, count: 100)
        #expect(ImageFormat(prefix: bytes) == nil)
        let error = try #require(throws: ImageError.self) { try ImageDecoder().decode(bytes) }
        #expect("\(error)" == "\(name) is not supported")
    }

    @Test func filmsAndTextsAreNotPictures() {
        for brand in ["isom", "mp42", "qt  ", "M4V "] {
            let film = [0, 0, 0, 24] + Array("ftyp\(brand)\0\0\0\0isommp41".utf8)
            #expect(ImageFormat.unsupportedName(prefix: film) == nil)
        }
        #expect(ImageFormat.unsupportedName(prefix: Array("A text.".utf8)) == nil)
        #expect(ImageFormat.unsupportedName(prefix: []) == nil)
    }

    @Test func aSignatureNeedsAllItsBytes() {
        // A list of brands may be cut anywhere, and a maker's name needs no version.
        for (format, start) in Self.signatures where ![.heic, .avif, .raw].contains(format) {
            let needed =
                start[0] == 0xFF && format == .jpeg
                ? 3 : start.starts(with: Array("RIFF".utf8)) ? 12 : start.count
            for length in 0..<needed {
                #expect(ImageFormat(prefix: start.prefix(length)) == nil)
            }
            #expect(start.count <= ImageFormat.prefixLength)
        }
    }

    @Test func everyCommittedPictureIsAJPEG() throws {
        for name in Set(GoldenImages.shared.decode.map(\.file)) {
            let bytes = try GoldenImages.picture(name)
            #expect(ImageFormat(prefix: bytes) == .jpeg)
        }
    }
}
