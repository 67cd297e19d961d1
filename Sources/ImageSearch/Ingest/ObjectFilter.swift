import ClipCore
import S3Client

/// Tells pictures from the other things that lie in a bucket.
enum ObjectFilter {
    /// Name endings that promise a picture: an object that has one but holds something else is broken
    /// and gets named; any other object that holds no picture is skipped.
    private static let endings: Set<Substring> = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
    ]

    static func isNamedLikePicture(_ key: String) -> Bool {
        let name = key.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let dot = name.lastIndex(of: ".") else { return false }
        return endings.contains(name[name.index(after: dot)...].lowercased()[...])
    }

    /// Whether an object can be passed over without fetching it: the empty objects that stand for
    /// folders, and whatever is empty without claiming to be a picture.
    static func isSkippable(_ object: ObjectSummary) -> Bool {
        object.size == 0 && !isNamedLikePicture(object.key)
    }
}
