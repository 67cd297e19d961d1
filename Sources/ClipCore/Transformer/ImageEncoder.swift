import CKernels

/// CLIP's vision transformer: preprocessed pictures to embeddings.
///
/// Source: upstream's `clip.model.VisionTransformer`, evaluated in fp32 as upstream does on a CPU, or
/// with the large matrices in int8.
/// The encoder is immutable and shared by threads; each thread encodes with its own ``Session``.
public final class ImageEncoder: Sendable {
    public let configuration: ClipConfiguration
    public let precision: Precision

    private let buffer: WeightBuffer
    private let weights: Weights

    private struct Weights: @unchecked Sendable {
        /// The patch embedding's convolution as a matrix, `[width, 3 × patch × patch]`.
        let patches: LinearWeights
        /// `[width]`
        let classToken: UnsafePointer<Float>
        /// `[grid² + 1, width]`
        let positions: UnsafePointer<Float>
        let lnPre: NormWeights
        let blocks: [BlockWeights]
        let lnPost: NormWeights
        /// `[width, embedding dimension]`, used as `x P`.
        let projection: UnsafePointer<Float>
    }

    /// Loads the vision tower; the text tower is not touched. For int8 the matrices are quantised now.
    /// - Throws: ``CheckpointError`` when a tensor is missing, misshapen or not finite.
    public init(
        _ checkpoint: Checkpoint, precision: Precision = .fp32
    ) throws(CheckpointError) {
        let sizes = checkpoint.configuration
        configuration = sizes
        self.precision = precision
        let width = sizes.vision.width
        let patch = sizes.patchSize
        let loader = try WeightLoader(
            checkpoint, sizes.visionTensors, storage: precision == .int8 ? .int8 : .float)
        weights = Weights(
            patches: try loader.linear(
                "visual.conv1.weight", nil, inputs: 3 * patch * patch, outputs: width,
                // Pixels have 8 bits of their own, and each colour its own scale: 8 bits for all would
                // round them again, and every later layer builds on them.
                isWide: true),
            classToken: try loader.tensor("visual.class_embedding"),
            positions: try loader.tensor("visual.positional_embedding"),
            lnPre: try loader.norm("visual.ln_pre"),
            blocks: try loader.blocks("visual.transformer", sizes.vision),
            lnPost: try loader.norm("visual.ln_post"),
            projection: try loader.tensor("visual.proj"))
        buffer = loader.buffer
        GEMM.useCallingThread()
    }

    /// Floats of one preprocessed picture: `3 × resolution × resolution`.
    public var pixelCount: Int {
        3 * configuration.imageResolution * configuration.imageResolution
    }

    /// One thread's working memory for encoding. Not for use by two threads at once.
    public final class Session {
        private let encoder: ImageEncoder
        /// Pictures that one call may bring.
        public let capacity: Int
        private let scratch: TransformerScratch
        /// Patches as rows, `[capacity × grid², 3 × patch²]`.
        private let patchRows: UnsafeMutableBufferPointer<Float>
        /// Their embeddings, `[capacity × grid², width]`.
        private let patchEmbeddings: UnsafeMutableBufferPointer<Float>

        /// - Parameter capacity: pictures that one call may bring; memory grows with it (some 2 MB
        ///   a picture for ViT-B/32).
        public init(_ encoder: ImageEncoder, capacity: Int) {
            self.encoder = encoder
            self.capacity = capacity
            let sizes = encoder.configuration
            let rows = capacity * sizes.imageSequenceLength
            let patchWidth = 3 * sizes.patchSize * sizes.patchSize
            scratch = TransformerScratch(
                sizes.vision, rows: rows, length: sizes.imageSequenceLength,
                int8: encoder.precision == .int8
                    ? Int8Scratch(
                        width: max(sizes.vision.hiddenWidth, sizes.vision.width, patchWidth))
                    : nil)
            patchRows = .allocate(capacity: capacity * encoder.pixelCount)
            patchEmbeddings = .allocate(
                capacity: capacity * sizes.gridSize * sizes.gridSize * sizes.vision.width)
        }

