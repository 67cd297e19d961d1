import CKernels

/// A tensor in a mapped file.
package struct Tensor: Sendable {
    package let name: String
    package let layout: TensorLayout
    let file: MappedFile

    /// Writes the elements as fp32 in row-major order.
    ///
    /// fp16, bf16 and fp32 are exact; fp64 and wide integers are rounded to nearest.
    /// - Parameter destination: exactly `layout.count` elements.
    /// - Throws: ``CheckpointError`` when an element is infinite or not a number, which no trained
    ///   model has and which would silently make every score meaningless.
    package func copy(
        to destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        precondition(destination.count == layout.count)
        guard let target = destination.baseAddress, layout.count > 0 else { return }
        let source = file.bytes.baseAddress! + layout.storage.lowerBound
        if layout.isContiguous {
            convert(source, layout.count, to: target)
        } else {
            forEachRow { offset, position, count, stride in
                convertStrided(
                    source + offset * layout.type.size, count, stride: stride, to: target + position
                )
            }
        }
        try checkFinite(destination)
    }

    /// At most `limit` elements, the same ones every time, as fp32: the first ones of the tensor, and
    /// the first ones of the last row of a matrix. For telling models apart without reading them.
    package func sample(limit: Int) -> [Float] {
        guard layout.count > 0, limit > 0 else { return [] }
        let start = file.bytes.baseAddress! + layout.storage.lowerBound
        func run(_ offset: Int, _ count: Int, _ stride: Int) -> [Float] {
            [Float](unsafeUninitializedCapacity: count) { buffer, written in
                convertStrided(
                    start + offset * layout.type.size, count, stride: stride,
                    to: buffer.baseAddress!)
                written = count
            }
        }
        // One run along the innermost dimension; of a vector that is all of it.
        let width = layout.shape.last ?? 1
        let stride = layout.strides.last ?? 1
        guard layout.shape.count == 2 else { return run(0, min(width, limit), stride) }
        let count = min(width, max(1, limit / 2))
        let last = (layout.shape[0] - 1) * layout.strides[0]
        return run(0, count, stride) + run(last, count, stride)
    }

    /// The elements in the mapped file, when they are fp16 in row-major order. Not aligned; valid as
    /// long as the checkpoint.
    var mappedHalves: UnsafeRawPointer? {
        guard layout.type == .float16, layout.isContiguous, layout.count > 0 else { return nil }
        return file.bytes.baseAddress! + layout.storage.lowerBound
    }

    /// Writes one row of a matrix `[rows, width]` as fp32; see ``copy(to:)``.
    package func copyRow(
        _ row: Int, to destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        precondition(layout.shape.count == 2 && row >= 0 && row < layout.shape[0])
        precondition(destination.count == layout.shape[1])
        guard let target = destination.baseAddress, layout.shape[1] > 0 else { return }
        let offset = layout.storage.lowerBound + row * layout.strides[0] * layout.type.size
        convertStrided(
            file.bytes.baseAddress! + offset, layout.shape[1], stride: layout.strides[1], to: target
        )
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
    private func forEachRow(_ body: (Int, Int, Int, Int) -> Void) {
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

    private func convert(
        _ source: UnsafeRawPointer, _ count: Int, to target: UnsafeMutablePointer<Float>
    ) {
        switch layout.type {
        case .float32: memcpyFloats(target, source, count)
        case .float16: ck_float_from_half(source, target, count)
        case .bfloat16: ck_float_from_bfloat(source, target, count)
        default: convertStrided(source, count, stride: 1, to: target)
        }
    }

    private func memcpyFloats(
        _ target: UnsafeMutablePointer<Float>, _ source: UnsafeRawPointer, _ count: Int
    ) {
        UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
    }

    /// Element by element; also the way for the types that models hardly use. Storage need not be
    /// aligned in a file, so loads are unaligned.
    private func convertStrided(
        _ source: UnsafeRawPointer, _ count: Int, stride: Int,
        to target: UnsafeMutablePointer<Float>
    ) {
        func each<T: BitwiseCopyable>(_ type: T.Type, _ value: (T) -> Float) {
            for index in 0..<count {
                target[index] = value(
                    source.loadUnaligned(
                        fromByteOffset: index * stride * MemoryLayout<T>.size, as: T.self))
            }
        }
        switch layout.type {
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
