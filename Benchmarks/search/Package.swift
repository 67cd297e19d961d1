// swift-tools-version: 6.2
import PackageDescription

// What scripts/bench-search measures of this project by itself: rows through PGClient's binary COPY.
// The client is linked to, not depended on, so that nothing else of the project has to be fetched.
let package = Package(
    name: "clip-search-bench-search",
    targets: [
        .executableTarget(name: "LoadVectors", dependencies: ["PGClient"]),
        .target(name: "PGClient", dependencies: ["CPostgreSQL"]),
        .systemLibrary(
            name: "CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    ],
    swiftLanguageModes: [.v6]
)
