import CImages

/// Why an image could not be decoded. The description is one clause for a person, to be put after
/// the image's name.
public enum ImageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There are no bytes at all.
    case empty
    /// The first bytes belong to no known image format.
    case notAnImage
    /// An image of a format that this project does not read; the text names it.
    case unsupportedFormat(String)
    /// A variant of a format that this project does not read; the text names it.
    case unsupportedVariant(ImageFormat, String)
    /// The library that reads the format is not installed; the text is its file's name.
    case missingLibrary(ImageFormat, String)
    /// A file that the installed version of a library does not read; the texts are the library with its
    /// version and its reason.
    case unsupportedByLibrary(String, String)
    /// The bytes end before the image does.
    case truncated
    /// The decoder gave up; the text is the codec library's own message.
    case corrupt(String)
    /// Width and height in pixels are beyond ``ImageLimits``.
    case tooLarge(width: Int, height: Int, limit: Int)
    /// One side is so short against the other that the resized image could not be made.
    case tooNarrow(width: Int, height: Int)
    /// Decoding would take more bytes than ``ImageLimits/maximumMemory``.
    case tooMuchMemory(limit: Int)
    /// More scans than ``ImageLimits`` allows for an image of this size.
    case tooManyScans(limit: Int)
    /// The system has no memory for the image.
    case outOfMemory

    /// The name of the format that is not read at all; nil when something else is wrong.
    package var unsupportedFormat: String? {
        if case .unsupportedFormat(let name) = self { name } else { nil }
    }

    /// What another build, or a newer library, may read; nil when the file itself is to blame. The name of a
    /// format (`HEIC`), or of a library with its version (`libheif 1.15.1`); see ``ImageDecoder/lacks(_:)``.
    public var missingReader: String? {
        switch self {
        case .unsupportedFormat(let name): ImageFormat(rawValue: name)?.rawValue
        case .missingLibrary(let format, _): format.rawValue
        case .unsupportedByLibrary(let library, _): library
        default: nil
        }
    }

    /// What a codec library reports; nil for success.
    init?(_ status: cimages_status, _ message: @autoclosure () -> String) {
        switch status {
        case CIMAGES_OK: return nil
        case CIMAGES_TRUNCATED: self = .truncated
        case CIMAGES_NO_MEMORY: self = .outOfMemory
        default: self = .corrupt(message())
        }
    }

    public var description: String {
        switch self {
        case .empty: "the file is empty"
        case .notAnImage: "not a picture"
        case .unsupportedFormat(let name): "\(name) is not supported"
        case .unsupportedVariant(let format, let variant):
            "\(format.rawValue) pictures with \(variant) are not supported"
        case .missingLibrary(let format, let name):
            "\(format.rawValue) needs \(name), which is not installed"
        case .unsupportedByLibrary(let library, let reason):
            "\(library) cannot read it (\(reason)); a newer version may"
        case .truncated: "the picture is truncated"
        case .corrupt(let message): "the picture cannot be decoded: \(message)"
        case .tooLarge(let width, let height, let limit):
            "the picture is too large: \(width) × \(height) is more than \(limit) pixels"
        case .tooNarrow(let width, let height): "the picture is too narrow: \(width) × \(height)"
        case .tooMuchMemory(let limit):
            "the picture is too large: decoding it takes more than \(limit / 1024) KiB"
        case .tooManyScans(let limit):
            "the picture has more than \(limit) scans, too many for its size"
        case .outOfMemory: "there is not enough memory to decode the picture"
        }
    }
}
