import CBenchBLAS
import ClipCore
import Foundation

/// What OpenBLAS alone takes for exactly the products that embedding a picture needs, with one thread
/// on each core: the measure of how much of the machine an encoder uses.
///
/// Every layer has a matrix of its own, as in the encoder, so that matrices come from memory as they
/// do there. Of the last block only the class token's row is computed beyond keys and values.
struct MultiplicationPeak: Peer {
    /// A product `[rows, inputs] × [outputs, inputs]ᵀ`.
    private struct Layer {
        let rowsPerPicture: Int
        let inputs: Int
        let outputs: Int
        /// `[outputs, inputs]`, read only.
        nonisolated(unsafe) let weight: UnsafeMutablePointer<Float>
    }

    /// One head's attention, for `queries` rows of each picture.
    private struct Attention {
        let queries: Int
        let tokens: Int
        let heads: Int
        let headWidth: Int
    }

    private enum Product {
        case layer(Layer)
        case attention(Attention)
    }

    /// A lane's memory.
    private struct Scratch: @unchecked Sendable {
        /// Room for the largest input and the largest output of a batch.
        let input: UnsafeMutablePointer<Float>
        let output: UnsafeMutablePointer<Float>
    }

    private var products: [Product] = []
    private var widestRow = 0
    private var configuration = Configuration(lanes: 1, batch: 16)
    private var scratch: [Scratch] = []

    mutating func load(_ load: Load) throws -> Reply {
        openblas_set_num_threads(1)
        let sizes = try Checkpoint(path: load.model).configuration
        products = Self.products(sizes)
        widestRow = sizes.imageSequenceLength * 4 * sizes.vision.width
        configure(Configuration(lanes: load.cores, batch: 16))
        return Reply(
            name: "OpenBLAS, the fp32 products alone",
            version: openblas_get_config().map { String(cString: $0) },
            measures: ["tensors"],
            configurations: Configuration.candidates(load),
            operations: products.reduce(0) { $0 + Self.operations($1) })
    }

    mutating func configure(_ configuration: Configuration) {
        self.configuration = configuration
        for lane in scratch {
            lane.input.deallocate()
            lane.output.deallocate()
        }
        let room = configuration.batch * widestRow
        scratch = (0..<configuration.lanes).map { _ in
            Scratch(input: Self.numbers(room), output: Self.numbers(room))
        }
    }

    func measure(_ source: Source, count: Int) throws -> Double {
        guard source == .tensors else { throw Unsupported(description: "products only") }
        return try seconds {
            try Lanes.run(configuration.lanes, count: count, batch: configuration.batch) {
                [self] lane, elements in
                for product in products {
                    Self.compute(product, pictures: elements.count, scratch[lane])
                }
            }
        }
    }

    func embed(_ source: Source, count: Int) throws -> [[Float]] {
        throw Unsupported(description: "products only")
    }

    func embed(texts: [String]) throws -> [[Float]] {
        throw Unsupported(description: "products only")
    }

    func measure(text: String, repeats: Int) throws -> [Double] {
        throw Unsupported(description: "products only")
    }

    private static func products(_ sizes: ClipConfiguration) -> [Product] {
        let width = sizes.vision.width
        let tokens = sizes.imageSequenceLength
        func layer(_ rows: Int, _ inputs: Int, _ outputs: Int) -> Product {
            .layer(
                Layer(
                    rowsPerPicture: rows, inputs: inputs, outputs: outputs,
                    weight: numbers(inputs * outputs)))
        }
        func attention(_ queries: Int) -> Product {
            .attention(
                Attention(
                    queries: queries, tokens: tokens, heads: sizes.vision.heads,
                    headWidth: sizes.vision.headWidth))
        }
        var products = [layer(tokens - 1, 3 * sizes.patchSize * sizes.patchSize, width)]
        for block in 1...max(1, sizes.vision.layers) {
            let rows = block == sizes.vision.layers ? 1 : tokens
            if rows == tokens {
                products.append(layer(tokens, width, 3 * width))
            } else {
                products += [layer(tokens, width, 2 * width), layer(1, width, width)]
            }
            products += [
                attention(rows), layer(rows, width, width),
                layer(rows, width, 4 * width), layer(rows, 4 * width, width),
            ]
        }
        products.append(layer(1, width, sizes.embeddingDimension))
        return products
    }

    private static func operations(_ product: Product) -> Double {
        switch product {
        case .layer(let layer): 2 * Double(layer.rowsPerPicture * layer.inputs * layer.outputs)
        case .attention(let it): 4 * Double(it.queries * it.tokens * it.heads * it.headWidth)
        }
    }

    private static func compute(_ product: Product, pictures: Int, _ scratch: Scratch) {
        switch product {
        case .layer(let layer):
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasTrans, blasint(pictures * layer.rowsPerPicture),
                blasint(layer.outputs), blasint(layer.inputs), 1, scratch.input,
                blasint(layer.inputs), layer.weight, blasint(layer.inputs), 0, scratch.output,
                blasint(layer.outputs))
        case .attention(let it):
            let width = it.heads * it.headWidth
            for picture in 0..<pictures {
                for head in 0..<it.heads {
                    // Queries, keys and values as a block's first product leaves them: side by side.
                    let row = scratch.input + picture * it.tokens * 3 * width + head * it.headWidth
                    cblas_sgemm(
                        CblasRowMajor, CblasNoTrans, CblasTrans, blasint(it.queries),
                        blasint(it.tokens), blasint(it.headWidth), 1, row, blasint(3 * width),
                        row + width, blasint(3 * width), 0, scratch.output, blasint(it.tokens))
                    cblas_sgemm(
                        CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(it.queries),
                        blasint(it.headWidth), blasint(it.tokens), 1, scratch.output,
                        blasint(it.tokens), row + 2 * width, blasint(3 * width), 0,
                        scratch.output + it.tokens * it.tokens, blasint(width))
                }
            }
        }
    }

    /// Small numbers, none of them zero or denormal.
    private static func numbers(_ count: Int) -> UnsafeMutablePointer<Float> {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: 4 * count, alignment: 64)
        let numbers = raw.bindMemory(to: Float.self, capacity: count)
        for index in 0..<count { numbers[index] = Float(index % 251 + 1) / 25_100 }
        return numbers
    }
}
