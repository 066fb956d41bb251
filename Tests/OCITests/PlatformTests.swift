import OCI
import Testing

@Suite("Platforms")
struct PlatformTests {
    @Test(
        "aliases of architectures are one platform",
        arguments: [
            ("linux/amd64", "linux/amd64"), ("amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"), ("linux/arm/v6", "linux/arm/v6"), ("Linux/AMD64", "linux/amd64"),
            ("linux/i386", "linux/386"), ("linux/amd64/v3", "linux/amd64/v3"),
        ])
    func normalised(_ text: String, _ expected: String) throws {
        #expect(try Platform(parsing: text).description == expected)
    }

    @Test(
        "what is no platform is refused",
        arguments: ["", "/", "linux/", "a/b/c/d", "linux/am d64", "linux//v7", "linux/a\n"])
    func refused(_ text: String) {
        #expect(throws: OCIError.self) { try Platform(parsing: text) }
    }

    @Test("a missing variant is the architecture's first")
    func acceptance() {
        let arm64 = Platform(os: "linux", architecture: "arm64")
        #expect(arm64.accepts(Platform(os: "linux", architecture: "arm64", variant: "v8")))
        #expect(!arm64.accepts(Platform(os: "linux", architecture: "arm64", variant: "v9")))
        #expect(!arm64.accepts(Platform(os: "windows", architecture: "arm64")))
        #expect(!arm64.accepts(Platform(os: "linux", architecture: "arm", variant: "v8")))
    }

    @Test("an index gives the image of a platform, and never an attestation")
    func index() throws {
        func descriptor(_ platform: Platform?, _ fill: UInt8) -> Descriptor {
            Descriptor(
                mediaType: .ociManifest, digest: Digest(sha256: [UInt8](repeating: fill, count: 32)), size: 1,
                platform: platform)
        }
        let amd64 = descriptor(Platform(os: "linux", architecture: "amd64"), 1)
        let arm64 = descriptor(Platform(os: "linux", architecture: "arm64", variant: "v8"), 2)
        let attestation = descriptor(Platform(os: "unknown", architecture: "unknown"), 3)
        let index = ImageIndex(manifests: [attestation, amd64, arm64])
        #expect(index.manifest(for: Platform(os: "linux", architecture: "arm64")) == arm64)
        #expect(index.manifest(for: Platform(os: "linux", architecture: "s390x")) == nil)
        #expect(index.platformsOnOffer == "linux/amd64, linux/arm64/v8")
        // The only image there is, if it does not say what it is for.
        let only = descriptor(nil, 4)
        #expect(ImageIndex(manifests: [only, attestation]).manifest(for: .host) == only)
        #expect(
            ImageIndex(manifests: [only, amd64]).manifest(for: Platform(os: "linux", architecture: "s390x")) == nil)
    }
}
