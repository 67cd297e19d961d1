/// Where a tensor lies in a file and how its elements are laid out. Made only through the checked
/// initialiser, so every element that `shape` and `strides` can reach lies within `storage`.
package struct TensorLayout: Sendable, Equatable {
    package let type: ElementType
    /// Sizes of the dimensions, outermost first; empty for a scalar.
    package private(set) var shape: [Int]
    /// Steps of the dimensions, in elements; never negative, as in PyTorch.
    package private(set) var strides: [Int]
    /// Bytes of the file that hold the storage, from the tensor's first element on.
    package let storage: Range<Int>

    /// Number of elements.
    package let count: Int

    /// Bytes of the file from the first element to the last.
    var extent: Range<Int> {
        guard count > 0 else { return storage.lowerBound..<storage.lowerBound }
        let last = zip(shape, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
        return storage.lowerBound..<storage.lowerBound + (last + 1) * type.size
    }

    /// Whether the elements follow each other in row-major order.
    package var isContiguous: Bool {
        // Without elements the product of the other sizes may be anything.
        guard count > 0 else { return true }
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() where size != 1 {
            guard stride == expected else { return false }
            expected *= size
        }
        return true
    }

    /// - Parameters:
    ///   - storage: range of the file that holds the whole storage.
    ///   - offset: first element within the storage, in elements.
    package init(
        type: ElementType, shape: [Int], strides: [Int], offset: Int, storage: Range<Int>
    ) throws(CheckpointError) {
        let damaged = CheckpointError("a tensor reaches outside its storage")
        guard shape.count == strides.count, shape.count <= 8, offset >= 0,
            shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 })
        else { throw damaged }
        var count = 1
        var last = offset
        for (size, stride) in zip(shape, strides) {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow else { throw damaged }
            count = product
            guard size > 0 else { continue }
            let (reach, reachOverflow) = (size - 1).multipliedReportingOverflow(by: stride)
            let (sum, sumOverflow) = last.addingReportingOverflow(reach)
            guard !reachOverflow, !sumOverflow else { throw damaged }
            last = sum
        }
        guard count == 0 || last < storage.count / type.size else { throw damaged }
        self.type = type
        self.shape = shape
        self.strides = strides
        self.count = count
        self.storage =
            count == 0
            ? storage.upperBound..<storage.upperBound
            : storage.lowerBound + offset * type.size..<storage.upperBound
    }

    /// The same elements with the dimensions in reverse order.
    var transposed: TensorLayout {
        var layout = self
        layout.shape.reverse()
        layout.strides.reverse()
        return layout
    }

    /// The same elements without the outer dimensions of size 1.
    var squeezed: TensorLayout {
        var layout = self
        let count = shape.prefix { $0 == 1 }.count
        layout.shape.removeFirst(count)
        layout.strides.removeFirst(count)
        return layout
    }

    /// Row-major strides of a shape.
    package static func contiguousStrides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for index in shape.indices.dropLast().reversed() {
            let (product, overflow) = strides[index + 1].multipliedReportingOverflow(
                by: shape[index + 1])
            strides[index] = overflow ? Int.max : product
        }
        return strides
    }
}
