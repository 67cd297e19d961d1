import CKernels

/// A tensor in a mapped file.
package struct Tensor: Sendable {
    package let name: String
    /// One layout, or several that lie in different places and follow each other along the first
    /// dimension.
    package let parts: [TensorLayout]
    let file: MappedFile

    package var count: Int { parts.reduce(0) { $0 + $1.count } }

    package var shape: [Int] { Self.shape(of: parts) }

    /// The shape that parts have together.
    static func shape(of parts: [TensorLayout]) -> [Int] {
        var shape = parts[0].shape
        if parts.count > 1 { shape[0] = parts.reduce(0) { $0 + $1.shape[0] } }
        return shape
    }

    private func start(of part: TensorLayout) -> UnsafeRawPointer {
        file.bytes.baseAddress! + part.storage.lowerBound
    }

    /// Writes the elements as fp32 in row-major order.
    ///
    /// fp16, bf16 and fp32 are exact; fp64 and wide integers are rounded to nearest.
    /// - Parameter destination: exactly ``count`` elements.
    /// - Throws: ``CheckpointError`` when an element is infinite or not a number, which no trained
    ///   model has and which would silently make every score meaningless; or when the file has changed
    ///   since it was opened.
    package func copy(
        to destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        precondition(destination.count == count)
        guard var target = destination.baseAddress, count > 0 else { return }
        for part in parts {
            // A few elements far apart must not cost the reading of all that lies between them.
            guard part.extent.count <= 64 * part.count * part.type.size else {
                throw CheckpointError(
                    file: file.path,
                    fault:
                        "is corrupt or hostile: the tensor \(quoted(name)) has its elements far apart"
                )
            }
            try file.read(part.extent) { source in
                Self.forEachRow(part) { offset, position, count, stride in
                    convert(
                        source + offset * part.type.size, count, part.type, stride: stride,
                        to: target + position)
                }
            }
            target += part.count
        }
        try checkFinite(destination)
    }

    /// At most `limit` elements, the same ones every time, as fp32: the first ones of the tensor, and
    /// the first ones of the last row of a matrix. For telling models apart without reading them.
    package func sample(limit: Int) -> [Float] {
        guard count > 0, limit > 0, let first = parts.first, let last = parts.last else {
            return []
        }
        func run(_ part: TensorLayout, _ offset: Int, _ count: Int) -> [Float] {
            [Float](unsafeUninitializedCapacity: count) { buffer, written in
                convert(
                    start(of: part) + offset * part.type.size, count, part.type,
                    stride: part.strides.last ?? 1, to: buffer.baseAddress!)
                written = count
            }
        }
        // One run along the innermost dimension; of a vector that is all of it.
        let width = first.shape.last ?? 1
        switch first.shape.count {
        case 2:
            let count = min(width, max(1, limit / 2))
            return run(first, 0, count)
                + run(last, (last.shape[0] - 1) * last.strides[0], count)
        case 1:
            return Array(parts.flatMap { run($0, 0, min(width, limit)) }.prefix(limit))
        default: return run(first, 0, min(width, limit))
        }
    }

    /// Takes the elements into memory; see ``MappedFile/detach(_:)``.
    func detach() throws(CheckpointError) {
        for part in parts { try file.detach(part.extent) }
    }

    /// The elements in the mapped file, when they are fp16 in row-major order. Not aligned; valid as
    /// long as the checkpoint.
    var mappedHalves: UnsafeRawPointer? {
        guard parts.count == 1, parts[0].type == .float16, parts[0].isContiguous, count > 0
        else { return nil }
        return start(of: parts[0])
    }

    /// Writes one row of a matrix `[rows, width]` as fp32; see ``copy(to:)``.
    /// - Parameter checked: notices when the file has changed, at the cost of two system calls.
    package func copyRow(
        _ row: Int, to destination: UnsafeMutableBufferPointer<Float>, checked: Bool = false
    ) throws(CheckpointError) {
        let layout = parts[0]
        precondition(parts.count == 1 && layout.shape.count == 2)
        precondition(row >= 0 && row < layout.shape[0] && destination.count == layout.shape[1])
        guard let target = destination.baseAddress, layout.shape[1] > 0 else { return }
        let offset = row * layout.strides[0] * layout.type.size
        func convertRow(_ source: UnsafeRawPointer) {
            convert(
                source, layout.shape[1], layout.type, stride: layout.strides[1], to: target)
        }
        if checked {
            let first = layout.storage.lowerBound + offset
            let count = (layout.shape[1] - 1) * layout.strides[1] + 1
            try file.read(first..<first + count * layout.type.size, convertRow)
        } else {
            convertRow(start(of: layout) + offset)
        }
        try checkFinite(destination)
    }

    private func checkFinite(
        _ elements: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        guard ck_all_finite(elements.baseAddress, elements.count) else {
            throw CheckpointError(
                file: file.path,
                fault: "is corrupt: the tensor \"\(name)\" holds numbers that are not finite")
        }
    }

    /// Calls `body` for each run along the innermost dimension: the element offset in the storage, the
    /// position in row-major order, the number of elements and the stride between them.
    private static func forEachRow(
        _ layout: TensorLayout, _ body: (Int, Int, Int, Int) -> Void
    ) {
        let inner = layout.shape.last ?? 1
        let stride = layout.strides.last ?? 1
        var index = [Int](repeating: 0, count: max(0, layout.shape.count - 1))
        for row in 0..<layout.count / inner {
            let offset = zip(index, layout.strides).reduce(0) { $0 + $1.0 * $1.1 }
            body(offset, row * inner, inner, stride)
            for dimension in index.indices.reversed() {
                index[dimension] += 1
                if index[dimension] < layout.shape[dimension] { break }
                index[dimension] = 0
            }
        }
    }

    /// - Parameter stride: in elements. Storage need not be aligned in a file, so loads are unaligned.
    private func convert(
        _ source: UnsafeRawPointer, _ count: Int, _ type: ElementType, stride: Int,
        to target: UnsafeMutablePointer<Float>
    ) {
        func each<T: BitwiseCopyable>(_ type: T.Type, _ value: (T) -> Float) {
            for index in 0..<count {
                target[index] = value(
                    source.loadUnaligned(
                        fromByteOffset: index * stride * MemoryLayout<T>.size, as: T.self))
            }
        }
        switch type {
        case .float32 where stride == 1:
            UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
        case .float16 where stride == 1: ck_float_from_half(source, target, count)
        case .bfloat16 where stride == 1: ck_float_from_bfloat(source, target, count)
        case .float16: each(UInt16.self) { ck_half_to_float($0) }
        case .bfloat16: each(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
        case .float32: each(UInt32.self) { Float(bitPattern: $0) }
        case .float64: each(UInt64.self) { Float(Double(bitPattern: $0)) }
        case .int8: each(Int8.self) { Float($0) }
        case .uint8: each(UInt8.self) { Float($0) }
        case .int16: each(Int16.self) { Float($0) }
        case .int32: each(Int32.self) { Float($0) }
        case .int64: each(Int64.self) { Float($0) }
        case .bool: each(UInt8.self) { $0 == 0 ? 0 : 1 }
        }
    }
}
