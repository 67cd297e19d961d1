/// The tensors of a safetensors file by name.
///
/// Format: github.com/huggingface/safetensors, "Format": eight bytes of header length, a JSON
/// header, then the data; offsets count from the end of the header, tensors are row-major.
enum SafeTensors {
    /// Real headers take about 40 kB; the format allows 100 MB.
    private static let maximumHeader = 4 << 20

    /// Whether the file can be one: a plausible header length followed by a JSON object.
    static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > 9 && bytes[8] == UInt8(ascii: "{")
    }

    static func tensors(
        _ bytes: UnsafeRawBufferPointer
    ) throws(CheckpointError) -> [String: TensorLayout] {
        var reader = try ByteReader(bytes, what: "its safetensors header")
        let length = try reader.size64()
        guard length <= maximumHeader else {
            throw CheckpointError("is corrupt: its safetensors header is too long")
        }
        let header = try reader.take(length)
        let data = reader.offset..<bytes.count

        guard
            case .object(let members)? = JSONValue(UnsafeRawBufferPointer(rebasing: bytes[header]))
        else { throw damagedHeader }
        var tensors: [String: TensorLayout] = [:]
        for (name, entry) in members where name != "__metadata__" {
            guard case .object(let entry) = entry, case .string(let dtype)? = entry["dtype"],
                let shape = integers(entry["shape"]), let offsets = integers(entry["data_offsets"])
            else { throw damagedHeader }
            guard let type = ElementType(safetensorsName: dtype) else {
                throw CheckpointError(
                    "the tensor \(quoted(name)) has elements of an unsupported type (\(quoted(dtype)))"
                )
            }
            guard offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1],
                offsets[1] <= data.count
            else { throw damaged(name) }
            let storage = data.lowerBound + offsets[0]..<data.lowerBound + offsets[1]
            let layout = try? TensorLayout(
                type: type, shape: shape, strides: TensorLayout.contiguousStrides(shape),
                offset: 0, storage: storage)
            // A layout's elements never outnumber its storage.
            guard let layout, layout.count * type.size == storage.count else {
                throw damaged(name)
            }
            tensors[name] = layout
        }
        return tensors
    }

    private static func damaged(_ name: String) -> CheckpointError {
        CheckpointError("is corrupt: the tensor \(quoted(name)) is damaged")
    }

    private static var damagedHeader: CheckpointError {
        CheckpointError("is corrupt: its safetensors header is damaged")
    }

    private static func integers(_ value: JSONValue?) -> [Int]? {
        guard case .array(let elements)? = value else { return nil }
        let integers = elements.compactMap(\.int)
        return integers.count == elements.count ? integers : nil
    }
}
