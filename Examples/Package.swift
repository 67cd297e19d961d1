// swift-tools-version: 6.2
import PackageDescription

// A package as an application would have it. It depends on ClipCore alone: SwiftPM fetches the packages of the
// server too, and builds none of them.
let package = Package(
    name: "clip-search-examples",
    dependencies: [
        // Elsewhere: .package(url: "https://…/clip-search.git", from: "1.0.0")
        .package(name: "clip-search", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "RankPictures", dependencies: [.product(name: "ClipCore", package: "clip-search")]
        )
    ],
    swiftLanguageModes: [.v6]
)
