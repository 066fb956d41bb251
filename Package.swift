// swift-tools-version: 6.2
import PackageDescription

// The floors (docs/architecture.md): a target imports only targets of lower floors, never of its own.
//
//   4  imgbuild
//   3  Builder
//   2  Registry   Layers   Sandbox
//   1  OCI   Dockerfile   SystemIO
//   0  CCurl CArchive CCrypto CZlib CISAL CZstd   CSpawn CSupervisor

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// Makes Linux's own calls and constants (`O_PATH`, `statx`, `renameat2`) visible to Swift's Glibc module.
let gnu: [CSetting] = [.define("_GNU_SOURCE")]

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, cSettings: gnu, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["TestSupport"], path: "Tests/\(name)", cSettings: gnu,
        swiftSettings: strict)
}

let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

let package = Package(
    name: "imgbuild",
    products: [.executable(name: "imgbuild", targets: ["imgbuild"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    ],
    targets: [
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CSpawn", cSettings: gnu + [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
        .target(name: "CSupervisor", cSettings: gnu + [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),

        library("OCI", []),
        library("Dockerfile", []),
        library("SystemIO", ["CCrypto", "CZlib", "CISAL", "CZstd", "CSpawn", "CSupervisor", systemPackage]),

        library("Registry", ["OCI", "SystemIO", "CCurl", systemPackage]),
        library("Layers", ["OCI", "SystemIO", "CArchive", systemPackage]),
        library("Sandbox", ["SystemIO", systemPackage]),

        library("Builder", ["OCI", "Dockerfile", "SystemIO", "Registry", "Layers", "Sandbox", systemPackage]),

        .executableTarget(
            name: "imgbuild",
            dependencies: [
                "Builder", "Dockerfile", "OCI", "Registry", "SystemIO", systemPackage,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            cSettings: gnu, swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["SystemIO", systemPackage], path: "Tests/TestSupport",
            cSettings: gnu, swiftSettings: strict),
        tests("OCITests", ["OCI"]),
        tests("DockerfileTests", ["Dockerfile", "SystemIO", systemPackage]),
        tests("SystemIOTests", ["SystemIO", systemPackage]),
        tests("RegistryTests", ["Registry", "OCI", "SystemIO", systemPackage]),
        tests("LayersTests", ["Layers", "OCI", "SystemIO", systemPackage]),
        tests("SandboxTests", ["Sandbox", "SystemIO", systemPackage]),
        tests("BuilderTests", ["Builder", "Dockerfile", "OCI", "Registry", "SystemIO", systemPackage]),
        tests("EndToEndTests", ["OCI", "SystemIO", systemPackage]),
    ]
)
