import CKernels

/// What this build is and what it can do on this machine.
public enum Build {
    /// The version of the tools and of the library, by Semantic Versioning. The only place that says it.
    public static let version = "1.0.0"

    /// The commit that it was built from; nil outside of a git checkout.
    public static var commit: String? {
        let text = String(cString: ck_build_commit())
        return text.isEmpty ? nil : text
    }

    /// The names of the image formats that it reads.
    public static var formats: [String] {
        PictureFormat.allCases.filter(\.isBuiltIn).map(\.rawValue)
    }

    /// The formats, with the library and its version where it is loaded on first use:
    /// `HEIC (libheif 1.15.1)`.
    private static var formatsWithLibraries: [String] {
        PictureFormat.allCases.filter(\.isBuiltIn).map { format in
            format.rawValue + (LibraryReader.library(format).map { " (\($0))" } ?? "")
        }
    }

    /// The instruction sets that the kernels use on this processor: of int8 products, and of layers
    /// whose weights are fp16.
    public static var instructionSets: (int8: String, half: String) {
        let int8: [(ck_int8_isa, String)] = [
            (CK_INT8_AVX512_VNNI, "avx512-vnni"), (CK_INT8_NEON_DOT, "neon-dot"),
            (CK_INT8_AVX2, "avx2"),
        ]
        let half = [CK_ISA_V4.rawValue: "avx512", CK_ISA_V3.rawValue: "avx2"]
        return (
            int8.first { ck_int8_has($0.0) }?.1 ?? "generic",
            half[ck_best_isa().rawValue] ?? "generic"
        )
    }

    /// Several lines for `--version`.
    public static var summary: String {
        let sets = instructionSets
        return """
            clip-search \(version)\(commit.map { " (\($0))" } ?? "")
            formats: \(formatsWithLibraries.joined(separator: ", "))
            int8: \(sets.int8), fp16 weights: \(sets.half)
            """
    }
}
