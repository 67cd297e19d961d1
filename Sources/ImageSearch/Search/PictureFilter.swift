/// What narrows a search: every condition must hold. A picture whose row does not say what is asked for,
/// its date for example, does not match.
public struct PictureFilter: Sendable, Equatable {
    /// Sides that differ by at most 5 % make a square.
    public enum Shape: String, Sendable, CaseIterable {
        case landscape, portrait, square
    }

    /// Only pictures whose key begins with this, byte by byte.
    public var prefix: String?
    /// Only pictures taken then or later.
    public var after: WallTime?
    /// Only pictures taken before then.
    public var before: WallTime?
    /// Only pictures of cameras whose name contains this, in upper or lower case.
    public var camera: String?
    /// Of the upright picture.
    public var shape: Shape?
    /// Pixels of the upright picture, at least.
    public var minimumWidth: Int?
    public var minimumHeight: Int?

    public init(
        prefix: String? = nil, after: WallTime? = nil, before: WallTime? = nil,
        camera: String? = nil, shape: Shape? = nil, minimumWidth: Int? = nil,
        minimumHeight: Int? = nil
    ) {
        // An empty text keeps every picture, even one without a camera.
        self.prefix = prefix?.isEmpty == true ? nil : prefix
        self.after = after
        self.before = before
        self.camera = camera?.isEmpty == true ? nil : camera
        self.shape = shape
        self.minimumWidth = minimumWidth
        self.minimumHeight = minimumHeight
    }

    /// Whether every picture matches.
    public var isEmpty: Bool { self == PictureFilter() }

    /// Whether it asks for columns that a table of an earlier version lacks.
    var needsFacts: Bool { self != PictureFilter(prefix: prefix) }

    /// - Throws: ``SearchError/invalid(_:)``.
    public func check() throws(SearchError) {
        for text in [prefix, camera].compactMap(\.self) where text.utf8.contains(0) {
            throw .invalid("no key and no camera's name contains a NUL character")
        }
        for pixels in [minimumWidth, minimumHeight].compactMap(\.self)
        where !(1...1_000_000).contains(pixels) {
            throw .invalid("the least width and height are 1 to 1000000 pixels, not \(pixels)")
        }
        if let after, let before, after.text >= before.text {
            throw .invalid("no picture was taken after \(after) and before \(before)")
        }
    }
}

/// A time as a clock on the wall shows it, which is what cameras write: without a time zone.
public struct WallTime: Sendable, Equatable, CustomStringConvertible {
    /// `2024-05-01T12:30:00`, so that times compare as their texts do.
    public let text: String

    public var description: String { text }

    /// - Parameter text: a year, a month, a day, or a time of a day: `2024`, `2024-05`, `2024-05-01`,
    ///   `2024-05-01T12:30`, `2024-05-01 12:30:59`. What is left out is the earliest possible.
    /// - Returns: nil for anything else, and for days that no calendar has.
    public init?(_ text: String) {
        let halves = text.split(
            maxSplits: 1, omittingEmptySubsequences: false,
            whereSeparator: { $0 == "T" || $0 == " " })
        var digits = [4, 2, 2, 2, 2, 2][...]
        var numbers: [Int] = []
        func take(_ text: Substring, _ separator: Character, atMost count: Int) -> Bool {
            let parts = text.split(separator: separator, omittingEmptySubsequences: false)
            guard parts.count <= count else { return false }
            for part in parts {
                guard part.utf8.count == digits.popFirst(),
                    part.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains),
                    let number = Int(part)
                else { return false }
                numbers.append(number)
            }
            return true
        }
        guard let date = halves.first, take(date, "-", atMost: 3) else { return nil }
        if halves.count == 2 {
            guard numbers.count == 3, take(halves[1], ":", atMost: 3), numbers.count >= 5 else {
                return nil
            }
        }
        let full = numbers + [1, 1, 1, 0, 0, 0][numbers.count...]
        let (year, month) = (full[0], full[1])
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        guard year >= 1, (1...12).contains(month) else { return nil }
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
        guard (1...days).contains(full[2]), full[3] < 24, full[4] < 60, full[5] < 60 else {
            return nil
        }
        let padded = zip(full, [4, 2, 2, 2, 2, 2]).map { number, width in
            String(repeating: "0", count: width - String(number).count) + String(number)
        }
        self.text =
            padded[..<3].joined(separator: "-") + "T" + padded[3...].joined(separator: ":")
    }
}

/// What a row knows of its picture; docs/sql.md describes the columns.
public struct PictureFacts: Sendable, Equatable {
    /// Pixels of the upright picture.
    public var width: Int?
    public var height: Int?
    /// When it was taken, by the camera's clock: `2024-05-01T12:30:00`.
    public var takenAt: String?
    public var camera: String?

    public init(
        width: Int? = nil, height: Int? = nil, takenAt: String? = nil, camera: String? = nil
    ) {
        self.width = width
        self.height = height
        self.takenAt = takenAt
        self.camera = camera
    }
}

/// A small copy of a picture that the database holds.
public struct PicturePreview: Sendable, Equatable {
    /// `image/jpeg`.
    public let type: String
    public let bytes: [UInt8]

    public init(type: String, bytes: [UInt8]) {
        self.type = type
        self.bytes = bytes
    }
}
