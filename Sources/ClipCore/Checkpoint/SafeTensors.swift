import FoundationEssentials

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
    ) throws(CheckpointFault) -> [String: TensorLayout] {
        var reader = try ByteReader(bytes, what: "its safetensors header")
        let length = try reader.size64()
        guard length <= maximumHeader else {
            throw CheckpointFault("is corrupt: its safetensors header is too long")
        }
        let header = try reader.take(length)
        let data = reader.offset..<bytes.count

        let parsed: Header
        do {
            parsed = try JSONDecoder().decode(Header.self, from: Data(bytes[header]))
        } catch {
            throw CheckpointFault("is corrupt: its safetensors header is damaged")
        }
        var tensors: [String: TensorLayout] = [:]
        for (name, entry) in parsed.entries {
            guard let type = ElementType(safetensorsName: entry.dtype) else {
                throw CheckpointFault(
                    "the tensor \(quoted(name)) has elements of an unsupported type (\(quoted(entry.dtype)))"
                )
            }
            guard entry.offsets.count == 2, entry.offsets[0] >= 0,
                entry.offsets[0] <= entry.offsets[1], entry.offsets[1] <= data.count
            else { throw Self.damaged(name) }
            let storage =
                data.lowerBound + entry.offsets[0]..<data.lowerBound + entry.offsets[1]
            do {
                let layout = try TensorLayout(
                    type: type, shape: entry.shape,
                    strides: TensorLayout.contiguousStrides(entry.shape), offset: 0,
                    storage: storage)
                // The size is checked: a layout's elements never outnumber its storage here.
                guard layout.count * type.size == storage.count else {
                    throw Self.damaged(name)
                }
                tensors[name] = layout
            } catch {
                throw Self.damaged(name)
            }
        }
        return tensors
    }

    private static func damaged(_ name: String) -> CheckpointFault {
        CheckpointFault("is corrupt: the tensor \(quoted(name)) is damaged")
    }

    private struct Header: Decodable {
        struct Entry: Decodable {
            let dtype: String
            let shape: [Int]
            let offsets: [Int]

            enum CodingKeys: String, CodingKey {
                case dtype, shape
                case offsets = "data_offsets"
            }
        }

        let entries: [String: Entry]

        private struct Name: CodingKey {
            let stringValue: String
            init(stringValue: String) { self.stringValue = stringValue }
            var intValue: Int? { nil }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            var entries: [String: Entry] = [:]
            for key in container.allKeys where key.stringValue != "__metadata__" {
                entries[key.stringValue] = try container.decode(Entry.self, forKey: key)
            }
            self.entries = entries
        }
    }
}
