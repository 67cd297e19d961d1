/// ftfy's tables, as `scripts/make-vocabulary` lays them out (its `mojibake()` documents it).
struct MojibakeTables: Sendable {
    static let shared = MojibakeTables()

    /// Bits of a class: what ftfy's UTF-8 detector may see in its characters.
    static let firstOfTwo: UInt8 = 1
    static let firstOfThree: UInt8 = 2
    static let firstOfFour: UInt8 = 4
    static let continuation: UInt8 = 8
    static let strictContinuation: UInt8 = 16

    private let data = EmbeddedData.mojibake
    private let classes: Int
    private let encodings: Int
    private let replacements: Int
    private let replacementCount: Int

    /// Positions of the badness expression: where its alternatives start, where they start if the
    /// text does, and where they end.
    private let starts: UInt128
    private let anchoredStarts: UInt128
    private let ends: UInt128

    private init() {
        let pageCount = Int(data.load(UInt8.self, at: 0))
        let classCount = Int(data.load(UInt8.self, at: 1))
        replacementCount = Int(data.load(UInt16.self, at: 2))
        classes = 4 + 256 + 256 * pageCount
        let positions = classes + 17 * classCount
        starts = data.load(UInt128.self, at: positions)
        anchoredStarts = data.load(UInt128.self, at: positions + 16)
        ends = data.load(UInt128.self, at: positions + 32)
        encodings = positions + 48
        replacements = encodings + 9 * 256
    }

    /// What a byte of 0x80 or more stands for in an encoding, counted without Latin-1.
    func character(_ byte: UInt8, inEncoding encoding: Int) -> UInt32 {
        UInt32(data.load(UInt16.self, at: encodings + 256 * encoding + 2 * Int(byte & 0x7F)))
    }

    /// What stands in for a ligature or a character of another width: nothing for other characters.
    func replacement(of value: UInt32) -> Scalars? {
        var low = 0
        var high = replacementCount
        while low < high {
            let middle = (low + high) / 2
            let record = replacements + 8 * middle
            let key = UInt32(data.load(UInt16.self, at: record))
            if key == value {
                return (1...3).map { UInt32(data.load(UInt16.self, at: record + 2 * $0)) }
                    .filter { $0 != 0 }
            }
            if value < key { high = middle } else { low = middle + 1 }
        }
        return nil
    }

    /// The class of a character, as the offset of its record.
    private func record(of value: UInt32) -> Int {
        let page = value < 0x10000 ? Int(data.load(UInt8.self, at: 4 + Int(value >> 8))) : 0
        let named = Int(data.load(UInt8.self, at: 260 + 256 * page + Int(value & 0xFF)))
        if named != 0 { return classes + 17 * named }
        if CharacterRules.isPythonSpace(value) { return classes + 17 * 2 }
        return classes + (CharacterRules.isAlphanumeric(value) ? 17 : 0)
    }

    /// The bits above.
    func clues(of value: UInt32) -> UInt8 {
        data.load(UInt8.self, at: record(of: value) + 16)
    }

    /// ftfy's `is_bad`: whether a text has a sequence of characters that people rarely write,
    /// but that mojibake is full of.
    ///
    /// ftfy's regular expression is a choice of sequences of at most six characters. They are
    /// all followed at once, a bit for each position in them (the shift-and method of Baeza-Yates
    /// and Gonnet, 1992), so one pass finds what is there.
    func isBad(_ text: some Sequence<UInt32>) -> Bool {
        var active: UInt128 = 0
        var starting = starts | anchoredStarts
        for value in text {
            active = (active << 1 | starting) & data.load(UInt128.self, at: record(of: value))
            starting = starts
            if active & ends != 0 { return true }
        }
        return false
    }
}
