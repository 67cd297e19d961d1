/// Runs a pickle's opcodes; see ``Pickle`` for what it builds and why it is safe.
struct PickleMachine {
    typealias Reference = Pickle.Reference

    private(set) var values: [Pickle.Value] = []
    private(set) var items: [[Reference]] = []
    private(set) var objects: [Pickle.Object] = []

    private var reader: ByteReader
    private var stack: [Reference] = []
    /// Stack heights at the marks that are open.
    private var marks: [Int] = []
    private var memo: [UInt32: Reference] = [:]
    private let maximumValues: Int

    init(_ bytes: UnsafeRawBufferPointer, maximumValues: Int) throws(CheckpointFault) {
        reader = try ByteReader(bytes, what: "its pickle")
        self.maximumValues = maximumValues
    }

    /// Runs to the STOP opcode and gives the value on top of the stack.
    mutating func run() throws(CheckpointFault) -> Reference {
        while true {
            let opcode = try reader.byte()
            if opcode == UInt8(ascii: ".") { return try pop() }
            try step(opcode)
        }
    }

    private mutating func step(_ opcode: UInt8) throws(CheckpointFault) {
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
        case UInt8(ascii: ")"): try push(.tuple(try newItems([])))  // EMPTY_TUPLE
        case UInt8(ascii: "]"), 0x8F: try push(.list(try newItems([])))  // EMPTY_LIST, EMPTY_SET
        case UInt8(ascii: "}"): try push(.dictionary(try newItems([])))  // EMPTY_DICT
        case UInt8(ascii: "t"): try push(.tuple(try newItems(try popToMark())))  // TUPLE
        case UInt8(ascii: "l"), 0x91: try push(.list(try newItems(try popToMark())))
        case UInt8(ascii: "d"): try push(.dictionary(try newItems(try popPairsToMark())))  // DICT
        case 0x85...0x87:  // TUPLE1, TUPLE2, TUPLE3
            let count = Int(opcode) - 0x84
            guard stack.count >= count else { throw Self.damaged }
            let tuple = Array(stack.suffix(count))
            stack.removeLast(count)
            try push(.tuple(try newItems(tuple)))
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
            throw CheckpointFault(
                "is corrupt: its pickle has an opcode that model files do not use")
        }
        guard stack.count <= maximumValues, marks.count <= maximumValues,
            memo.count <= maximumValues
        else {
            throw Self.tooLarge
        }
    }

    private static let damaged = CheckpointFault("is corrupt: its pickle is damaged")
    private static let tooLarge = CheckpointFault(
        "is corrupt or hostile: its pickle builds more values than any model needs")

    // MARK: Values

    private mutating func newValue(_ value: Pickle.Value) throws(CheckpointFault) -> Reference {
        guard values.count < maximumValues else { throw Self.tooLarge }
        values.append(value)
        return Reference(values.count - 1)
    }

    private mutating func push(_ value: Pickle.Value) throws(CheckpointFault) {
        stack.append(try newValue(value))
    }

    private mutating func newItems(_ references: [Reference]) throws(CheckpointFault) -> Int {
        items.append(references)
        return items.count - 1
    }

    private mutating func pushObject(
        callee: Reference, arguments: Reference
    ) throws(CheckpointFault) {
        objects.append(
            Pickle.Object(
                callee: callee, arguments: arguments, state: nil, items: try newItems([])))
        try push(.object(objects.count - 1))
    }

    /// Adds to the container on top of the stack. An object stands for a list or dictionary subclass.
    private mutating func extend(
        _ references: [Reference], pairs: Bool
    ) throws(CheckpointFault) {
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
    private mutating func pushLong(_ count: Int) throws(CheckpointFault) {
        let range = try reader.take(count)
        guard count <= 8 else {
            try push(.none)
            return
        }
        var value: UInt64 = 0
        for (shift, byte) in reader.bytes[range].enumerated() {
            value |= UInt64(byte) << (8 * UInt64(shift))
        }
        if count > 0, count < 8, value >> (8 * UInt64(count) - 1) & 1 == 1 {
            value |= UInt64.max << (8 * UInt64(count))
        }
        try push(.int(Int64(bitPattern: value)))
    }

    /// A decimal number on a line: `I01` and `I00` are the booleans of protocol 0, `12L` a long.
    private mutating func pushDecimal() throws(CheckpointFault) {
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

    private func top() throws(CheckpointFault) -> Reference {
        guard let last = stack.last, stack.count > (marks.last ?? 0) else { throw Self.damaged }
        return last
    }

    private mutating func pop() throws(CheckpointFault) -> Reference {
        let reference = try top()
        stack.removeLast()
        return reference
    }

    private mutating func popToMark() throws(CheckpointFault) -> [Reference] {
        guard let mark = marks.popLast(), mark <= stack.count else { throw Self.damaged }
        let above = Array(stack[mark...])
        stack.removeSubrange(mark...)
        return above
    }

    private mutating func popPairsToMark() throws(CheckpointFault) -> [Reference] {
        let above = try popToMark()
        guard above.count.isMultiple(of: 2) else { throw Self.damaged }
        return above
    }

    // MARK: Memo

    private mutating func recall(_ number: UInt32) throws(CheckpointFault) {
        guard let reference = memo[number] else { throw Self.damaged }
        stack.append(reference)
    }

    private mutating func memoNumber() throws(CheckpointFault) -> UInt32 {
        guard let number = UInt32(reader.text(try reader.line())) else { throw Self.damaged }
        return number
    }
}
