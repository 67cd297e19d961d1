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
        ImageFormat.allCases.filter(\.isBuiltIn).map(\.rawValue)
    }

    /// Several lines for `--version`; formats have the library and its version where it is loaded on first use:
    /// `HEIC (libheif 1.15.1)`.
    public static var summary: String {
        let formats = ImageFormat.allCases.filter(\.isBuiltIn).map { format in
            format.rawValue + (LibraryImage.library(format).map { " (\($0))" } ?? "")
        }
        return """
            clip-search \(version)\(commit.map { " (\($0))" } ?? "")
            formats: \(formats.joined(separator: ", "))
            instructions: \(InstructionSet.inUse.rawValue)
            """
    }
}
