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

    private let bytes: UnsafeRawBufferPointer
    package private(set) var values: [Value] = []
    package private(set) var items: [[Reference]] = []
    package private(set) var objects: [Object] = []
    package private(set) var root: Reference = 0

    /// - Throws: `CheckpointFault` on an unknown opcode, a broken stack, or a pickle that would
    ///   build more than `maximumValues` values.
    package init(
        _ bytes: UnsafeRawBufferPointer, maximumValues: Int = 1_000_000
    ) throws(CheckpointFault) {
        self.bytes = bytes
        var machine = try PickleMachine(bytes, maximumValues: maximumValues)
        root = try machine.run()
        values = machine.values
        items = machine.items
        objects = machine.objects
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
        return String(decoding: bytes[range], as: UTF8.self)
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
}
