import CKernels

/// A vision transformer: preprocessed images to embeddings.
///
/// Source: upstream's `clip.model.VisionTransformer` and timm's `VisionTransformer` with attention
/// pooling (SigLIP), evaluated in fp32 as upstream does on a CPU, or with the large matrices in integers.
/// The encoder is immutable and shared by threads; each thread encodes with its own ``Session``.
public final class ImageEncoder: Sendable {
    public let configuration: ClipConfiguration
    public let precision: Precision

    private let buffer: WeightBuffer
    /// The patch embedding's convolution as a matrix, `[width, 3 × patch × patch]`.
    private let patches: LinearWeights
    /// `[tokens, width]`
    private nonisolated(unsafe) let positions: UnsafePointer<Float>
    private let blocks: [BlockWeights]
    private nonisolated(unsafe) let ends: Ends

    /// What is before and after the blocks.
    private enum Ends {
        /// classToken: `[width]`  projection: `[width, embedding dimension]`, used as `x P`
        case clip(
            classToken: UnsafePointer<Float>, lnPre: NormWeights, lnPost: NormWeights,
            projection: UnsafePointer<Float>)
        /// pool: with `ln_post` as its first layer norm  latent: `[width]`
        case sigLIP(pool: BlockWeights, latent: UnsafePointer<Float>)
    }

    /// Loads the vision tower; the text tower is not touched. Matrices of integers are quantised now.
    /// - Throws: ``CheckpointError`` when a tensor is missing, misshapen or not finite.
    public init(
        _ checkpoint: Checkpoint, precision: Precision = .fp32
    ) throws(CheckpointError) {
        let sizes = checkpoint.configuration
        configuration = sizes
        self.precision = precision
        let loader = try WeightLoader(
            checkpoint, sizes.visionTensors, epsilon: sizes.vision.epsilon,
            storage: precision == .fp32
                ? .float : .integers(precision == .int7 ? CK_INT7 : CK_INT8))
        let isClip = sizes.architecture == .clip
        // Pixels have 8 bits of their own, and each colour its own scale: 8 bits for all would round them
        // again, and every later layer builds on them.
        patches = try loader.linear(
            "visual.conv1.weight", isClip ? nil : "visual.conv1.bias", isWide: true)
        positions = try loader.tensor("visual.positional_embedding")
        blocks = try loader.blocks("visual.transformer", sizes.vision)
        ends =
            isClip
            ? .clip(
                classToken: try loader.tensor("visual.class_embedding"),
                lnPre: try loader.norm("visual.ln_pre"),
                lnPost: try loader.norm("visual.ln_post"),
                projection: try loader.tensor("visual.proj"))
            : .sigLIP(
                pool: try loader.block("visual.attn_pool", ln1: "visual.ln_post", sizes.vision),
                latent: try loader.tensor("visual.attn_pool.latent"))
        buffer = loader.buffer
    }

    /// Floats of one preprocessed image: `3 × resolution × resolution`.
    public var pixelCount: Int {
        3 * configuration.imageResolution * configuration.imageResolution
    }

    /// One thread's working memory for encoding. Not for use by two threads at once.
    public final class Session {
        private let encoder: ImageEncoder
        /// Images that one call may pass.
        public let capacity: Int
        private let scratch: TransformerScratch
        /// Patches as rows, `[capacity × grid², 3 × patch²]`.
        private let patchRows: UnsafeMutableBufferPointer<Float>
        /// Their embeddings, `[capacity × grid², width]`.
        private let patchEmbeddings: UnsafeMutableBufferPointer<Float>

        /// - Parameter capacity: images that one call may pass; memory grows with it (about 2 MB
        ///   an image for ViT-B/32).
        public init(_ encoder: ImageEncoder, capacity: Int) {
            self.encoder = encoder
            self.capacity = capacity
            let sizes = encoder.configuration
            let rows = capacity * sizes.imageSequenceLength
            let patchWidth = 3 * sizes.patchSize * sizes.patchSize
            scratch = TransformerScratch(
                sizes.vision, rows: rows, length: sizes.imageSequenceLength,
                int8: encoder.precision == .fp32
                    ? nil
                    : Int8Scratch(
                        width: max(sizes.vision.hiddenWidth, sizes.vision.width, patchWidth)))
            patchRows = .allocate(capacity: capacity * encoder.pixelCount)
            patchEmbeddings = .allocate(
                capacity: capacity * sizes.gridSize * sizes.gridSize * sizes.vision.width)
        }

