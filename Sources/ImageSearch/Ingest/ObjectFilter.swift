import ClipCore
import S3Client

/// Tells pictures from other objects in a bucket.
package enum ObjectFilter {
    /// Name endings of pictures. An object with one of them is reported when it cannot be read, as is
    /// any object with a picture's first bytes; others are skipped.
    private static let endings: Set<Substring> = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
        "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpf", "jpx", "psd",
        "cr2", "cr3", "nef", "arw", "raf", "orf", "rw2", "dng",
    ]

    package static func isNamedLikePicture(_ key: String) -> Bool {
        let name = fileName(key)
        guard !isAppleDouble(name), let dot = name.lastIndex(of: ".") else { return false }
        return endings.contains(name[name.index(after: dot)...].lowercased()[...])
    }

    /// Whether an object is skipped without fetching it: macOS's AppleDouble files (`._IMG_1.JPG`), the
    /// empty objects that stand for folders, and other empty objects that are not named like pictures.
    package static func isSkippable(_ object: ObjectSummary) -> Bool {
        isAppleDouble(fileName(object.key))
            || object.size == 0 && !isNamedLikePicture(object.key)
    }

    private static func fileName(_ key: String) -> Substring {
        key.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    }

    private static func isAppleDouble(_ name: Substring) -> Bool { name.hasPrefix("._") }
}
