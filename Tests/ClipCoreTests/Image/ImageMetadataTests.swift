import ClipCore
import Foundation
import Testing

/// What `Fixtures/image/metadata/make_metadata.py` had Pillow and upstream CLIP answer.
struct GoldenMetadata: GoldenPicture {
    var file: String
    var mode: String
    /// Of the pixels as stored.
    var stored: UInt32
    var width: Int
    var height: Int
    var orientation: Int
    /// Of the upright pixels, and of upstream's bytes for them.
    var pixels: UInt32
    var square: UInt32
    var takenAt: String?
    var takenOffset: String?
    var camera: String?

    static let folder = GoldenImages.folder.appending(path: "metadata")
    static let all = answers()
}

@Suite struct ImageMetadataTests {
    @Test("Images are turned as Pillow's exif_transpose turns them", arguments: GoldenMetadata.all)
    func upright(_ expected: GoldenMetadata) throws {
        let bytes = try expected.bytes()
        let image = try ImageDecoder().decode(bytes)
        #expect(image.mode.rawValue == expected.mode)
        #expect(image.width == expected.width)
        #expect(image.height == expected.height)
        #expect(crc32(image.pixels) == expected.pixels)
        // Only the window of the square is decoded here.
        let square = try bytes.withUnsafeBytes {
            try ImagePreprocessor(resolution: 224).rgb(encoded: $0).square
        }
        #expect(crc32(square) == expected.square)
        let stored = try ImageDecoder(orientation: .stored).decode(bytes)
        #expect(crc32(stored.pixels) == expected.stored)
    }

    @Test("Metadata are those that Pillow reads", arguments: GoldenMetadata.all)
    func metadata(_ expected: GoldenMetadata) throws {
        let bytes = try expected.bytes()
        for orientation in ImageDecoder.Orientation.allCases {
            let decoder = ImageDecoder(orientation: orientation)
            let metadata = try bytes.withUnsafeBytes { try decoder.metadata($0) }
            #expect(metadata.width == expected.width)
            #expect(metadata.height == expected.height)
            #expect(metadata.orientation == expected.orientation)
            #expect(metadata.takenAt == expected.takenAt)
            #expect(metadata.takenOffset == expected.takenOffset)
            #expect(metadata.camera == expected.camera)
            let decoded = try bytes.withUnsafeBytes {
                try ImagePreprocessor(resolution: 8).rgb(encoded: $0, decoder: decoder).metadata
            }
            #expect(decoded == metadata)
        }
    }

    @Test func damagedMetadataNeverTraps() throws {
        for expected in GoldenMetadata.all {
            let bytes = try expected.bytes()
            for place in stride(from: 2, to: min(bytes.count, 400), by: 3) {
                var damaged = bytes
                damaged[place] ^= 0xFF
                _ = damaged.withUnsafeBytes { try? ImageDecoder().metadata($0) }
                _ = bytes[..<place].withUnsafeBytes { try? ImageDecoder().metadata($0) }
            }
        }
    }
}
