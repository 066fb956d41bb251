import SystemPackage
import TestSupport
import Testing

@Suite("How layers are compressed")
struct CompressionTests {
    private static let dockerfile = "FROM busybox\nCOPY numbers /\n"

    private func site() throws -> BuildSite {
        try BuildSite(Self.dockerfile, files: ["numbers": (0..<20000).map { "\($0)\n" }.joined()])
    }

    /// The manifest's last layer: the one that the build made.
    private func layer(of layout: FilePath) throws -> (type: String?, blob: FilePath) {
        let last = try #require(Skopeo.manifest(of: "oci:\(layout):1")["layers"].array?.last)
        let digest = try #require(last["digest"].string)
        return (last["mediaType"].string, layout.appending("blobs").appending(digest.replacing(":", with: "/")))
    }

    @Test(
        "never changes what is in the image",
        arguments: [
            (["--compression=gzip"], "gzip"), (["--compression", "gzip", "--compression-level=9"], "gzip"),
            (["--compression-level=-1"], "gzip"), (["--compression=zstd"], "zstd"),
            (["--compression=zstd", "--compression-level", "19"], "zstd"),
        ])
    func formats(_ flags: [String], _ program: String) throws {
        let site = try site()
        let arguments = ["--no-push", "--dest=app:1", "--oci-layout-path"]
        let plain = site.folder.appending("plain")
        try site.require(arguments + [plain.string])
        try site.require(arguments + [site.layout.string] + flags)
        let (type, blob) = try layer(of: site.layout)
        #expect(type == "application/vnd.oci.image.layer.v1.tar+\(program)")
        let script = "\(program) -dc \"$1\" | tar -xOf - numbers | wc -c"
        #expect(try Program.require(["sh", "-c", script, "sh", blob.string]).text == "108890\n")
        let expected = try Skopeo.configuration(of: "oci:\(plain):1")
        #expect(try Skopeo.configuration(of: "oci:\(site.layout):1") == expected)
    }

    @Test("a layer of zstd is pushed, pulled as a base, and read from an archive by skopeo")
    func roads() throws {
        let site = try site()
        let registry = try DockerRegistry()
        let image = "\(registry.host)/acme/app:1"
        let tar = site.folder.appending("image.tar")
        try site.require([
            "--insecure-registry", registry.host, "--dest", image, "--compression=zstd", "--tar-path", tar.string,
        ])
        try site.folder.write("FROM \(image)\nRUN wc -l < /numbers | grep -qx 20000\n", to: "context/Dockerfile")
        if RunIsolation.possible.isEmpty { return }
        try site.require(
            ["--insecure-registry", registry.host, "--no-push"], state: site.folder.appending("another-state"))
        try Skopeo.copy(from: "docker-archive:\(tar)", to: "oci:\(site.layout):1")
        #expect(try layer(of: site.layout).type?.contains("layer.v1.tar") == true)
    }

    @Test(
        "that cannot be is refused",
        arguments: [
            (["--compression=xz"], "xz"), (["--compression-level=0"], "expected 1 to 9 for gzip"),
            (["--compression-level=10"], "expected 1 to 9 for gzip"),
            (["--compression=zstd", "--compression-level=20"], "expected 1 to 19 for zstd"),
            (["--compression=zstd", "--image-format=docker"], "Docker's image format has no type for it"),
        ])
    func refused(_ flags: [String], _ says: String) throws {
        let build = try site().build(["--no-push"] + flags)
        #expect(build.status == 64)
        #expect(build.log.contains(says), "\(build.log)")
    }
}
