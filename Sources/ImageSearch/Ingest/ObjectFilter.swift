import ClipCore
import S3Client

/// Tells pictures from other objects in a bucket.
enum ObjectFilter {
    /// Name endings of pictures: an object that has one but holds something else is damaged and gets
    /// reported; any other object that is not a picture is skipped.
    private static let endings: Set<Substring> = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
    ]

    static func isNamedLikePicture(_ key: String) -> Bool {
        let name = key.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let dot = name.lastIndex(of: ".") else { return false }
        return endings.contains(name[name.index(after: dot)...].lowercased()[...])
    }

    /// Whether an object can be skipped without fetching it: empty objects that stand for folders, and
    /// whatever else is empty and not named like a picture.
    static func isSkippable(_ object: ObjectSummary) -> Bool {
        object.size == 0 && !isNamedLikePicture(object.key)
    }
}
