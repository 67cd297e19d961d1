import S3Client

/// Which objects of the bucket a run takes: those whose keys begin with `prefix`, without those that match
/// one of `excluded`. The others are as if they were in another bucket: their rows stay, whatever happens.
public struct ObjectScope: Sendable, Equatable {
    let prefix: String
    private let patterns: [[Unicode.Scalar]]

    /// - Parameter excluded: patterns, which must match the whole key. `*` stands for any characters, `/` among them,
    ///   and `?` for one character; everything else stands for itself.
    public init(prefix: String = "", excluded: [String] = []) {
        self.prefix = prefix
        patterns = excluded.map { Array($0.unicodeScalars) }
    }

    public func contains(_ key: String) -> Bool {
        guard key.utf8.starts(with: prefix.utf8) else { return false }
        guard !patterns.isEmpty else { return true }
        let scalars = Array(key.unicodeScalars)
        return !patterns.contains { Self.matches(scalars, $0) }
    }

    /// Goes back to the last `*` only: what an earlier one took, the last one can take as well.
    private static func matches(_ key: [Unicode.Scalar], _ pattern: [Unicode.Scalar]) -> Bool {
        var (place, next) = (0, 0)
        var star: (pattern: Int, key: Int)?
        while place < key.count {
            if next < pattern.count, pattern[next] == "*" {
                star = (next, place)
                next += 1
            } else if next < pattern.count, pattern[next] == "?" || pattern[next] == key[place] {
                place += 1
                next += 1
            } else if let last = star {
                star = (last.pattern, last.key + 1)
                (next, place) = (last.pattern + 1, last.key + 1)
            } else {
                return false
            }
        }
        return pattern[next...].allSatisfy { $0 == "*" }
    }
}

/// Tells pictures from other objects in a bucket.
package enum ObjectFilter {
    /// Name endings of pictures, by format; some are never read. An object with one of them is reported when
    /// it cannot be read, as is any object with a picture's first bytes; others are skipped.
    private static let pictures: [Substring: String] = {
        let endings = [
            "JPEG": "jpg jpeg jpe jfif", "PNG": "png", "WebP": "webp", "GIF": "gif", "BMP": "bmp",
            "TIFF": "tif tiff", "HEIC": "heic heif hif", "AVIF": "avif", "JPEG XL": "jxl",
            "JPEG 2000": "jp2 j2k jpf jpx", "RAW": "cr2 cr3 nef arw raf orf rw2 dng", "PSD": "psd",
            "JPEG XR": "jxr wdp hdp", "X3F": "x3f", "OpenEXR": "exr", "QOI": "qoi", "XCF": "xcf",
        ]
        let pairs = endings.flatMap { format, endings in
            endings.split(separator: " ").map { ($0, format) }
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }()
    /// Films (those of Live Photos among them) and sidecars, which are skipped without fetching them.
    private static let others: Set<Substring> = [
        "mov", "mp4", "m4v", "avi", "mkv", "webm", "mpg", "mpeg", "3gp", "mts", "m2ts", "aae",
        "xmp",
    ]

    /// The format that a name promises (`HEIC`); nil for names that are not a picture's.
    package static func formatName(_ key: String) -> String? {
        let name = fileName(key)
        return isAppleDouble(name) ? nil : pictures[ending(name)]
    }

    package static func isNamedLikePicture(_ key: String) -> Bool { formatName(key) != nil }

    /// Whether an object is skipped without fetching it: macOS's AppleDouble files (`._IMG_1.JPG`), films, sidecars,
    /// the empty objects that stand for folders, and other empty objects that are not named like pictures.
    package static func isSkippable(_ object: ObjectSummary) -> Bool {
        let name = fileName(object.key)
        return isAppleDouble(name) || others.contains(ending(name))
            || object.size == 0 && !isNamedLikePicture(object.key)
    }

    private static func fileName(_ key: String) -> Substring {
        key.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    }

    private static func ending(_ name: Substring) -> Substring {
        guard let dot = name.lastIndex(of: ".") else { return "" }
        return name[name.index(after: dot)...].lowercased()[...]
    }

    private static func isAppleDouble(_ name: Substring) -> Bool { name.hasPrefix("._") }
}