        deinit {
            patchRows.deallocate()
            patchEmbeddings.deallocate()
        }

        /// Embeds a batch of images.
        ///
        /// - Parameter pixels: normalised images, `[count, 3, resolution, resolution]`, with
        ///   `count` from 1 to `capacity`.
        /// - Returns: L2-normalised embeddings, `[count][embedding dimension]`.
        public func encode(_ pixels: UnsafeBufferPointer<Float>) -> [[Float]] {
            let count = pixels.count / encoder.pixelCount
            precondition(count >= 1 && count <= capacity)
            precondition(pixels.count == count * encoder.pixelCount)
            let (sizes, blocks) = (encoder.configuration, encoder.blocks)
            let (tower, width, length) = (
                sizes.vision, sizes.vision.width, sizes.imageSequenceLength
            )
            embedPatches(pixels.baseAddress!, count)
            switch encoder.ends {
            case .clip(let classToken, let lnPre, let lnPost, let projection):
                placePatches(count, after: classToken)
                lnPre(scratch.x, rows: count * length, width: width, to: scratch.x)
                TransformerForward.run(
                    blocks, tower, sequences: count, length: length, pooled: 0,
                    causal: false, scratch)
                // The class tokens, [count, width].
                lnPost(scratch.x, rows: count, width: width, to: scratch.normed)
                return unitRows(count, sizes.embeddingDimension) {
                    GEMM.projection(
                        scratch.normed, rows: count, projection, inputs: width,
                        outputs: sizes.embeddingDimension, to: $0)
                }
            case .sigLIP(let pool, let latent):
                placePatches(count, after: nil)
                TransformerForward.run(
                    blocks, tower, sequences: count, length: length, pooled: nil,
                    causal: false, scratch)
                TransformerForward.pool(
                    pool, latent: latent, tower, sequences: count, length: length, scratch)
                return unitRows(count, width) { $0.update(from: scratch.x, count: count * width) }
            }
        }

        /// Cuts images into patches and embeds them: from pixels to `patchEmbeddings`.
        private func embedPatches(_ pixels: UnsafePointer<Float>, _ count: Int) {
            let sizes = encoder.configuration
            let (patch, grid, side) = (sizes.patchSize, sizes.gridSize, sizes.imageResolution)
            let features = 3 * patch * patch
            var row = patchRows.baseAddress!
            for image in 0..<count {
                let planes = pixels + image * encoder.pixelCount
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
            GEMM.linear(
                patchRows.baseAddress!, rows: count * grid * grid, encoder.patches,
                to: patchEmbeddings.baseAddress!, int8: scratch.int8)
        }

        /// Puts the class token, if there is one, before each image's patches and adds the positions:
        /// to `scratch.x`, `[count × tokens, width]`.
        private func placePatches(_ count: Int, after classToken: UnsafePointer<Float>?) {
            let sizes = encoder.configuration
            let width = sizes.vision.width
            let patches = sizes.gridSize * sizes.gridSize * width
            let tokens = sizes.imageSequenceLength * width
            for image in 0..<count {
                let x = scratch.x + image * tokens
                if let classToken { x.update(from: classToken, count: width) }
                (x + tokens - patches).update(
                    from: patchEmbeddings.baseAddress! + image * patches, count: patches)
                // Adding the positions is adding one long bias to one long row.
                ck_add_bias(x, 1, tokens, encoder.positions)
            }
        }
    }
}

/// Rows scaled to length 1: `[rows][dimension]`.
/// - Parameter fill: writes them, `[rows, dimension]`.
func unitRows(
    _ rows: Int, _ dimension: Int, fill: (UnsafeMutablePointer<Float>) -> Void
) -> [[Float]] {
    let flat = [Float](unsafeUninitializedCapacity: rows * dimension) { out, count in
        fill(out.baseAddress!)
        for row in 0..<rows { ck_l2_normalize(out.baseAddress! + row * dimension, dimension) }
        count = rows * dimension
    }
    return (0..<rows).map { Array(flat[$0 * dimension..<($0 + 1) * dimension]) }
}
