/// What a pickle builds, as plain data.
///
/// Pickle is a stack machine that normally calls any function it names. This reader calls nothing:
/// a class or function is a name, and whatever would be made by calling it is an ``Object`` that
/// remembers the callee and the arguments. So unknown classes are plain objects and nothing runs.
///
/// Values live in flat arrays and refer to each other by index, because a hostile pickle can nest a
/// million levels deep or contain itself: nothing here recurses, in use or on release.
///
/// Source: CPython's `Lib/pickletools.py`, which documents every opcode; protocols 0 to 5 as far as
/// `torch.save` and TorchScript's pickler write them.
package struct Pickle {
    /// An index into the values of one pickle.
    package typealias Reference = Int32

    package enum Value: Equatable {
        case none
        case bool(Bool)
        case int(Int64)
        case float(Double)
        /// UTF-8 or raw bytes, as a range of the pickle.
        case text(Range<Int>)
        /// A class or function by name; both are references to text.
        case global(module: Reference, name: Reference)
        /// Items are in `items`, by this index.
        case tuple(Int)
        case list(Int)
        /// Keys and values alternate.
        case dictionary(Int)
        case object(Int)
        /// What stands for data outside the pickle; the reference is its identification.
        case persistent(Reference)
    }

    /// The result of a call that was not made.
    package struct Object: Equatable {
        package let callee: Reference
        package let arguments: Reference
        /// What `__setstate__` or `__dict__.update` would get.
        package var state: Reference?
        /// Index in `items` of what was put in by key; keys and values alternate.
        package let items: Int
    }

    package private(set) var values: [Value] = []
    package private(set) var items: [[Reference]] = []
    package private(set) var objects: [Object] = []
    package private(set) var root: Reference = 0

    private var reader: ByteReader
    private var stack: [Reference] = []
    /// Stack heights at the marks that are open.
    private var marks: [Int] = []
    private var memo: [UInt32: Reference] = [:]
    private let maximumValues: Int

    /// - Throws: ``CheckpointError`` on an unknown opcode, a broken stack, or a pickle that would
    ///   build more than `maximumValues` values.
    package init(
        _ bytes: UnsafeRawBufferPointer, maximumValues: Int = 1_000_000
    ) throws(CheckpointError) {
        reader = try ByteReader(bytes, what: "its pickle")
        self.maximumValues = maximumValues
        root = try run()
    }

    package subscript(_ reference: Reference) -> Value { values[Int(reference)] }

    /// Names are short. The memo can put one long text in a million places, so a reader that
    /// decoded it at each would not come to an end.
    private static let longestString = 1024

    /// A text of at most 1,024 bytes.
    package func string(_ reference: Reference) -> String? {
        guard case .text(let range) = self[reference], range.count <= Self.longestString else {
            return nil
        }
        return reader.text(range)
    }

    package func int(_ reference: Reference) -> Int? {
        guard case .int(let value) = self[reference] else { return nil }
        return Int(value)
    }

    package func tuple(_ reference: Reference) -> [Reference]? {
        guard case .tuple(let index) = self[reference] else { return nil }
        return items[index]
    }

    package func object(_ reference: Reference) -> Object? {
        guard case .object(let index) = self[reference] else { return nil }
        return objects[index]
    }

    /// Dotted name of a class or function, such as `torch._utils._rebuild_tensor_v2`.
    package func globalName(_ reference: Reference) -> String? {
        guard case .global(let module, let name) = self[reference],
            let module = string(module), let name = string(name)
        else { return nil }
        return "\(module).\(name)"
    }

    /// The key–value pairs of a dictionary, of a dictionary-like object, or of an object's state.
    package func members(_ reference: Reference) -> [(key: Reference, value: Reference)] {
        func pairs(_ index: Int) -> [(key: Reference, value: Reference)] {
            let flat = items[index]
            return stride(from: 0, to: flat.count - 1, by: 2).map { (flat[$0], flat[$0 + 1]) }
        }
        switch self[reference] {
        case .dictionary(let index): return pairs(index)
        case .object(let index):
            let object = objects[index]
            var all = pairs(object.items)
            if let state = object.state, case .dictionary(let index) = self[state] {
                all += pairs(index)
            }
            return all
        default: return []
        }
    }

    // MARK: Running

    /// Runs to the STOP opcode and gives the value on top of the stack.
    mutating func run() throws(CheckpointError) -> Reference {
        while true {
            let opcode = try reader.byte()
            if opcode == UInt8(ascii: ".") { return try pop() }
            try step(opcode)
        }
    }

    private mutating func step(_ opcode: UInt8) throws(CheckpointError) {
        switch opcode {
        // Framing carries no data.
        case 0x80: _ = try reader.take(1)  // PROTO
        case 0x95: _ = try reader.take(8)  // FRAME

        // The stack.
        case UInt8(ascii: "("): marks.append(stack.count)  // MARK
        case UInt8(ascii: "0"): _ = try pop()  // POP
        case UInt8(ascii: "1"): _ = try popToMark()  // POP_MARK
        case UInt8(ascii: "2"): stack.append(try top())  // DUP

        // Constants.
        case UInt8(ascii: "N"): try push(.none)
        case 0x88: try push(.bool(true))  // NEWTRUE
        case 0x89: try push(.bool(false))  // NEWFALSE
        case UInt8(ascii: "J"): try push(.int(Int64(try reader.integer(Int32.self))))  // BININT
        case UInt8(ascii: "K"): try push(.int(Int64(try reader.byte())))  // BININT1
        case UInt8(ascii: "M"): try push(.int(Int64(try reader.integer(UInt16.self))))  // BININT2
        case 0x8A: try pushLong(Int(try reader.byte()))  // LONG1
        case 0x8B: try pushLong(Int(try reader.integer(Int32.self)))  // LONG4
        case UInt8(ascii: "I"), UInt8(ascii: "L"): try pushDecimal()  // INT, LONG
        case UInt8(ascii: "G"):  // BINFLOAT, the only big-endian number
            try push(.float(Double(bitPattern: try reader.integer(UInt64.self).byteSwapped)))
        case UInt8(ascii: "F"):  // FLOAT
            guard let value = Double(reader.text(try reader.line())) else { throw Self.damaged }
            try push(.float(value))

        // Text and bytes.
        case 0x8C, UInt8(ascii: "U"), UInt8(ascii: "C"):  // SHORT_BINUNICODE, -STRING, -BYTES
            try push(.text(try reader.take(Int(try reader.byte()))))
        // BINUNICODE, BINSTRING, BINBYTES
        case UInt8(ascii: "X"), UInt8(ascii: "T"), UInt8(ascii: "B"):
            try push(.text(try reader.take(Int(try reader.integer(UInt32.self)))))
        case 0x8D, 0x8E, 0x96:  // BINUNICODE8, BINBYTES8, BYTEARRAY8
            try push(.text(try reader.take(try reader.size64())))
        case UInt8(ascii: "V"), UInt8(ascii: "S"): try push(.text(try reader.line()))

        // Containers.
        case UInt8(ascii: ")"): try push(.tuple(newItems([])))  // EMPTY_TUPLE
        case UInt8(ascii: "]"), 0x8F: try push(.list(newItems([])))  // EMPTY_LIST, EMPTY_SET
        case UInt8(ascii: "}"): try push(.dictionary(newItems([])))  // EMPTY_DICT
        case UInt8(ascii: "t"): try push(.tuple(newItems(try popToMark())))  // TUPLE
        case UInt8(ascii: "l"), 0x91: try push(.list(newItems(try popToMark())))
        case UInt8(ascii: "d"): try push(.dictionary(newItems(try popPairsToMark())))  // DICT
        case 0x85...0x87:  // TUPLE1, TUPLE2, TUPLE3
            let count = Int(opcode) - 0x84
            guard stack.count >= count else { throw Self.damaged }
            let tuple = Array(stack.suffix(count))
            stack.removeLast(count)
            try push(.tuple(newItems(tuple)))
        case UInt8(ascii: "a"):  // APPEND
            let item = try pop()
            try extend([item], pairs: false)
        // APPENDS, ADDITEMS
        case UInt8(ascii: "e"), 0x90: try extend(try popToMark(), pairs: false)
        case UInt8(ascii: "s"):  // SETITEM
            let value = try pop()
            let key = try pop()
            try extend([key, value], pairs: true)
        case UInt8(ascii: "u"): try extend(try popPairsToMark(), pairs: true)  // SETITEMS

        // Names, and the calls that are not made.
        case UInt8(ascii: "c"):  // GLOBAL
            let module = try newValue(.text(try reader.line()))
            try push(.global(module: module, name: try newValue(.text(try reader.line()))))
        case 0x93:  // STACK_GLOBAL
            let name = try pop()
            try push(.global(module: try pop(), name: name))
        case UInt8(ascii: "R"), 0x81:  // REDUCE, NEWOBJ
            let arguments = try pop()
            try pushObject(callee: try pop(), arguments: arguments)
        case 0x92:  // NEWOBJ_EX: class, arguments, keyword arguments
            _ = try pop()
            let arguments = try pop()
            try pushObject(callee: try pop(), arguments: arguments)
        case UInt8(ascii: "b"):  // BUILD
            let state = try pop()
            guard case .object(let index) = values[Int(try top())] else { throw Self.damaged }
            objects[index].state = state
        case UInt8(ascii: "Q"): try push(.persistent(try pop()))  // BINPERSID

        // The memo.
        case UInt8(ascii: "q"): memo[UInt32(try reader.byte())] = try top()  // BINPUT
        case UInt8(ascii: "r"): memo[try reader.integer(UInt32.self)] = try top()  // LONG_BINPUT
        case UInt8(ascii: "p"): memo[try memoNumber()] = try top()  // PUT
        case 0x94: memo[UInt32(truncatingIfNeeded: memo.count)] = try top()  // MEMOIZE
        case UInt8(ascii: "h"): try recall(UInt32(try reader.byte()))  // BINGET
        case UInt8(ascii: "j"): try recall(try reader.integer(UInt32.self))  // LONG_BINGET
        case UInt8(ascii: "g"): try recall(try memoNumber())  // GET

        default:
            throw CheckpointError(
                "is corrupt: its pickle has an opcode that model files do not use")
        }
        guard stack.count <= maximumValues, marks.count <= maximumValues,
            memo.count <= maximumValues
        else { throw Self.tooLarge }
    }

    private static let damaged = CheckpointError("is corrupt: its pickle is damaged")
    private static let tooLarge = CheckpointError(
        "is corrupt or hostile: its pickle builds more values than any model needs")

    // MARK: Values

    private mutating func newValue(_ value: Value) throws(CheckpointError) -> Reference {
        guard values.count < maximumValues else { throw Self.tooLarge }
        values.append(value)
        return Reference(values.count - 1)
    }

    private mutating func push(_ value: Value) throws(CheckpointError) {
        stack.append(try newValue(value))
    }

    private mutating func newItems(_ references: [Reference]) -> Int {
        items.append(references)
        return items.count - 1
    }

    private mutating func pushObject(
        callee: Reference, arguments: Reference
    ) throws(CheckpointError) {
        objects.append(Object(callee: callee, arguments: arguments, items: newItems([])))
        try push(.object(objects.count - 1))
    }

    /// Adds to the container on top of the stack. An object stands for a list or dictionary subclass.
    private mutating func extend(
        _ references: [Reference], pairs: Bool
    ) throws(CheckpointError) {
        let index: Int
        switch values[Int(try top())] {
        case .list(let list) where !pairs: index = list
        case .dictionary(let dictionary) where pairs: index = dictionary
        case .object(let object): index = objects[object].items
        default: throw Self.damaged
        }
        items[index].append(contentsOf: references)
    }

    /// Little-endian two's complement of any length; what does not fit in 64 bits is not a size.
    private mutating func pushLong(_ count: Int) throws(CheckpointError) {
        let range = try reader.take(count)
        guard count <= 8 else { return try push(.none) }
        let bytes = reader.bytes[range].reversed()
        var value: Int64 = bytes.first.map { $0 >= 0x80 } == true ? -1 : 0
        for byte in bytes { value = value << 8 | Int64(byte) }
        try push(.int(value))
    }

    /// A decimal number on a line: `I01` and `I00` are the booleans of protocol 0, `12L` a long.
    private mutating func pushDecimal() throws(CheckpointError) {
        var text = reader.text(try reader.line())
        if text == "01" || text == "00" { return try push(.bool(text == "01")) }
        if text.hasSuffix("L") { text.removeLast() }
        if let value = Int64(text) { return try push(.int(value)) }
        let digits = text.utf8.drop { $0 == UInt8(ascii: "-") }
        guard text.utf8.count - digits.count <= 1, !digits.isEmpty,
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { throw Self.damaged }
        // As for binary ones: what does not fit in 64 bits is not a size.
        try push(.none)
    }

    // MARK: Stack

    private func top() throws(CheckpointError) -> Reference {
        guard let last = stack.last, stack.count > (marks.last ?? 0) else { throw Self.damaged }
        return last
    }

    private mutating func pop() throws(CheckpointError) -> Reference {
        let reference = try top()
        stack.removeLast()
        return reference
    }

    private mutating func popToMark() throws(CheckpointError) -> [Reference] {
        guard let mark = marks.popLast(), mark <= stack.count else { throw Self.damaged }
        let above = Array(stack[mark...])
        stack.removeSubrange(mark...)
        return above
    }

    private mutating func popPairsToMark() throws(CheckpointError) -> [Reference] {
        let above = try popToMark()
        guard above.count.isMultiple(of: 2) else { throw Self.damaged }
        return above
    }

    // MARK: Memo

    private mutating func recall(_ number: UInt32) throws(CheckpointError) {
        guard let reference = memo[number] else { throw Self.damaged }
        stack.append(reference)
    }

    private mutating func memoNumber() throws(CheckpointError) -> UInt32 {
        guard let number = UInt32(reader.text(try reader.line())) else { throw Self.damaged }
        return number
    }
}
