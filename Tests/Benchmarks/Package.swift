// swift-tools-version: 6.2
import PackageDescription

// Parts of imgbuild on their own, for measuring: the same sources as the program's (Sources is a link), in a package apart so
// that `swift build` of the program does not compile them.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
let gnu: [CSetting] = [.define("_GNU_SOURCE")]
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(name)", cSettings: gnu, swiftSettings: settings)
}

let package = Package(
    name: "benchmarks",
    dependencies: [.package(url: "https://github.com/apple/swift-system", from: "1.8.0")],
    targets: [
        .systemLibrary(name: "CArchive", path: "Sources/CArchive", pkgConfig: "libarchive"),
        .systemLibrary(name: "CCrypto", path: "Sources/CCrypto", pkgConfig: "libcrypto"),
        .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib"),
        .systemLibrary(name: "CISAL", path: "Sources/CISAL", pkgConfig: "libisal"),
        .systemLibrary(name: "CZstd", path: "Sources/CZstd", pkgConfig: "libzstd"),
        .target(name: "CSpawn", path: "Sources/CSpawn", cSettings: gnu),
        .target(name: "CSupervisor", path: "Sources/CSupervisor", cSettings: gnu),
        library("OCI", []),
        library("SystemIO", ["CCrypto", "CZlib", "CISAL", "CZstd", "CSpawn", "CSupervisor", systemPackage]),
        library("Layers", ["OCI", "SystemIO", "CArchive", systemPackage]),
        .executableTarget(
            name: "parts", dependencies: ["SystemIO", "Layers", systemPackage], path: "Parts", cSettings: gnu,
            swiftSettings: settings),
    ]
)
