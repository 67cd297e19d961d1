// swift-tools-version: 6.2
import PackageDescription

// Our side of scripts/bench: a process that the runner asks for work, line by line, as it asks the
// peers in peers/.
let package = Package(
    name: "clip-search-benchmarks",
    dependencies: [
        // By name too, since a checkout's folder may have any.
        .package(name: "clip-search", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "ClipBench",
            dependencies: [.product(name: "ClipCore", package: "clip-search"), "CBenchBLAS"]),
        .systemLibrary(
            name: "CBenchBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    ],
    swiftLanguageModes: [.v6]
)
