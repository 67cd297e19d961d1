/// What an image file says about the image besides its pixels.
public struct ImageMetadata: Equatable, Sendable {
    /// Pixels in a row of the upright image.
    public var width = 0
    /// Rows of the upright image.
    public var height = 0
    /// How ``ImageDecoder/Orientation/upright`` turns the stored image: EXIF's 1 (not at all) to 8.
    /// 1 for formats that are always read upright.
    public var orientation = 1
    /// EXIF's DateTimeOriginal, the camera's wall time, as `2024-05-06 07:08:09`.
    public var takenAt: String?
    /// EXIF's OffsetTimeOriginal, the wall time's distance from UTC, as `+02:00`.
    public var takenOffset: String?
    /// EXIF's Make and Model; only the model if it starts with the brand: `Apple iPhone 15`,
    /// `Canon EOS 5D`.
    public var camera: String?

    /// Says what the upright image is.
    ///
    /// - Parameters:
    ///   - shape: of the image as its reader gives it
    ///   - isUpright: whether the reader turns the image itself
    mutating func take(_ shape: ImageShape, isUpright: Bool) {
        if isUpright { orientation = 1 }
        (width, height) =
            orientation >= 5 ? (shape.height, shape.width) : (shape.width, shape.height)
    }
}

/// The fields of EXIF data (Exif 2.32) that are used. A field that is damaged or makes no sense is absent. The
/// orientation is as `ImageOps.exif_transpose` finds it: the tag, or else XMP's `tiff:Orientation`.
extension ImageMetadata {
    /// - Parameters:
    ///   - bytes: a TIFF structure, perhaps after `Exif\0\0`; Pillow allows that name twice
    ///   - xmp: asked for an orientation where EXIF has none
    init(exif bytes: UnsafeRawBufferPointer, xmp: [UInt8] = []) {
        var start = 0
        for _ in 0..<2 where bytes[start...].starts(with: "Exif\0\0".utf8) { start += 6 }
        let directory = TIFFDirectory(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        if let directory { read(directory) }
        if directory?.contains(Self.orientationTag) != true {
            orientation = Self.orientation(inXMP: xmp) ?? 1
        }
    }

    init(_ blocks: MetadataBlocks) {
        self = blocks.exif.withUnsafeBytes { ImageMetadata(exif: $0, xmp: blocks.xmp) }
    }

    /// Of a camera's raw file.
    ///
    /// - Parameters:
    ///   - main: a TIFF structure, which may have the mark of a maker's raw files
    ///   - details: a TIFF structure in the place of the directory that EXIF adds; nil when `main` has it
    init(main: UnsafeRawBufferPointer, details: UnsafeRawBufferPointer?) {
        if let directory = TIFFDirectory(main, isRaw: true) { read(directory) }
        if let directory = details.flatMap({ TIFFDirectory($0) }) { read(details: directory) }
    }

    /// Adds what the raw file around a preview says.
    mutating func complete(_ file: ImageMetadata) {
        if orientation == 1 { orientation = file.orientation }
        takenAt = file.takenAt ?? takenAt
        takenOffset = file.takenOffset ?? takenOffset
        camera = file.camera ?? camera
    }

    private static let orientationTag: UInt64 = 0x0112

    private mutating func read(_ directory: TIFFDirectory) {
        if let value = directory.integer(Self.orientationTag), (1...8).contains(value) {
            orientation = value
        }
        let (make, model) = (Self.text(directory, 0x010F), Self.text(directory, 0x0110))
        let brand = make?.prefix { $0 != " " }.lowercased()
        if let make, let model, let brand, !model.lowercased().hasPrefix(brand) {
            camera = "\(make) \(model)"
        } else {
            camera = model ?? make
        }
        if let details = directory.directory(0x8769) { read(details: details) }
    }

    /// - Parameter details: the directory that EXIF adds to TIFF's
    private mutating func read(details: TIFFDirectory) {
        takenAt = Self.text(details, 0x9003).flatMap(Self.wallTime)
        takenOffset = Self.text(details, 0x9011).flatMap(Self.offset)
    }

    /// Printable text in ISO 8859-1, as Pillow reads it, without spaces around it.
    private static func text(_ directory: TIFFDirectory, _ tag: UInt64) -> String? {
        guard let bytes = directory.bytes(tag) else { return nil }
        let end = bytes.firstIndex(of: 0) ?? bytes.count
        let scalars = bytes[..<min(end, 100)].filter { $0 >= 32 && !(127..<160).contains($0) }
            .drop { $0 == 32 }
        let length = scalars.lastIndex { $0 != 32 }.map { $0 + 1 } ?? scalars.startIndex
        let text = scalars[..<length].map { Character(Unicode.Scalar($0)) }
        return text.isEmpty ? nil : String(text)
    }

    /// `2024:05:06 07:08:09` with hyphens; nil unless it is a date. Cameras without a clock write zeros.
    private static func wallTime(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 19, [4, 7].allSatisfy({ ":-/".utf8.contains(bytes[$0]) }),
            bytes[10] == 32, bytes[13] == 58, bytes[16] == 58,
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]),
            let day = number(bytes[8..<10]), let hour = number(bytes[11..<13]),
            let minute = number(bytes[14..<16]), let second = number(bytes[17..<19]),
            year > 0, (1...12).contains(month), hour < 24, minute < 60, second < 60
        else { return nil }
        let isLeapYear = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
        let days = [31, isLeapYear ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...days[month - 1]).contains(day) else { return nil }
        let digits = text.utf8.prefix(19).enumerated().map {
            [4, 7].contains($0.offset) ? UInt8(ascii: "-") : $0.element
        }
        return String(decoding: digits, as: UTF8.self)
    }

    /// `+02:00`, or nil.
    private static func offset(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.count == 6, bytes[3] == 58, "+-".utf8.contains(bytes[0]),
            let hours = number(bytes[1..<3]), let minutes = number(bytes[4..<6]),
            hours <= 14, minutes < 60
        else { return nil }
        return text
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        digits.allSatisfy { (48...57).contains($0) }
            ? digits.reduce(0) { $0 * 10 + Int($1) - 48 } : nil
    }

    /// Pillow's `tiff:Orientation(="|>)([0-9])`.
    private static func orientation(inXMP xmp: [UInt8]) -> Int? {
        let name = Array("tiff:Orientation".utf8)
        var place = 0
        while let found = xmp[place...].firstIndex(of: name[0]) {
            place = found + 1
            guard xmp[found...].starts(with: name) else { continue }
            var rest = xmp[(found + name.count)...]
            if rest.starts(with: "=\"".utf8) {
                rest = rest.dropFirst(2)
            } else if rest.first == UInt8(ascii: ">") {
                rest = rest.dropFirst()
            } else {
                continue
            }
            guard let digit = rest.first, (48...57).contains(digit) else { continue }
            return (1...8).contains(digit - 48) ? Int(digit - 48) : nil
        }
        return nil
    }
}
