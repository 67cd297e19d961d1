// swift-tools-version: 6.2
import PackageDescription

// The walk from bucket to answer, room by room; docs/architecture.md says who may import whom.
let package = Package(
    name: "clip-search",
    products: [
        .executable(name: "create-table", targets: ["CreateTable"]),
        .executable(name: "process-images", targets: ["ProcessImages"]),
        .executable(name: "find-images", targets: ["FindImages"]),
        .executable(name: "web-app", targets: ["WebApp"]),
        // For Benchmarks/, a package of its own.
        .library(name: "ClipCore", targets: ["ClipCore"]),
    ],
    // To leave out what a machine lacks: --disable-default-traits --traits TLS,SentencePiece,HEIF
    traits: [
        .trait(name: "TLS", description: "web-app answers over HTTPS itself."),
        .trait(
            name: "SentencePiece", description: "Models with SentencePiece tokenizers (SigLIP)."),
        .trait(name: "HEIF", description: "HEIC, by libheif."),
        .trait(name: "AVIF", description: "AVIF, by libavif."),
        .trait(name: "JPEGXL", description: "JPEG XL, by libjxl."),
        .trait(name: "JPEG2000", description: "JPEG 2000, by openjpeg."),
        .default(enabledTraits: ["AVIF", "HEIF", "JPEG2000", "JPEGXL", "SentencePiece", "TLS"]),
    ],
    // deploy/versions.txt has the exact versions of release builds.
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.6.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache.git", from: "2.0.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.100.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.30.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(
            url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.6.0"),
    ],
    targets: [
        // What a person runs: arguments, printing, exit codes.
        .executableTarget(
            name: "CreateTable", dependencies: ["CommandLineSupport", "ImageSearch", arguments]),
        .executableTarget(
            name: "ProcessImages", dependencies: ["CommandLineSupport", "ImageSearch", arguments]),
        .executableTarget(
            name: "FindImages", dependencies: ["CommandLineSupport", "ImageSearch", arguments]),
        .executableTarget(
            name: "WebApp",
            dependencies: [
                "CommandLineSupport", "ImageSearch", "SearchSite", arguments,
                .product(name: "Logging", package: "swift-log"),
            ]),

        // What the executables share: console, progress, output formats, pictures in terminals.
        .target(
            name: "CommandLineSupport",
            dependencies: ["ClipCore", "ImageSearch", "S3Client", arguments]),

        // The web pages and their routes, apart from the executable so that tests can run them.
        .target(
            name: "SearchSite",
            dependencies: [
                "Bytes", "CSiteAssets", "CZlib", "ImageSearch",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(
                    name: "HummingbirdTLS", package: "hummingbird",
                    condition: .when(traits: ["TLS"])),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Mustache", package: "swift-mustache"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(
                    name: "NIOSSL", package: "swift-nio-ssl", condition: .when(traits: ["TLS"])),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            exclude: ["Assets"]),

        // The domain: settings, the pictures table, ingest, search, the model file.
        .target(
            name: "ImageSearch",
            dependencies: ["Bytes", "ClipCore", "PGClient", "S3Client"]),

        // Three libraries that never import each other.
        .target(
            name: "ClipCore",
            dependencies: [
                "CCodecs", "CImages", "CKernels", "COpenBLAS", "CSentencePiece", "CVocabulary",
                "CZlib",
            ]),
        .target(name: "PGClient", dependencies: ["CPostgreSQL"]),
        .target(name: "S3Client", dependencies: ["Bytes", "CCurl", "CExpat"]),

        // Digests and encodings of bytes, used by everything above but ClipCore and PGClient.
        .target(name: "Bytes", dependencies: ["CCrypto"]),

        // C: module maps and small shims.
        // Loads its libraries at run time; without a trait its part compiles to nothing.
        .target(
            name: "CCodecs",
            cSettings: imageTraits.map { .define("WITH_\($0)", .when(traits: [$0])) },
            linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CCurl", linkerSettings: [.linkedLibrary("curl")]),
        .target(
            name: "CImages",
            linkerSettings: ["jpeg", "png16", "tiff", "webp", "webpdemux", "z"].map {
                .linkedLibrary($0)
            }),
        .target(
            name: "CKernels",
            cSettings: [.define("CLIP_SEARCH_COMMIT", to: "\"\(commit)\"")]),
        .target(
            name: "CSentencePiece",
            cxxSettings: [
                .define("CLIP_SEARCH_SENTENCEPIECE", .when(traits: ["SentencePiece"]))
            ],
            linkerSettings: [.linkedLibrary("sentencepiece", .when(traits: ["SentencePiece"]))]),
        .target(name: "CSiteAssets"),
        .target(
            name: "CVocabulary",
            exclude: ["merges.bin", "entities.bin", "mojibake.bin", "LICENSE.txt"]),
        .systemLibrary(
            name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(
            name: "CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),

        .target(name: "TestSupport", path: "Tests/TestSupport"),
        // Examples/ is a package of its own for readers; here it is compiled with the tests, which run it.
        .executableTarget(
            name: "RankPictures", dependencies: ["ClipCore"],
            path: "Examples/Sources/RankPictures"),
        // scripts/fuzz-images runs this.
        .executableTarget(
            name: "FuzzImages", dependencies: ["ClipCore", "TestSupport"], path: "Tests/FuzzImages"),
        // tools/formats.py runs this.
        .executableTarget(
            name: "DescribeImages", dependencies: ["ClipCore"], path: "Tests/DescribeImages"),
        // tools/model_table.py runs this.
        .executableTarget(
            name: "DescribeModel", dependencies: ["ClipCore"], path: "Tests/DescribeModel"),
        .testTarget(
            name: "ClipCoreTests",
            dependencies: ["ClipCore", "CKernels", "TestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(name: "PGClientTests", dependencies: ["PGClient", "TestSupport"]),
        .testTarget(
            name: "S3ClientTests", dependencies: ["Bytes", "S3Client", "TestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ImageSearchTests",
            dependencies: ["ClipCore", "ImageSearch", "PGClient", "S3Client", "TestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "CommandLineSupportTests",
            dependencies: ["ClipCore", "CommandLineSupport"]),
        .testTarget(
            name: "SearchSiteTests",
            dependencies: [
                "ImageSearch", "S3Client", "SearchSite",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

var arguments: Target.Dependency {
    .product(name: "ArgumentParser", package: "swift-argument-parser")
}

var imageTraits: [String] { ["AVIF", "HEIF", "JPEGXL", "JPEG2000"] }

/// What `--version` says beside the version; empty outside of a git checkout.
var commit: String { Context.gitInformation.map { String($0.currentCommit.prefix(12)) } ?? "" }