        deinit {
            patchRows.deallocate()
            patchEmbeddings.deallocate()
        }

        /// Embeds a batch of pictures.
        ///
        /// - Parameter pixels: normalised pictures, `[count, 3, resolution, resolution]`, with
        ///   `count` from 1 to `capacity`.
        /// - Returns: L2-normalised embeddings, `[count][embedding dimension]`.
        public func encode(_ pixels: UnsafeBufferPointer<Float>) -> [[Float]] {
            let count = pixels.count / encoder.pixelCount
            precondition(count >= 1 && count <= capacity)
            precondition(pixels.count == count * encoder.pixelCount)
            embedPatches(pixels.baseAddress!, count)
            let sizes = encoder.configuration
            TransformerForward.run(
                encoder.weights.blocks, sizes.vision, sequences: count,
                length: sizes.imageSequenceLength, pooled: 0, causal: false, scratch)
            return pool(count)
        }

        /// Cuts pictures into patches, embeds them, puts the class token first, adds positions and
        /// normalises (`ln_pre`): from pixels to `scratch.x`, `[count × (grid² + 1), width]`.
        private func embedPatches(_ pixels: UnsafePointer<Float>, _ count: Int) {
            let sizes = encoder.configuration
            let (patch, grid, side) = (sizes.patchSize, sizes.gridSize, sizes.imageResolution)
            let width = sizes.vision.width
            let features = 3 * patch * patch
            var row = patchRows.baseAddress!
            for picture in 0..<count {
                let planes = pixels + picture * encoder.pixelCount
                for gridY in 0..<grid {
                    for gridX in 0..<grid {
                        for line in 0..<3 * patch {
                            let (channel, y) = line.quotientAndRemainder(dividingBy: patch)
                            let source =
                                planes + (channel * side + gridY * patch + y) * side + gridX * patch
                            (row + line * patch).update(from: source, count: patch)
                        }
                        row += features
                    }
                }
            }
            let patches = grid * grid
            let embeddings = patchEmbeddings.baseAddress!
            GEMM.linear(
                patchRows.baseAddress!, rows: count * patches, encoder.weights.patches,
                to: embeddings, int8: scratch.int8)
            for picture in 0..<count {
                let x = scratch.x + picture * (patches + 1) * width
                x.update(from: encoder.weights.classToken, count: width)
                (x + width).update(
                    from: embeddings + picture * patches * width, count: patches * width)
                // Adding the positions is adding one long bias to one long row.
                ck_add_bias(x, 1, (patches + 1) * width, encoder.weights.positions)
            }
            let lnPre = encoder.weights.lnPre
            ck_layer_norm(
                scratch.x, count * (patches + 1), width, width, lnPre.weight, lnPre.bias, scratch.x)
        }

        /// `ln_post` and the projection of each picture's class token, which the blocks have left in
        /// `scratch.x`, `[count, width]`; then L2 normalisation.
        private func pool(_ count: Int) -> [[Float]] {
            let sizes = encoder.configuration
            let width = sizes.vision.width
            let lnPost = encoder.weights.lnPost
            ck_layer_norm(
                scratch.x, count, width, width, lnPost.weight, lnPost.bias, scratch.normed)
            return project(
                scratch.normed, rows: count, encoder.weights.projection, width: width,
                dimension: sizes.embeddingDimension)
        }
    }
}

/// Projects pooled rows into the shared space and makes them unit vectors.
/// x: `[rows, width]`  projection: `[width, dimension]`
func project(
    _ x: UnsafePointer<Float>, rows: Int, _ projection: UnsafePointer<Float>, width: Int,
    dimension: Int
) -> [[Float]] {
    let flat = [Float](unsafeUninitializedCapacity: rows * dimension) { out, count in
        GEMM.projection(
            x, rows: rows, projection, inputs: width, outputs: dimension, to: out.baseAddress!)
        for row in 0..<rows {
            ck_l2_normalize(out.baseAddress! + row * dimension, dimension)
        }
        count = rows * dimension
    }
    return (0..<rows).map { Array(flat[$0 * dimension..<($0 + 1) * dimension]) }
}
